//! Messages as QEMU sends them, most of them out of traces, in hexadecimal digits.

use alloc::vec::Vec;

/// `QEMU_FILE` with the last word of a RAM record.
pub(super) const QEMU_FILE: &str = "00000008 00000003 00000001 00000000  0000000000000010";

/// The same from QEMU 8.2 and later, which leaves `repeat` at 0.
pub(super) const QEMU_FILE_REPEAT_0: &str = "00000008 00000003 00000000 00000000  0000000000000010";

/// The same from QEMU 8.1 and earlier, with what lay on its stack in `repeat` and padding.
pub(super) const QEMU_FILE_GARBAGE: &str = "00000008 00000003 d8e63f10 0000567f  0000000000000010";

pub(super) const READY: &str = "00000000 00000002 00000001 00000000";

pub(super) const RAM_BLOCKS_REQUEST: &str = "00000000 00000004 00000001 00000000";

pub(super) const REGISTER_FINISHED: &str = "00000000 00000009 00000001 00000000";

/// The first and the last block of a 64 MiB guest, with pin-all.
pub(super) const RAM_BLOCKS_RESULT: &str = "00000040 00000005 00000001 00000000
    00007f2d34a00000 0000000000000000 0000000004000000 00000530 00000000
    00007f2d4e600000 00000000042c0000 0000000000001000 00000a12 00000000";

pub(super) const COMPRESS: &str = "00000018 00000006 00000001 00000000
    00000000 00000000 0000000000101000 00000000000ff000";

/// From QEMU 7.2, with what lay on its stack in the padding of the request.
pub(super) const REGISTER_REQUEST_GARBAGE: &str = "00000018 00000007 00000001 00000000
    0000000000f00000 00000000 0000567f 0000000000000000";

pub(super) const REGISTER_RESULT: &str = "00000010 00000008 00000001 00000000
    00000104 00000000 00007fc268200000";

/// The bytes that the digits stand for.
pub(super) fn bytes(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| {
        let value =
            pair.iter().map(|c| c.to_digit(16).unwrap()).fold(0, |high, low| high * 16 + low);
        u8::try_from(value).unwrap()
    };
    digits.chunks(2).map(byte).collect()
}
