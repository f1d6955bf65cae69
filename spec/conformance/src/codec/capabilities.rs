use byteorder::{BigEndian, ByteOrder};

use super::CutShort;

/// What both sides exchange as private data of connection management.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capabilities {
    /// The protocol version; 1 is the only one deployed.
    pub version: u32,
    /// One bit for each capability.
    pub flags: u32,
}

impl Capabilities {
    /// Bytes on the wire; private data may be longer, and only these count.
    pub const BYTES: usize = 8;
    /// The flag that asks for all RAM to be registered at once, instead of chunk by chunk.
    pub const PIN_ALL: u32 = 1;

    /// Reads the first eight bytes of private data.
    ///
    /// # Errors
    /// When there are fewer than eight.
    pub fn decode(private_data: &[u8]) -> Result<Self, CutShort> {
        let Some(bytes) = private_data.first_chunk::<{ Self::BYTES }>() else {
            return Err(CutShort { wanted: Self::BYTES, present: private_data.len() });
        };
        let (version, flags) = bytes.split_at(4);
        Ok(Self { version: BigEndian::read_u32(version), flags: BigEndian::read_u32(flags) })
    }

    /// The eight bytes of private data.
    #[must_use]
    pub fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        BigEndian::write_u32_into(&[self.version, self.flags], &mut bytes);
        bytes
    }

    /// Whether all RAM is to be registered at once.
    #[must_use]
    pub fn pin_all(self) -> bool {
        self.flags & Self::PIN_ALL != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_data_longer_than_eight_bytes_counts_by_its_first_eight() {
        let mut private_data = vec![0, 0, 0, 1, 0, 0, 0, 1];
        private_data.resize(56, 0xff);
        let capabilities = Capabilities::decode(&private_data).unwrap();
        assert_eq!(capabilities, Capabilities { version: 1, flags: 1 });
        assert!(capabilities.pin_all());
        assert_eq!(capabilities.encode(), private_data[..8]);
    }

    #[test]
    fn seven_bytes_are_too_few() {
        assert_eq!(Capabilities::decode(&[0; 7]), Err(CutShort { wanted: 8, present: 7 }));
    }
}
