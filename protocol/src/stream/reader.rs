//! Reads a stream from front to back, and knows how far it has come.

use super::setup_error::{SetupError, SetupFault};

/// The part of a stream that has not been read yet.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts to read `bytes`, which lie `offset` bytes into the stream.
    pub(super) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, offset }
    }

    /// Bytes of the stream before the next one.
    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// What has not been read yet.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether the next byte is `expected`.
    pub(super) fn is_at(&self, expected: u8) -> bool {
        self.rest.first() == Some(&expected)
    }

    /// Reads `count` bytes, which hold the `field`.
    pub(super) fn take(
        &mut self,
        count: usize,
        field: &'static str,
    ) -> Result<&'a [u8], SetupError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(SetupError {
            offset: self.offset,
            fault: SetupFault::Truncated { field, wanted: count, left: self.rest.len() },
        })?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(count);
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], SetupError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, field)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, SetupError> {
        self.array(field).map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self, field: &'static str) -> Result<u16, SetupError> {
        self.array(field).map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, SetupError> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, SetupError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// Reads bytes behind their own length of one byte.
    pub(super) fn short_string(&mut self, field: &'static str) -> Result<&'a [u8], SetupError> {
        let length = self.u8(field)?;
        self.take(length.into(), field)
    }
}
