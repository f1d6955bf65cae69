/// Bytes in front of the text: the end marker, the start of the description, its length.
const HEAD_BYTES: usize = 6;
/// The longest description that is looked for.
const DESCRIPTION_BYTES_MAX: usize = 1 << 20;

/// The description of the device state, if a QEMU migration stream ends with its end marker and that.
#[must_use]
pub fn find_description(stream: &[u8]) -> Option<&[u8]> {
    if stream.last() != Some(&b'}') {
        return None;
    }
    let longest = HEAD_BYTES + DESCRIPTION_BYTES_MAX;
    let tail = stream.get(stream.len().saturating_sub(longest)..)?;
    (0..tail.len()).find_map(|at| {
        let (head, text) = tail.get(at..)?.split_first_chunk::<HEAD_BYTES>()?;
        let [0x00, 0x06, length @ ..] = head else { return None };
        let ends = usize::try_from(u32::from_be_bytes(*length)) == Ok(text.len());
        (ends && text.first() == Some(&b'{')).then_some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_with_the_last_byte_of_its_description_only() {
        let stream = b"anything\x00\x06\x00\x00\x00\x08{\"a\": 1}";
        assert_eq!(find_description(stream), Some(&b"{\"a\": 1}"[..]));
        for length in 0..stream.len() {
            assert_eq!(find_description(&stream[..length]), None, "{length} bytes");
        }
        assert_eq!(find_description(&[&stream[..], b"}"].concat()), None);
    }
}
