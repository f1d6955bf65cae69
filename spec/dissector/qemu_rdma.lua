-- Wireshark dissector for the control messages of RDMA live migration, the protocol by which QEMU
-- moves a virtual machine over RoCE and InfiniBand. README.md has the installation and the fields.
--
-- A packet is seen in two places. The heuristic on InfiniBand payloads sees it first and claims it.
-- The post-dissector sees what no heuristic is shown (packets whose payload was cut away by the
-- capture) and what another heuristic has claimed before.
--
-- Whatever depends on earlier packets is found out when a frame is dissected for the first time, in
-- capture order, and is kept under its number, because Wireshark dissects frames again in any
-- order.

local qemu_rdma = Proto("qemu_rdma", "QEMU RDMA Live Migration")

local HEADER_BYTES = 16
local CAPABILITIES_BYTES = 8
local MESSAGE_BYTES_MAX = 524288
local COMMANDS_MAX = 4096
local VERSION = 1
local FLAG_PIN_ALL = 1
-- What RDMA CM puts in front of the application's private data in a ConnectRequest.
local IP_ADDRESSING_BYTES = 36
local BASE_HEADER_BYTES = 12
local REMOTE_HEADER_BYTES = 16
local CHECKSUM_BYTES = 4
local UDP_HEADER_BYTES = 8
local LOCAL_HEADER_BYTES = 8
local SEQUENCE_NUMBERS = 2 ^ 24
-- A message of the largest size in packets of the smallest, twice.
local HELD_PIECES_MAX = 4096

local SOURCE, DESTINATION = "source", "destination"
local PEER = { [SOURCE] = DESTINATION, [DESTINATION] = SOURCE }

-- By opcode of the base transport header.
local OPERATIONS = {
  [0x00] = { send = true, first = true },
  [0x01] = { send = true },
  [0x02] = { send = true, last = true },
  [0x04] = { send = true, first = true, last = true },
  [0x06] = { write = true, first = true },
  [0x07] = { write = true },
  [0x08] = { write = true, last = true },
  [0x0a] = { write = true, first = true, last = true },
}

-- By attribute of a management datagram.
local CONNECT_REQUEST, CONNECT_REPLY = 0x10, 0x13

qemu_rdma.prefs.chunk_mebibytes =
  Pref.uint("Chunk size in MiB", 1, "What both ends were told; chunk numbers follow from it")

-- ----------------------------------------------------------------------------------- what is shown

-- What is taken over from the dissectors below.
local outer = {
  base_header = Field.new("infiniband.bth"),
  opcode = Field.new("infiniband.bth.opcode"),
  queue_pair = Field.new("infiniband.bth.destqp"),
  sequence_number = Field.new("infiniband.bth.psn"),
  pad_bytes = Field.new("infiniband.bth.padcnt"),
  remote_address = Field.new("infiniband.reth.va"),
  remote_key = Field.new("infiniband.reth.r_key"),
  remote_length = Field.new("infiniband.reth.dmalen"),
  local_header_words = Field.new("infiniband.lrh.pktlen"),
  global_payload_bytes = Field.new("infiniband.grh.paylen"),
  datagram_bytes = Field.new("udp.length"),
  attribute = Field.new("infiniband.mad.attributeid"),
  request_id = Field.new("infiniband.cm.req"),
  request_queue_pair = Field.new("infiniband.cm.req.localqpn"),
  reply_request_id = Field.new("infiniband.cm.rep.remotecommid"),
  reply_queue_pair = Field.new("infiniband.cm.rep.localqpn"),
}

local TYPES = {
  [0] = "NONE",
  [1] = "ERROR",
  [2] = "READY",
  [3] = "QEMU_FILE",
  [4] = "RAM_BLOCKS_REQUEST",
  [5] = "RAM_BLOCKS_RESULT",
  [6] = "COMPRESS",
  [7] = "REGISTER_REQUEST",
  [8] = "REGISTER_RESULT",
  [9] = "REGISTER_FINISHED",
  [10] = "UNREGISTER_REQUEST",
  [11] = "UNREGISTER_FINISHED",
}

