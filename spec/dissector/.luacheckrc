std = "lua52"
max_line_length = 100
read_globals = {
  "ByteArray", "Field", "Pref", "Proto", "ProtoExpert", "ProtoField", "UInt64", "base", "expert", "register_postdissector",
}
