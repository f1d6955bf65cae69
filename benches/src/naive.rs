//! The baseline of the codec: plain structs, and a loop that swaps the bytes of each field. It checks
//! nothing.

/// A struct of big-endian fields.
pub trait Plain: Sized {
    /// Bytes of one on the wire.
    const BYTES: usize;

    /// Reads one from exactly its bytes.
    fn read(bytes: &[u8]) -> Self;

    /// Writes one to exactly its bytes.
    fn write(&self, bytes: &mut [u8]);
}

/// Reads all structs in `bytes` into `values`.
pub fn decode<T: Plain>(bytes: &[u8], values: &mut [T]) {
    for (bytes, value) in bytes.chunks_exact(T::BYTES).zip(values) {
        *value = T::read(bytes);
    }
}

/// Writes all `values` into `bytes`.
pub fn encode<T: Plain>(values: &[T], bytes: &mut [u8]) {
    for (bytes, value) in bytes.chunks_exact_mut(T::BYTES).zip(values) {
        value.write(bytes);
    }
}

/// Defines a struct of big-endian integers; each field with its first byte and the one after it.
macro_rules! plain {
    ($(#[$doc:meta])* $name:ident, $bytes:literal: $($field:ident $integer:ident $place:expr),+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct $name {
            $(#[doc = concat!("The wire's `", stringify!($field), "`.")] pub $field: $integer,)+
        }

        impl Plain for $name {
            const BYTES: usize = $bytes;

            fn read(bytes: &[u8]) -> Self {
                Self { $($field: $integer::from_be_bytes(bytes[$place].try_into().unwrap())),+ }
            }

            fn write(&self, bytes: &mut [u8]) {
                $(bytes[$place].copy_from_slice(&self.$field.to_be_bytes());)+
            }
        }
    };
}

plain!(
    /// The header of a message.
    Header, 16: length u32 0..4, kind u32 4..8, repeat u32 8..12,
    padding u32 12..16
);
plain!(
    /// A RAM block.
    RamBlock, 32: remote_address u64 0..8, offset u64 8..16, length u64 16..24, rkey u32 24..28,
    padding u32 28..32
);
plain!(
    /// A run of equal bytes.
    Compress, 24: value u32 0..4, block u32 4..8, offset u64 8..16, length u64 16..24
);
plain!(
    /// A request to register chunks.
    RegisterRequest, 24: address u64 0..8, block u32 8..12, padding u32 12..16, chunks u64 16..24
);
plain!(
    /// The key of registered chunks.
    RegisterResult, 16: rkey u32 0..4, padding u32 4..8, host_address u64 8..16
);
plain!(
    /// A request to unregister a chunk.
    UnregisterRequest, 24: chunk u64 0..8, block u32 8..12, padding u32 12..16, chunks u64 16..24
);