local f = {
  from = ProtoField.string("qemu_rdma.from", "From", base.ASCII, "Which side sent it"),
  version = ProtoField.uint32("qemu_rdma.version", "Version", base.DEC),
  flags = ProtoField.uint32("qemu_rdma.flags", "Flags", base.HEX),
  pin_all = ProtoField.bool("qemu_rdma.flags.pin_all", "Pin all", 32, nil, FLAG_PIN_ALL),
  flags_unknown =
    ProtoField.uint32("qemu_rdma.flags.unknown", "Unknown flags", base.HEX, nil, 0xfffffffe),
  length = ProtoField.uint32("qemu_rdma.length", "Length", base.DEC),
  type = ProtoField.uint32("qemu_rdma.type", "Type", base.DEC, TYPES),
  repeated = ProtoField.uint32("qemu_rdma.repeat", "Repeat", base.DEC),
  padding = ProtoField.uint32("qemu_rdma.padding", "Padding", base.HEX),
  stream = ProtoField.bytes("qemu_rdma.stream", "Stream bytes"),
  payload = ProtoField.bytes("qemu_rdma.payload", "Payload"),
  block = ProtoField.bytes("qemu_rdma.block", "RAM block"),
  block_index = ProtoField.uint32("qemu_rdma.block.index", "Index", base.DEC),
  block_address = ProtoField.uint64("qemu_rdma.block.remote_address", "Remote address", base.HEX),
  block_offset = ProtoField.uint64("qemu_rdma.block.offset", "Offset", base.HEX),
  block_length = ProtoField.uint64("qemu_rdma.block.length", "Length", base.DEC),
  block_rkey = ProtoField.uint32("qemu_rdma.block.rkey", "Key", base.HEX),
  register = ProtoField.bytes("qemu_rdma.register", "Register request"),
  register_address = ProtoField.uint64("qemu_rdma.register.address", "Address", base.HEX),
  register_block = ProtoField.uint32("qemu_rdma.register.block", "Block", base.DEC),
  register_chunks = ProtoField.uint64("qemu_rdma.register.chunks", "Further chunks", base.DEC),
  result = ProtoField.bytes("qemu_rdma.result", "Register result"),
  result_rkey = ProtoField.uint32("qemu_rdma.result.rkey", "Key", base.HEX),
  result_address = ProtoField.uint64("qemu_rdma.result.host_address", "Host address", base.HEX),
  result_block = ProtoField.uint32("qemu_rdma.result.block", "Block of the request", base.DEC),
  compress = ProtoField.bytes("qemu_rdma.compress", "Zero run"),
  compress_value = ProtoField.uint32("qemu_rdma.compress.value", "Value", base.HEX),
  compress_block = ProtoField.uint32("qemu_rdma.compress.block", "Block", base.DEC),
  compress_offset = ProtoField.uint64("qemu_rdma.compress.offset", "Offset", base.HEX),
  compress_length = ProtoField.uint64("qemu_rdma.compress.length", "Length", base.DEC),
  unregister = ProtoField.bytes("qemu_rdma.unregister", "Unregister request"),
  unregister_chunk = ProtoField.uint64("qemu_rdma.unregister.chunk", "Chunk", base.DEC),
  unregister_block = ProtoField.uint32("qemu_rdma.unregister.block", "Block", base.DEC),
  unregister_chunks = ProtoField.uint64("qemu_rdma.unregister.chunks", "Further chunks", base.DEC),
  write_address = ProtoField.uint64("qemu_rdma.write.address", "Remote address", base.HEX),
  write_rkey = ProtoField.uint32("qemu_rdma.write.rkey", "Key", base.HEX),
  write_length = ProtoField.uint32("qemu_rdma.write.length", "Length", base.DEC),
  write_block = ProtoField.uint32("qemu_rdma.write.block", "Block", base.DEC),
  write_first = ProtoField.framenum("qemu_rdma.write.first_frame", "Begins in frame", base.NONE),
  chunk = ProtoField.uint64("qemu_rdma.chunk", "Chunk", base.DEC),
  place = ProtoField.uint64("qemu_rdma.place", "Place in the block", base.HEX),
  piece = ProtoField.framenum("qemu_rdma.piece", "Piece in frame", base.NONE),
  whole = ProtoField.framenum("qemu_rdma.reassembled_in", "Reassembled in frame", base.NONE),
  again = ProtoField.framenum("qemu_rdma.retransmission", "Retransmission of frame", base.NONE),
}
qemu_rdma.fields = f

local function expert_info(name, text, group, severity)
  return ProtoExpert.new("qemu_rdma.expert." .. name, text, group, severity)
end

local MALFORMED, PROTOCOL = expert.group.MALFORMED, expert.group.PROTOCOL
local UNDECODED, REASSEMBLE = expert.group.UNDECODED, expert.group.REASSEMBLE
local ERROR, WARN, NOTE = expert.severity.ERROR, expert.severity.WARN, expert.severity.NOTE
local e = {
  header = expert_info("header", "Shorter than a header", MALFORMED, ERROR),
  length = expert_info("length", "The length does not match the bytes sent", MALFORMED, ERROR),
  too_long = expert_info("too_long", "Longer than a message may be", MALFORMED, ERROR),
  type = expert_info("type", "Unknown type", MALFORMED, ERROR),
  repeated = expert_info("repeat", "Number of commands out of range", MALFORMED, ERROR),
  payload = expert_info("payload", "The payload does not fit the type", MALFORMED, ERROR),
  truncated = expert_info("truncated", "Cut off by the capture", UNDECODED, WARN),
  version = expert_info("version", "Not version 1", PROTOCOL, WARN),
  flags = expert_info("flags", "Flags that do not belong here", PROTOCOL, WARN),
  key = expert_info("key", "A key of zero", PROTOCOL, WARN),
  value = expert_info("value", "The fill byte is not zero", PROTOCOL, WARN),
  place = expert_info("place", "Not inside a RAM block", PROTOCOL, WARN),
  unsaid = expert_info("unsaid", "Repeat is not 1 in a message without commands", PROTOCOL, NOTE),
  nobody = expert_info("none", "Nobody sends this type", PROTOCOL, NOTE),
  padding = expert_info("padding", "Padding is not zero", PROTOCOL, NOTE),
  incomplete = expert_info("incomplete", "Pieces before this one are missing", REASSEMBLE, NOTE),
  again = expert_info("retransmission", "Sent again", expert.group.SEQUENCE, NOTE),
}
qemu_rdma.experts = e

