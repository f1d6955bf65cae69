"""Decodes the front of a migration stream, up to its list of RAM blocks, and the end of one."""
import re

HOOK = bytes([0, 0, 0, 0, 0, 0, 0, 0x80])
RAM_SECTION = re.compile(  # looks ahead, so that one may start inside another
    rb"(?s)(?=\x01.{4}\x03ram\0{7}\x04.{6}[%b]\x04)" % bytes(range(0, 0x100, 0x10)))

class Wrong(Exception):
    """Says by its text, one of the error names, what is wrong with the bytes."""

def stream(data):
    if len(data) < 8: raise Wrong("stream_truncated")
    if data[:4] != b"QEVM": raise Wrong("bad_magic")
    if data[4:8] != b"\0\0\0\3": raise Wrong("bad_version")
    if data[-8:] != HOOK: raise Wrong("no_hook")
    end, furthest = len(data) - 8, max(0, len(data) - 8 - 4587265)
    starts = [match.start() for match in RAM_SECTION.finditer(data, furthest, end)]
    if not starts: raise Wrong("no_ram_section")
    reading = head(bytearray(data[8:starts[-1]]))
    has_addresses = "x-ignore-shared" in reading["capabilities"]
    return reading | {"blocks": blocks(bytearray(data[starts[-1] + 17:end]), 8 * has_addresses)}

def head(rest):  # the configuration and the commands
    capabilities, commands = [], []
    if rest[:1] == b"\x07":
        take(rest, 1), take(rest, number(rest, 4))
        if rest[:1] == b"\x05" and rest[2:28] == b"configuration/capabilities":
            take(rest, 32)
            count = number(rest, 4)
            if count > 64: raise Wrong("too_many_capabilities")
            capabilities = [take(rest, number(rest, 1)).decode() for _ in range(count)]
    while rest[:1] == b"\x08":
        if len(commands) == 64: raise Wrong("too_many_commands")
        take(rest, 1), commands.append(number(rest, 2)), take(rest, number(rest, 2))
    return {"capabilities": capabilities, "return_path": 1 in commands, "postcopy": 3 in commands}

def blocks(rest, address_bytes):
    left, found = number(rest, 8) & ~0xfff, {}
    while left:
        if len(found) == 16383: raise Wrong("too_many_blocks")
        name, length = take(rest, number(rest, 1)).decode(), number(rest, 8)
        if not name: raise Wrong("empty_name")
        if not length: raise Wrong("empty_block")
        if length > left: raise Wrong("block_exceeds_total")
        if name in found: raise Wrong("duplicate_name")
        left, found[name] = left - length, {"name": name, "length": length}
        # A page size starts with a zero byte, which the length of a name never is.
        if len(rest) == address_bytes + 8 if not left else rest[address_bytes:][:1] == b"\0":
            found[name]["page_size"] = number(rest, 8)
            if found[name]["page_size"].bit_count() != 1: raise Wrong("bad_page_size")
        take(rest, address_bytes)
    if rest: raise Wrong("list_not_at_hook")
    return list(found.values())

def stream_end(data):
    for at in (match.start() for match in re.finditer(rb"\0\x06", data)):
        rest = bytearray(data[at + 2:])
        if len(rest) > 4 and number(rest, 4) == len(rest) and rest[:1] + rest[-1:] == b"{}":
            return {"description": len(rest)}
    raise Wrong("stream_incomplete")

def number(rest, size):
    return int.from_bytes(take(rest, size))

def take(rest, size):  # reads bytes and removes them
    if len(rest) < size: raise Wrong("stream_truncated")
    taken, rest[:size] = bytes(rest[:size]), b""
    return taken
