//! The end of a QEMU migration stream: the end marker and the description of the device state.
//!
//! Nothing on the wire says that a stream is complete; a source just disconnects. But QEMU ends its
//! streams with a JSON text that describes the device state, whose length is written in front of it.

use crate::limits::VM_DESCRIPTION_BYTES_MAX;

/// The end marker of a stream.
const END_OF_STREAM: u8 = 0x00;

/// What the description begins with; its length follows in 4 bytes.
const VM_DESCRIPTION: u8 = 0x06;

/// Bytes from the end marker to the description.
const HEAD_BYTES: usize = 6;

/// The description of the device state that ends the stream, if the stream so far ends with the end
/// marker and a description whose length ends at its last byte.
///
/// Looks back at most [`VM_DESCRIPTION_BYTES_MAX`].
#[must_use]
//= spec/text/08-stream.md#end
//# [STR-40] A destination MUST NOT take a stream for complete before it ends with the end marker and a
//# description of the device state whose length ends at the last byte, unless its owner knows that
//# the source sends none.
pub fn vm_description(stream: &[u8]) -> Option<&[u8]> {
    if stream.last() != Some(&b'}') {
        return None;
    }
    let longest = HEAD_BYTES.saturating_add(VM_DESCRIPTION_BYTES_MAX);
    let start = stream.len().saturating_sub(longest);
    let tail = stream.get(start..)?;
    (0..tail.len()).rev().find_map(|at| {
        let (head, description) = tail.get(at..)?.split_first_chunk::<HEAD_BYTES>()?;
        let [END_OF_STREAM, VM_DESCRIPTION, length @ ..] = head else { return None };
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        (length == description.len() && description.first() == Some(&b'{')).then_some(description)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn stream(device_state: &[u8], description: &[u8]) -> Vec<u8> {
        let length = u32::try_from(description.len()).unwrap().to_be_bytes();
        [device_state, &[END_OF_STREAM, VM_DESCRIPTION], &length, description].concat()
    }

    //= spec/text/08-stream.md#end
    //= type=test
    //# [STR-40] A destination MUST NOT take a stream for complete before it ends with the end marker and a
    //# description of the device state whose length ends at the last byte, unless its owner knows that
    //# the source sends none.
    #[test]
    fn a_stream_is_complete_only_with_the_last_byte_of_its_description() {
        let description = br#"{"page_size": 4096, "devices": [{"name": "timer"}]}"#;
        let complete = stream(&[7; 1000], description);
        assert_eq!(vm_description(&complete), Some(&description[..]));
        for length in 0..complete.len() {
            assert_eq!(vm_description(&complete[..length]), None, "{length} bytes");
        }
        let mut longer = complete;
        longer.push(b'}');
        assert_eq!(vm_description(&longer), None);
    }

    #[test]
    fn a_description_needs_the_end_marker_before_it_and_an_object_in_it() {
        let mut unmarked = stream(&[], b"{}");
        unmarked[0] = 1;
        assert_eq!(vm_description(&unmarked), None);
        assert_eq!(vm_description(&stream(&[], b"[}")), None);
        assert_eq!(vm_description(&stream(&[], b"{}")), Some(&b"{}"[..]));
    }

    #[test]
    #[cfg_attr(miri, ignore = "megabytes are too much for an interpreter")]
    fn it_is_not_looked_for_further_back_than_its_longest() {
        let mut description = alloc::vec![b' '; VM_DESCRIPTION_BYTES_MAX + 1];
        description[0] = b'{';
        *description.last_mut().unwrap() = b'}';
        assert_eq!(vm_description(&stream(&[7; 10], &description)), None);
        description.remove(1);
        assert!(vm_description(&stream(&[7; 10], &description)).is_some());
    }
}