-- ---------------------------------------------------------------------- what is known of a capture

-- By sender, receiver and the receiver's queue pair: what one side sends on a connection.
local flows
local flow_count
-- By the requesting host and its number for the connection: the flow towards it, and the flags it
-- offered.
local requests
-- By frame number: what its first dissection has found.
local frames
-- The last frame that the heuristic has claimed.
local claimed

function qemu_rdma.init()
  flows, flow_count, requests, frames, claimed = {}, 0, {}, {}, nil
end

local function flow_key(sender, receiver, queue_pair)
  return string.format("%s>%s#%d", sender, receiver, queue_pair)
end

local function hosts(pinfo)
  -- The InfiniBand dissector puts local identifiers into `src` and `dst`, but not into these.
  return tostring(pinfo.net_src), tostring(pinfo.net_dst)
end

local function new_flow(key, sender, receiver)
  flow_count = flow_count + 1
  local flow = {
    number = flow_count,
    sender = sender,
    receiver = receiver,
    -- By unwrapped sequence number.
    seen = {},
    pieces = {},
    held = 0,
    -- Shared with the opposite flow: the RAM blocks, and the blocks that the last request is about.
    connection = {},
  }
  flows[key] = flow
  return flow
end

local function set_role(flow, role)
  flow.role = role
  if flow.peer then
    flow.peer.role = PEER[role]
  end
end

-- Makes a new flow the opposite of one that is known.
local function join(flow, known)
  flow.peer, known.peer = known, flow
  flow.connection = known.connection
  if known.role then
    set_role(known, known.role)
  elseif flow.role then
    set_role(flow, flow.role)
  end
end

-- The opposite flow of a connection whose making is not in the capture, if any: of several,
-- the youngest.
local function lonely_peer(flow)
  local found
  for _, other in pairs(flows) do
    local opposite = other.sender == flow.receiver and other.receiver == flow.sender
    local fits = not other.role or other.role ~= flow.role
    if opposite and fits and other ~= flow and not other.peer and not other.managed then
      found = found and found.number > other.number and found or other
    end
  end
  return found
end

-- Sequence numbers wrap around; the one meant is the nearest to the last.
local function unwrapped(flow, sequence_number)
  local last = flow.last or sequence_number
  local distance = (sequence_number - last) % SEQUENCE_NUMBERS
  if distance >= SEQUENCE_NUMBERS / 2 then
    distance = distance - SEQUENCE_NUMBERS
  end
  local number = last + distance
  flow.last = math.max(last, number)
  return number
end

-- ------------------------------------------------------------------------------------ the payloads

local function add_padding(tree, range)
  local item = tree:add(f.padding, range)
  if range:uint() ~= 0 then
    item:add_proto_expert_info(e.padding)
  end
end

local function add_generated(tree, field, value)
  tree:add(field, value):set_generated()
end

local function chunk_of(place)
  local chunk_bytes = UInt64(math.max(1, qemu_rdma.prefs.chunk_mebibytes)) * UInt64(2 ^ 20)
  return place / chunk_bytes
end

-- Whether a block ends before these chunks that follow the one of an address inside it.
local function ends_before(block, address, chunks)
  return chunks > chunk_of(block.length - UInt64(1)) - chunk_of(address - block.offset)
end

-- Shows the place in its block of an address in the destination's RAM address space, and the text
-- for it.
local function add_place(tree, blocks, index, address, length)
  if not blocks then
    return ""
  end
  local block = blocks[index]
  if not block then
    tree:add_proto_expert_info(e.place, "There is no RAM block " .. index)
    return ""
  end
  local place = address - block.offset
  if address < block.offset or place >= block.length or length > block.length - place then
    tree:add_proto_expert_info(e.place, "Not inside RAM block " .. index)
    return ""
  end
  local chunk = chunk_of(place)
  add_generated(tree, f.place, place)
  add_generated(tree, f.chunk, chunk)
  return " chunk " .. tostring(chunk)
end

local function show_block(tree, range, record, number)
  add_generated(tree, f.block_index, number)
  tree:add(f.block_address, range(0, 8))
  tree:add(f.block_offset, range(8, 8))
  tree:add(f.block_length, range(16, 8))
  tree:add(f.block_rkey, range(24, 4))
  add_padding(tree, range(28, 4))
  tree:set_text(string.format("RAM block %d, %s bytes", number, tostring(range(16, 8):uint64())))
  return string.format("%d blocks", record.count)
