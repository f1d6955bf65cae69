use byteorder::{BigEndian, ByteOrder};

use super::{CutShort, Kind};

/// The header in front of every control message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Bytes after the header.
    pub length: u32,
    /// What the message is.
    pub kind: Kind,
    /// How many commands of this kind follow; without meaning on QEMU_FILE.
    pub repeat: u32,
}

impl Header {
    /// Bytes on the wire; the last four are padding, which nobody checks.
    pub const BYTES: usize = 16;

    /// Splits a message into its header and what follows.
    ///
    /// # Errors
    /// When the message is shorter than a header.
    pub fn decode(message: &[u8]) -> Result<(Self, &[u8]), CutShort> {
        let Some((header, payload)) = message.split_first_chunk::<{ Self::BYTES }>() else {
            return Err(CutShort { wanted: Self::BYTES, present: message.len() });
        };
        let mut fields = [0; 4];
        BigEndian::read_u32_into(header, &mut fields);
        let [length, kind, repeat, _padding] = fields;
        Ok((Self { length, kind: Kind::from_number(kind), repeat }, payload))
    }

    /// Appends the header to a message, with padding of zero.
    pub fn encode(self, message: &mut Vec<u8>) {
        let mut bytes = [0; Self::BYTES];
        BigEndian::write_u32_into(&[self.length, self.kind.number(), self.repeat, 0], &mut bytes);
        message.extend_from_slice(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_real_traffic_reads_right() {
        let mut message = vec![0, 0, 0, 0xbf, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0];
        message.extend_from_slice(b"QEVM");
        let (header, payload) = Header::decode(&message).unwrap();
        assert_eq!(header, Header { length: 191, kind: Kind::QemuFile, repeat: 1 });
        assert_eq!(payload, b"QEVM");
        let mut again = Vec::new();
        header.encode(&mut again);
        assert_eq!(again, message[..16]);
    }

    #[test]
    fn fifteen_bytes_are_no_header() {
        assert_eq!(Header::decode(&[0; 15]), Err(CutShort { wanted: 16, present: 15 }));
    }
}
