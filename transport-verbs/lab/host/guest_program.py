"""What the guests under test run: a program that goes on writing to RAM while they migrate.

It is an option ROM, which the firmware starts before it looks for a disk. At each tick of the
timer (18.2 a second) it counts the tick and increments the first word of some pages, in turn
through a range that begins as zero: so chunks that went as zero runs become data, registered
chunks are written again, and whoever sees the ticks go on knows that the guest runs.
"""

PAGE = 4096
MIB = 1 << 20
TICKS_AT = 12 * MIB - PAGE
WRITTEN = range(12 * MIB, 16 * MIB)
PAGES_OF_TICK = 32

BLOCK = 512
FLAT_DATA_SEGMENT = bytes.fromhex("0000000000000000 ffff0000 0092cf00")


def option_rom():
    """Returns the ROM: signature, length in blocks of 512 bytes, the program, and a checksum."""
    start = bytes.fromhex("55aa 01")
    # The descriptors follow the program; it has the same length wherever they are.
    descriptors_at = len(start) + len(program(0))
    rom = start + program(descriptors_at) + FLAT_DATA_SEGMENT
    rom = rom.ljust(BLOCK - 1, b"\0")
    return rom + bytes([-sum(rom) % 256])


def program(descriptors_at):
    """The program, in 16-bit code with 32-bit addresses."""
    return reach_all_memory(descriptors_at) + write_forever()


def reach_all_memory(descriptors_at):
    """Loads a data segment of 4 GiB in protected mode; its limit outlives the way back."""
    return code(
        "fa",                            # cli
        "66 31c0",                       # xor  eax, eax
        "8cc8",                          # mov  ax, cs
        "66 c1e0 04",                    # shl  eax, 4
        "66 05" + word(descriptors_at),  # add  eax, descriptors_at
        "66 50",                         # push eax
        "6a 0f",                         # push 15
        "89e5",                          # mov  bp, sp
        "66 0f01 56 00",                 # lgdt [bp]
        "0f20 c0",                       # mov  eax, cr0
        "0c 01",                         # or   al, 1
        "0f22 c0",                       # mov  cr0, eax
        "bb 0800",                       # mov  bx, 8
        "8edb",                          # mov  ds, bx
        "24 fe",                         # and  al, 0xfe
        "0f22 c0",                       # mov  cr0, eax
        "31db",                          # xor  bx, bx
        "8edb",                          # mov  ds, bx
    )


def write_forever():
    """Waits for a tick, counts it, writes to the next pages, and begins anew at the end."""
    write_page = code(
        "67 66 ff07",                    # inc  dword [edi]
        "66 81c7" + word(PAGE),          # add  edi, PAGE
    )
    tick = forget_writable_pages() + code(
        "fb",                            # sti
        "f4",                            # hlt
        "67 66 ff05" + word(TICKS_AT),   # inc  dword [TICKS_AT]
        "b9" + word(PAGES_OF_TICK)[:4],  # mov  cx, PAGES_OF_TICK
    ) + write_page + jump_back("e2", over=write_page) + code(
        "66 81ff" + word(WRITTEN.stop),  # cmp  edi, WRITTEN.stop
    )
    cycle = code(
        "66 bf" + word(WRITTEN.start),   # mov  edi, WRITTEN.start
    ) + tick + jump_back("72", over=tick)
    return cycle + jump_back("eb", over=cycle)


def forget_writable_pages():
    """Goes to protected mode and back, which empties the translation buffer of an emulation.

    QEMU 7.2 with TCG does not do this when it clears its marks of written pages. A page that is
    written often is then not marked again, and an old copy of it migrates, over TCP as over RDMA.
    """
    return code(
        "fa",                            # cli
        "0f20 c0",                       # mov  eax, cr0
        "0c 01",                         # or   al, 1
        "0f22 c0",                       # mov  cr0, eax
        "24 fe",                         # and  al, 0xfe
        "0f22 c0",                       # mov  cr0, eax
    )


def jump_back(opcode, over):
    """A short jump to the beginning of the code that precedes it."""
    return bytes.fromhex(opcode) + (-len(over) - 2).to_bytes(1, "little", signed=True)


def code(*instructions):
    return b"".join(map(bytes.fromhex, instructions))


def word(value):
    return value.to_bytes(4, "little").hex()