end

local function show_register(tree, range, record)
  local address, block = range(0, 8):uint64(), range(8, 4):uint()
  tree:add(f.register_address, range(0, 8))
  tree:add(f.register_block, range(8, 4))
  add_padding(tree, range(12, 4))
  local item = tree:add(f.register_chunks, range(16, 8))
  local place = add_place(tree, record.blocks, block, address, UInt64(1))
  if place ~= "" and ends_before(record.blocks[block], address, range(16, 8):uint64()) then
    item:add_proto_expert_info(e.place, "The RAM block has fewer chunks")
  end
  return "block " .. block .. place
end

local function show_result(tree, range, record, number)
  local rkey = range(0, 4):uint()
  local item = tree:add(f.result_rkey, range(0, 4))
  if rkey == 0 then
    item:add_proto_expert_info(e.key)
  end
  add_padding(tree, range(4, 4))
  tree:add(f.result_address, range(8, 8))
  local text = string.format("key 0x%08x", rkey)
  local block = record.requested and record.requested[number + 1]
  if block then
    add_generated(tree, f.result_block, block)
    text = string.format("block %d %s", block, text)
  end
  return text
end

local function show_compress(tree, range, record)
  local block, length = range(4, 4):uint(), range(16, 8):uint64()
  local item = tree:add(f.compress_value, range(0, 4))
  if range(0, 4):uint() ~= 0 then
    item:add_proto_expert_info(e.value)
  end
  tree:add(f.compress_block, range(4, 4))
  tree:add(f.compress_offset, range(8, 8))
  item = tree:add(f.compress_length, range(16, 8))
  if length == UInt64(0) then
    item:add_proto_expert_info(e.place, "The run is empty")
  end
  local place = add_place(tree, record.blocks, block, range(8, 8):uint64(), length)
  return string.format("block %d%s, %s bytes", block, place, tostring(length))
end

local function show_unregister(tree, range)
  tree:add(f.unregister_chunk, range(0, 8))
  tree:add(f.unregister_block, range(8, 4))
  add_padding(tree, range(12, 4))
  tree:add(f.unregister_chunks, range(16, 8))
  return string.format("block %d chunk %s", range(8, 4):uint(), tostring(range(0, 8):uint64()))
end

-- --------------------------------------------------------------------------------------- the kinds

-- What the payload of a header may be: each gives the words for what is wrong, or nothing.
local function none(header)
  return header.length > 0 and "This type has no payload"
end

local function some(header)
  return header.length == 0 and "No stream bytes"
end

local function any_number_of(bytes)
  return function(header)
    return header.length % bytes ~= 0 and string.format("Not a whole number of %d bytes", bytes)
  end
end

local function commands_of(bytes)
  return function(header)
    local count = header.repeated
    local expected = count * bytes
    return header.length ~= expected and string.format("%d commands take %d bytes", count, expected)
  end
end

-- Deployed destinations answer several requests with the first result alone.
local function results(header)
  return header.length ~= 16 and commands_of(16)(header)
end

-- What later messages and WRITEs are explained with.
local function learn_blocks(connection, body, count)
  connection.blocks = {}
  for number = 0, count - 1 do
    local range = body(number * 32, 32)
    connection.blocks[number] = {
      address = range(0, 8):uint64(),
      offset = range(8, 8):uint64(),
      length = range(16, 8):uint64(),
    }
  end
end

local function learn_request(connection, body, count)
  connection.requested = {}
  for number = 1, count do
    connection.requested[number] = body(number * 24 - 16, 4):uint()
  end
end

local function learn_result(connection, body, count)
  for number = 1, count do
    local block = connection.blocks and connection.blocks[(connection.requested or {})[number]]
    if block then
      block.address = body(number * 16 - 8, 8):uint64()
    end
  end
  connection.requested = nil
end

-- `from` is the side that sends it and `payload` the rule for it. `counted` marks the kinds whose
-- commands `repeat` counts, `free` those in which it may be anything. A payload of items has their
-- size in `bytes`, their field in `item`, in `title` what one is called, in `show` what shows one
-- and gives the words for the Info column, and in `learn` what takes over all.
local KINDS = {
  [0] = { payload = none },
  [1] = { payload = none },
  [2] = { from = DESTINATION, payload = none },
  [3] = { from = SOURCE, payload = some, free = true },
  [4] = { from = SOURCE, payload = none },
  [5] = { from = DESTINATION, payload = any_number_of(32), bytes = 32,
    item = f.block, show = show_block, learn = learn_blocks },
  [6] = { from = SOURCE, payload = commands_of(24), counted = true, bytes = 24,
    item = f.compress, title = "Zero run", show = show_compress },
  [7] = { from = SOURCE, payload = commands_of(24), counted = true, bytes = 24,
    item = f.register, title = "Register request", show = show_register, learn = learn_request },
  [8] = { from = DESTINATION, payload = results, counted = true, bytes = 16,
    item = f.result, title = "Register result", show = show_result, learn = learn_result },
  [9] = { from = SOURCE, payload = none },
  [10] = { from = SOURCE, payload = commands_of(24), counted = true, bytes = 24,
    item = f.unregister, title = "Unregister request", show = show_unregister },
  [11] = { from = DESTINATION, payload = none, free = true },
}
local QEMU_FILE = 3

