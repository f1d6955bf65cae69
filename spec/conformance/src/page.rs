//! The page: the grain in which RAM is looked at.

/// Bytes of a page. The last page of a block may be short.
pub const PAGE_BYTES: u64 = 4096;

/// Bytes of a page, as a length in memory.
pub(crate) const PAGE: usize = 4096;

/// Bytes of RAM that are copied and looked at together, a multiple of the page.
pub(crate) const PIECE: usize = 1 << 20;

const _: () = assert!(PIECE.is_multiple_of(PAGE));

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // A fold without a way out early is what the compiler turns into vector instructions.
    bytes.chunks(PAGE).all(|page| {
        let (words, rest) = page.as_chunks::<8>();
        let words = words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word));
        words | rest.iter().fold(0, |all, byte| all | u64::from(*byte)) == 0
    })
}

/// Splits `length` bytes into pieces and calls `each` with the offset and the length of every one.
///
/// # Errors
/// The first error of `each`.
pub(crate) fn for_each_piece<E>(
    length: u64,
    mut each: impl FnMut(u64, usize) -> Result<(), E>,
) -> Result<(), E> {
    let mut offset = 0;
    while offset < length {
        let piece = usize::try_from(length - offset).map_or(PIECE, |left| left.min(PIECE));
        each(offset, piece)?;
        offset += u64::try_from(piece).unwrap_or(u64::MAX);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_anywhere_makes_memory_other_than_zero() {
        let mut bytes = vec![0; 3 * PAGE + 5];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for at in [0, 7, PAGE - 1, PAGE, 3 * PAGE, 3 * PAGE + 4] {
            bytes[at] = 1;
            assert!(!is_zero(&bytes), "byte {at}");
            bytes[at] = 0;
        }
    }

    #[test]
    fn pieces_cover_a_length_without_gap_or_overlap() {
        let mut pieces = Vec::new();
        let length = 2 * u64::try_from(PIECE).unwrap() + 3;
        for_each_piece(length, |offset, piece| {
            pieces.push((offset, piece));
            Ok::<_, ()>(())
        })
        .unwrap();
        assert_eq!(pieces, [(0, PIECE), (1 << 20, PIECE), (2 << 20, 3)]);
    }
}
