"""What the guests run and have in their RAM."""

import unittest

from host import guest_memory, guest_program
from host.guest_program import PAGE, TICKS_AT, WRITTEN
from host.guests import PATCHWORK_AT


class OptionRomTest(unittest.TestCase):
    def setUp(self):
        self.rom = guest_program.option_rom()

    def test_the_firmware_accepts_it(self):
        self.assertEqual(self.rom[:2], b"\x55\xaa")
        self.assertEqual(len(self.rom), self.rom[2] * 512)
        self.assertEqual(sum(self.rom) % 256, 0)

    def test_its_descriptors_are_where_the_program_looks_for_them(self):
        add = self.rom.index(bytes.fromhex("6605"))
        address = int.from_bytes(self.rom[add + 2:add + 6], "little")
        segment = guest_program.FLAT_DATA_SEGMENT
        self.assertEqual(self.rom[address:address + len(segment)], segment)

    def test_its_jumps_go_to_the_beginning_of_their_loops(self):
        loops = {"e2": "6766ff07", "72": "fa0f20c00c", "eb": "66bf"}
        for jump, beginning in loops.items():
            with self.subTest(jump=jump):
                after = self.rom.rindex(bytes.fromhex(jump)) + 2
                distance = int.from_bytes(self.rom[after - 1:after], "little", signed=True)
                target = self.rom[after + distance:]
                self.assertTrue(target.startswith(bytes.fromhex(beginning)))

    def test_it_leaves_the_patchwork_alone(self):
        self.assertLessEqual(WRITTEN.stop, PATCHWORK_AT)
        self.assertLess(TICKS_AT, WRITTEN.start)


class PatchworkTest(unittest.TestCase):
    def test_the_same_seed_gives_the_same_bytes(self):
        self.assertEqual(guest_memory.patchwork(1, 5), guest_memory.patchwork(1, 5))
        self.assertNotEqual(guest_memory.patchwork(1, 5), guest_memory.patchwork(2, 5))

    def test_its_chunks_take_every_path(self):
        size = guest_memory.CHUNK
        memory = guest_memory.patchwork(3, 5)
        chunks = [memory[start:start + size] for start in range(0, len(memory), size)]
        zero_pages = [sum(not any(chunk[page:page + PAGE]) for page in range(0, size, PAGE))
                      for chunk in chunks]
        full, empty, zero_head, lone_byte, scattered = zero_pages
        self.assertEqual((full, empty, zero_head, lone_byte), (0, 256, 128, 255))
        self.assertIn(scattered, range(64, 192))


if __name__ == "__main__":
    unittest.main()