local function header_of(tvb)
  return {
    length = tvb(0, 4):uint(),
    type = tvb(4, 4):uint(),
    repeated = tvb(8, 4):uint(),
    padding = tvb(12, 4):uint(),
  }
end

-- The rules for `repeat`; gives what is wrong, and whether it is against the protocol or only
-- unusual.
local function wrong_repeat(header)
  local kind = KINDS[header.type]
  if kind.counted and (header.repeated == 0 or header.repeated > COMMANDS_MAX) then
    return e.repeated
  end
  if not kind.counted and not kind.free and header.repeated ~= 1 then
    return e.unsaid
  end
end

-- Whether these bytes begin a message that somebody would send, for connections of which nothing
-- else is known. `whole` says that they are all of it.
local function is_plausible(tvb, sent, whole)
  if not tvb or tvb:len() < HEADER_BYTES then
    return false
  end
  local header = header_of(tvb)
  local kind = KINDS[header.type]
  if not kind or header.type == 0 or wrong_repeat(header) or kind.payload(header) then
    return false
  end
  if header.padding ~= 0 and header.type ~= QEMU_FILE then
    return false
  end
  local bytes = header.length + HEADER_BYTES
  return bytes <= MESSAGE_BYTES_MAX and (whole and bytes == sent or not whole and bytes > sent)
end

-- ---------------------------------------------------------------------------- the first dissection

-- The connection of a packet by its content alone.
local function recognise(packet, tvb, sent)
  local operation = packet.operation
  if not (operation.send and operation.first and is_plausible(tvb, sent, operation.last)) then
    return nil
  end
  local flow = new_flow(packet.key, packet.sender, packet.receiver)
  flow.role = KINDS[header_of(tvb).type].from
  local peer = lonely_peer(flow)
  if peer then
    join(flow, peer)
  end
  return flow
end

-- The pieces from the first to the last of the message that has a piece with this number, if all
-- are there.
local function complete_message(pieces, number)
  local first, last = number, number
  while pieces[first] and not pieces[first].operation.first do
    first = first - 1
  end
  while pieces[last] and not pieces[last].operation.last do
    last = last + 1
  end
  if pieces[first] and pieces[last] then
    return first, last
  end
end

local function assemble(flow, first, last)
  local message = { bytes = ByteArray.new(), sent = 0, frames = {} }
  for number = first, last do
    local piece = flow.pieces[number]
    -- Behind a piece that was cut off nothing can be put at its right place.
    if message.bytes:len() == message.sent then
      message.bytes:append(piece.bytes)
    end
    message.sent = message.sent + piece.sent
    table.insert(message.frames, piece.record.frame)
    piece.record.message = message
    flow.pieces[number] = nil
  end
  flow.held = flow.held - #message.frames
  return message
end

-- Keeps a piece, and puts the message together when it was the one that was missing.
local function take_piece(flow, number, operation, tvb, sent, record)
  if flow.held >= HELD_PIECES_MAX then
    flow.pieces, flow.held = {}, 0
  end
  local bytes = tvb and tvb:bytes() or ByteArray.new()
  flow.pieces[number] = { operation = operation, bytes = bytes, sent = sent, record = record }
  flow.held = flow.held + 1
  record.piece = true
  local first, last = complete_message(flow.pieces, number)
  if first then
    assemble(flow, first, last).frame = record.frame
  else
    record.orphan = operation.last
  end
end

-- The block and the place in it of an address of the destination.
local function write_target(connection, address, length)
  for index, block in pairs(connection.blocks or {}) do
    local place = address - block.address
    if address >= block.address and place < block.length and length <= block.length - place then
      return { block = index, place = place }
    end
  end
end

