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
    left = number(rest, 8) & ~0xfff
    if not left: raise Wrong("no_ram_blocks")
    readings, faults = [(rest, left, [], False)], []  # the reading that is tried next stands last
    while readings:
        try: return read_on(*readings.pop(), address_bytes, readings)
        except Wrong as fault: faults.append(fault)
    raise faults[0]

def read_on(rest, left, found, has_page_size, address_bytes, readings):
    while left or has_page_size:
        if not has_page_size:
            if len(found) == 16383: raise Wrong("too_many_blocks")
            name, length = take(rest, number(rest, 1)).decode(errors="replace"), number(rest, 8)
            if not name: raise Wrong("empty_name")
            if not length: raise Wrong("empty_block")
            if length > left: raise Wrong("block_exceeds_total")
            found.append({"name": name, "length": length})
            left -= length
            # A page size starts with a zero byte, which the length of a name never is.
            has_page_size = (rest[address_bytes:][:1] == b"\0" if left
                             else len(rest) == address_bytes + 8)
            may_be_one = left and address_bytes and rest[:1] == b"\0" and is_power(rest[:8])
            if may_be_one and not has_page_size:
                readings.append((rest[:], left, [*found[:-1], dict(found[-1])], True))
        if has_page_size:
            if not is_power(rest[:8]): raise Wrong("bad_page_size")
            found[-1]["page_size"], has_page_size = number(rest, 8), False
        take(rest, address_bytes)
    if rest: raise Wrong("list_not_at_hook")
    if len({block["name"] for block in found}) < len(found): raise Wrong("duplicate_name")
    return found

def is_power(word):
    return word[:1] == b"\0" and int.from_bytes(word).bit_count() == 1

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
