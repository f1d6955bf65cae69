//! Whether memory is zero throughout.

/// Bytes that are looked at before the answer is asked for: a page.
const STEP_BYTES: usize = 4096;

/// Whether every byte is zero. Ends within 4 KiB of the first that is not.
///
/// For memory that nobody writes meanwhile. RAM of a guest that runs is not that: a transport that
/// scans it beside the guest reads it by other means.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(STEP_BYTES).all(step_is_zero)
}

/// Folds with OR instead of asking word by word, which the compiler turns into vector instructions.
fn step_is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks();
    let words = words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word));
    let rest = rest.iter().fold(0, |all, byte| all | byte);
    words == 0 && rest == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_single_byte_anywhere_makes_memory_non_zero() {
        let mut bytes = vec![0; 2 * STEP_BYTES + 13];
        assert!(is_zero(&bytes));
        let last = bytes.len() - 1;
        for place in [0, 7, 8, STEP_BYTES - 1, STEP_BYTES, 2 * STEP_BYTES, last - 5, last] {
            bytes[place] = 0x80;
            assert!(!is_zero(&bytes), "{place}");
            assert!(is_zero(&bytes[..place]) && is_zero(&bytes[place + 1..]), "{place}");
            bytes[place] = 0;
        }
    }

    #[test]
    fn no_bytes_are_zero() {
        assert!(is_zero(&[]));
    }
}