local function value(field)
  local found = { field() }
  -- In a tunnel, the innermost is meant.
  return found[#found] and found[#found].value
end

local function take_write(flow, operation, record)
  if operation.first then
    local address, length = value(outer.remote_address), value(outer.remote_length)
    flow.write = { frame = record.frame, known = flow.connection.blocks ~= nil }
    if length then
      flow.write.target = write_target(flow.connection, address, UInt64(length))
    end
  end
  record.write = flow.write or {}
end

-- What the first dissection of a packet finds out; nothing when it is not of a migration.
local function first_dissection(packet, tvb, sent, frame)
  local flow = flows[packet.key] or recognise(packet, tvb, sent)
  if not flow then
    return nil
  end
  local operation = packet.operation
  local record = { flow = flow, frame = frame }
  local number = unwrapped(flow, packet.sequence_number)
  record.first_sent = flow.seen[number]
  if record.first_sent then
    return record
  end
  flow.seen[number] = frame
  if operation.write then
    take_write(flow, operation, record)
  elseif not (operation.first and operation.last) then
    take_piece(flow, number, operation, tvb, sent, record)
  end
  return record
end

local function learn(record, tvb, sent)
  local flow = record.flow
  local connection = flow.connection
  record.requested = connection.requested
  if tvb:len() == sent and sent >= HEADER_BYTES then
    local header = header_of(tvb)
    local kind = KINDS[header.type]
    if kind and kind.from and not flow.role then
      set_role(flow, kind.from)
    end
    local fits = header.length == sent - HEADER_BYTES and header.length > 0
    if kind and kind.learn and fits and not kind.payload(header) then
      kind.learn(connection, tvb(HEADER_BYTES), header.length / kind.bytes)
    end
  end
  record.blocks = connection.blocks
end

-- ----------------------------------------------------------------------------- what a packet shows

local function begin_tree(tree, tvb, flow, title)
  local item = tvb and tree:add(qemu_rdma, tvb()) or tree:add(qemu_rdma)
  item:set_text("QEMU RDMA Live Migration, " .. title)
  if flow.role then
    add_generated(item, f.from, flow.role)
  end
  return item
end

local function set_columns(pinfo, text)
  pinfo.cols.info:clear_fence()
  pinfo.cols.protocol:set("QEMU RDMA")
  pinfo.cols.info:set(text)
end

-- Notes expert information and puts it behind the words for the Info column if it is an error.
local function complain(item, words, info, text, is_error)
  item:add_proto_expert_info(info, text)
  if is_error then
    table.insert(words.errors, "[" .. text .. "]")
  end
end

local function show_header(tree, tvb, sent, words)
  local header = header_of(tvb)
  local kind = KINDS[header.type]
  local length = tree:add(f.length, tvb(0, 4))
  local type = tree:add(f.type, tvb(4, 4))
  local repeated = tree:add(f.repeated, tvb(8, 4))
  add_padding(tree, tvb(12, 4))
  table.insert(words, TYPES[header.type] or "type " .. header.type)
  if header.length ~= sent - HEADER_BYTES then
    local text = string.format("length %d, sent %d", header.length, sent - HEADER_BYTES)
    complain(length, words, e.length, text, true)
  end
  if header.length > MESSAGE_BYTES_MAX - HEADER_BYTES then
    complain(length, words, e.too_long, "longer than a message may be", true)
  end
  if not kind then
    complain(type, words, e.type, "unknown type", true)
    return header
  end
  if header.type == 0 then
    complain(type, words, e.nobody, "nobody sends this type")
  end
  local wrong = wrong_repeat(header)
  if wrong then
    complain(repeated, words, wrong, "repeat " .. header.repeated, wrong == e.repeated)
  end
  local unfit = kind.payload(header)
  if unfit then
    complain(length, words, e.payload, unfit, true)
  end
  return header
end

local function show_items(tree, body, kind, record, words)
  record.count = math.floor(body:len() / kind.bytes)
  for number = 0, record.count - 1 do
    local range = body(number * kind.bytes, kind.bytes)
    local item = tree:add(kind.item, range)
    local text = kind.show(item, range, record, number)
    if kind.title then
      item:set_text(kind.title .. ", " .. text)
    end
    if number == 0 then
      table.insert(words, text)
    end
  end
  if record.count > 1 and kind.title then
    table.insert(words, string.format("and %d more", record.count - 1))
  end
  return record.count * kind.bytes
end

local function show_payload(tree, body, header, record, words)
  local kind = KINDS[header.type]
  local shown = 0
  if kind and kind.show then
    shown = show_items(tree, body, kind, record, words)
  elseif header.type == QEMU_FILE then
    tree:add(f.stream, body)
    table.insert(words, header.length .. " bytes")
    shown = body:len()
  end
  if shown < body:len() then
    tree:add(f.payload, body(shown))
  end
end

local function show_message(record, tvb, sent, pinfo, tree)
  local captured = tvb and tvb:len() or 0
  -- What the message is, and what is wrong with it.
  local words = { errors = {} }
  local item = begin_tree(tree, tvb, record.flow, "control message")
  if sent < HEADER_BYTES then
    complain(item, words, e.header, string.format("%d bytes, shorter than a header", sent), true)
  elseif captured < sent then
    local text = string.format("%d of %d bytes captured", captured, sent)
    complain(item, words, e.truncated, text, true)
  end
  if captured >= HEADER_BYTES then
    local header = show_header(item, tvb, sent, words)
    if captured > HEADER_BYTES then
      show_payload(item, tvb(HEADER_BYTES), header, record, words)
    end
  end
  for _, frame in ipairs(record.message and record.message.frames or {}) do
    add_generated(item, f.piece, frame)
  end
  local text = table.concat(words, " ")
  if #words.errors > 0 then
    text = (#words > 0 and text or "control message") .. " " .. table.concat(words.errors, " ")
  end
  item:set_text("QEMU RDMA Live Migration, " .. text)
  set_columns(pinfo, text)
end

local function show_piece(record, tvb, pinfo, tree)
  local item = begin_tree(tree, tvb, record.flow, "piece of a control message")
  local text = "piece of a control message"
  if record.message then
    add_generated(item, f.whole, record.message.frame)
    text = text .. ", reassembled in frame " .. record.message.frame
  elseif record.orphan then
    item:add_proto_expert_info(e.incomplete)
  end
  set_columns(pinfo, text)
end

local function show_again(record, tvb, pinfo, tree)
  local item = begin_tree(tree, tvb, record.flow, "retransmission")
  add_generated(item, f.again, record.first_sent)
  item:add_proto_expert_info(e.again)
  set_columns(pinfo, "retransmission of frame " .. record.first_sent)
end

local function show_write(record, operation, tvb, pinfo, tree)
  local write = record.write
  local item = begin_tree(tree, tvb, record.flow, "RDMA WRITE")
  if not operation.first then
    if write.frame then
      add_generated(item, f.write_first, write.frame)
    end
    set_columns(pinfo, "WRITE continues")
    return
  end
  local text, length = "WRITE", value(outer.remote_length)
  if not length then
    item:add_proto_expert_info(e.truncated)
    return
  end
  add_generated(item, f.write_address, value(outer.remote_address))
  add_generated(item, f.write_rkey, value(outer.remote_key))
  add_generated(item, f.write_length, length)
  if write.target then
    local chunk = chunk_of(write.target.place)
    add_generated(item, f.write_block, write.target.block)
    add_generated(item, f.place, write.target.place)
    add_generated(item, f.chunk, chunk)
    text = string.format("WRITE block %d chunk %s", write.target.block, tostring(chunk))
  elseif write.known then
    item:add_proto_expert_info(e.place)
  end
  set_columns(pinfo, string.format("%s, %d bytes", text, length))
end

-- ------------------------------------------------------------------------------------- the ways in

-- The packet of a reliable connection that is being dissected, if it carries a SEND or a WRITE.
local function read_packet(pinfo)
  local operation = OPERATIONS[value(outer.opcode)]
  if not operation then
    return nil
  end
  local sender, receiver = hosts(pinfo)
  return {
    operation = operation,
    sender = sender,
    receiver = receiver,
    key = flow_key(sender, receiver, value(outer.queue_pair)),
    sequence_number = value(outer.sequence_number),
    pad_bytes = value(outer.pad_bytes),
  }
end

-- Dissects a payload of which `sent` bytes were sent; `tvb` is what was captured of them, or
-- nothing. Returns whether it belongs to a migration.
local function dissect(packet, tvb, sent, pinfo, tree)
  local record = frames[pinfo.number]
  local is_first = not record and not pinfo.visited
  if is_first then
    record = first_dissection(packet, tvb, sent, pinfo.number)
    frames[pinfo.number] = record
  end
  if not record then
    return false
  end
  local message = record.message
  if record.first_sent then
    show_again(record, tvb, pinfo, tree)
  elseif record.write then
    show_write(record, packet.operation, tvb, pinfo, tree)
  elseif record.piece and not (message and message.frame == record.frame) then
    show_piece(record, tvb, pinfo, tree)
  else
    if message then
      tvb = message.bytes:len() > 0 and message.bytes:tvb("Control message") or nil
      sent = message.sent
    end
    if is_first and tvb then
      learn(record, tvb, sent)
    end
    show_message(record, tvb, sent, pinfo, tree)
  end
  return true
end

-- The first bytes of a buffer as a buffer, or nothing when there are none.
local function part(tvb, start, bytes)
  bytes = math.min(bytes, tvb:len() - start)
  return bytes > 0 and tvb(start, bytes):tvb() or nil
end

local function payload_heuristic(tvb, pinfo, tree)
  local packet = read_packet(pinfo)
  if not packet then
    return false
  end
  local sent = math.max(0, tvb:reported_len() - packet.pad_bytes)
  if not dissect(packet, part(tvb, 0, sent), sent, pinfo, tree) then
    return false
  end
  claimed = pinfo.number
  return true
end

-- Bytes from the base transport header to the end of the packet, as they were sent.
local function transport_bytes()
  if value(outer.global_payload_bytes) then
    return value(outer.global_payload_bytes)
  elseif value(outer.local_header_words) then
    return value(outer.local_header_words) * 4 - LOCAL_HEADER_BYTES
  end
  return (value(outer.datagram_bytes) or 0) - UDP_HEADER_BYTES
end

-- The post-dissector: what the heuristic was not shown.
function qemu_rdma.dissector(tvb, pinfo, tree)
  local packet = claimed ~= pinfo.number and read_packet(pinfo)
  claimed = nil
  if not packet then
    return
  end
  local headers = { outer.base_header() }
  local header_bytes = BASE_HEADER_BYTES
  if packet.operation.write and packet.operation.first then
    header_bytes = header_bytes + REMOTE_HEADER_BYTES
  end
  local start = headers[#headers].offset + header_bytes
  local sent = transport_bytes() - header_bytes - packet.pad_bytes - CHECKSUM_BYTES
  if sent >= 0 then
    dissect(packet, part(tvb, start, sent), sent, pinfo, tree)
  end
end

-- Whether private data are capabilities: an area that is zero behind them.
local function are_capabilities(tvb)
  local version, flags = tvb(0, 4):uint(), tvb(4, 4):uint()
  for offset = CAPABILITIES_BYTES, tvb:len() - 1 do
    if tvb(offset, 1):uint() ~= 0 then
      return false
    end
  end
  -- Other versions are believed only with the flags of this one.
  return version == VERSION or (version > VERSION and version < 16 and flags <= FLAG_PIN_ALL)
end

-- A connection is being made or, where the requester's queue pair comes again, was made anew.
local function take_request(pinfo, tvb)
  local host, peer = hosts(pinfo)
  local queue_pair = value(outer.request_queue_pair)
  local id = host .. "#" .. value(outer.request_id)
  local known = requests[id]
  if known and known.queue_pair == queue_pair then
    return known
  end
  local key = flow_key(peer, host, queue_pair)
  flows[key], requests[id] = nil, nil
  if not are_capabilities(tvb) then
    return nil
  end
  local flow = new_flow(key, peer, host)
  flow.managed = true
  set_role(flow, DESTINATION)
  requests[id] = { flow = flow, queue_pair = queue_pair, offered = tvb(4, 4):uint(), from = SOURCE }
  return requests[id]
end

local function take_reply(pinfo, tvb)
  local host, peer = hosts(pinfo)
  local request = requests[peer .. "#" .. value(outer.reply_request_id)]
  if request and request.reply then
    return request.reply
  end
  local key = flow_key(peer, host, value(outer.reply_queue_pair))
  if not request and not are_capabilities(tvb) then
    flows[key] = nil
    return nil
  end
  local flow = new_flow(key, peer, host)
  flow.managed = request ~= nil
  set_role(flow, SOURCE)
  local reply = { from = DESTINATION, offered = request and request.offered }
  if request then
    join(flow, request.flow)
    request.reply = reply
  end
  return reply
end

local function show_flags(tree, range, record)
  local flags = range:uint()
  local item = tree:add(f.flags, range)
  item:add(f.pin_all, range)
  item:add(f.flags_unknown, range)
  if flags > FLAG_PIN_ALL then
    item:add_proto_expert_info(e.flags, "Unknown flags")
  end
  if record.from == DESTINATION and record.offered then
    local granted, offered = flags % 2, record.offered % 2
    if granted > offered then
      item:add_proto_expert_info(e.flags, "Granted, but not offered")
    elseif granted < offered then
      item:add_proto_expert_info(e.flags, "Offered, but not granted")
    end
  end
  return flags % 2 == FLAG_PIN_ALL and ", pin-all" or ""
end

local function show_capabilities(record, tvb, pinfo, tree)
  local item = tree:add(qemu_rdma, tvb(0, CAPABILITIES_BYTES))
  add_generated(item, f.from, record.from)
  local version = tvb(0, 4):uint()
  local version_item = item:add(f.version, tvb(0, 4))
  if version ~= VERSION then
    version_item:add_proto_expert_info(e.version)
  end
  local text = string.format("version %d%s", version, show_flags(item, tvb(4, 4), record))
  item:set_text("QEMU RDMA Live Migration, " .. text)
  pinfo.cols.info:append(", QEMU RDMA " .. text)
end

local TAKE = { [CONNECT_REQUEST] = take_request, [CONNECT_REPLY] = take_reply }

local function connection_heuristic(tvb, pinfo, tree)
  local attribute = value(outer.attribute)
  local take = TAKE[attribute]
  if not take or tvb:len() < CAPABILITIES_BYTES then
    return false
  end
  -- 92 bytes are the whole area of a request, with what RDMA CM puts in front.
  if attribute == CONNECT_REQUEST and tvb:len() == 92 then
    tvb = part(tvb, IP_ADDRESSING_BYTES, tvb:len())
  end
  if not pinfo.visited then
    frames[pinfo.number] = take(pinfo, tvb)
  end
  local record = frames[pinfo.number]
  if not record then
    return false
  end
  show_capabilities(record, tvb, pinfo, tree)
  return true
end

-- What registers last is asked first, so this one comes before the heuristics that Wireshark brings
-- along, of which RPC over RDMA takes some control messages for its own.
qemu_rdma:register_heuristic("infiniband.payload", payload_heuristic)
qemu_rdma:register_heuristic("infiniband.mad.cm.private", connection_heuristic)
register_postdissector(qemu_rdma)
