#!/usr/bin/env python3
"""Decodes every vector of this folder and compares. Needs Python 3.11 or later, nothing else."""
import collections, pathlib, struct, sys, tomllib
from stream import Wrong, stream, stream_end

TYPES = """NONE ERROR READY QEMU_FILE RAM_BLOCKS_REQUEST RAM_BLOCKS_RESULT COMPRESS REGISTER_REQUEST
    REGISTER_RESULT REGISTER_FINISHED UNREGISTER_REQUEST UNREGISTER_FINISHED""".split()
ENTRIES = {5: (">3QL4x", "remote_address offset length rkey"), 8: (">L4xQ", "rkey host_address"),
           6: (">2L2Q", "value block offset length"), 7: (">QL4xQ", "address block chunks"),
           10: (">QL12x", "chunk block")}

def private_data(data):
    if len(data) < 8: raise Wrong("private_data_truncated")
    return dict(zip(("version", "flags"), struct.unpack(">2L", data[:8])))

def message(data):
    if len(data) < 16: raise Wrong("header_truncated")
    (length, kind, repeat), payload = struct.unpack(">3L4x", data[:16]), data[16:]
    if length > 524272: raise Wrong("length_too_large")
    if length != len(payload): raise Wrong("length_mismatch")
    if kind >= len(TYPES): raise Wrong("unknown_type")
    reading = {"type": TYPES[kind], "length": length}
    if kind == 3 and not length: raise Wrong("empty_stream")
    if kind != 3 and kind not in ENTRIES and length: raise Wrong("unexpected_payload")
    if kind in (6, 7, 8, 10, 11): reading["repeat"] = repeat
    if kind in ENTRIES: reading["entries"] = entries(kind, repeat, payload)
    return reading

def entries(kind, repeat, payload):
    layout, names = ENTRIES[kind]
    size, one_result = struct.calcsize(layout), kind == 8 and len(payload) == 16
    if kind == 5 and len(payload) % size: raise Wrong("partial_ram_block")
    if kind != 5 and not 1 <= repeat <= 4096: raise Wrong("repeat_out_of_range")
    if kind != 5 and len(payload) != size * repeat and not one_result:
        raise Wrong("payload_not_repeat")
    return [dict(zip(names.split(), entry)) for entry in struct.iter_unpack(layout, payload)]

def plain(value):  # fields of 64 bits are text, and equal entries stand there once
    if isinstance(value, dict): return {key: plain(field) for key, field in value.items()}
    if isinstance(value, list): return [plain({k: v for k, v in each.items() if k != "times"})
        if isinstance(each, dict) else each for each in value
        for _ in range(each.get("times", 1) if isinstance(each, dict) else 1)]
    return int(value, 16) if str(value).startswith("0x") else value

def bytes_of(vector):  # what was left out of a capture is replaced by zeroes
    return b"".join(bytes.fromhex(part["hex"]) * part.get("times", 1) if "hex" in part
                    else bytes(part["omitted"]) for part in vector.get("parts", [vector]))

read = collections.Counter()
for path in sorted(pathlib.Path(__file__).parent.glob("*-*.toml")):
    for vector in tomllib.loads(path.read_text(encoding="utf-8"))["vector"]:
        read["vectors"] += 1
        for step in (step for step in vector.get("steps", [vector]) if "write" not in step):
            kind = step.get("input", "message")
            try: found = globals()[kind](bytes_of(step))
            except Wrong as error: found = str(error)
            if found != plain(step.get("reading")) and found not in step.get("errors", []):
                sys.exit(f"{vector['id']}: found {found} in {step}")
            read[kind] += 1
print("all as expected:", ", ".join(f"{count} {kind}" for kind, count in read.items()))
