//! Reads a fuzzer's bytes as decisions, from front to back.
//!
//! Every decision takes as few bytes as it can, so that changing one byte changes one decision, and
//! bytes that are missing decide for zero, so that any prefix of a script is a script.

/// Decisions that have not been taken yet.
#[derive(Clone, Debug)]
pub struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    /// The script of these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next byte, if there is one.
    pub fn step(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next byte, zero behind the end.
    pub fn byte(&mut self) -> u8 {
        self.step().unwrap_or_default()
    }

    /// A yes or a no.
    pub fn yes(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of these. There has to be one.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    /// A number of 16 bits.
    pub fn u16(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A number of 32 bits.
    pub fn u32(&mut self) -> u32 {
        u32::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A number of 64 bits.
    pub fn u64(&mut self) -> u64 {
        u64::from_be_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// So many bytes, or as many as there are.
    pub fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Bytes behind their own length of one byte.
    pub fn short(&mut self) -> &'a [u8] {
        let length = self.byte();
        self.take(length.into())
    }

    /// All that is left.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_decides_for_zero() {
        let mut script = Script::new(&[3, 1, 2, 9]);
        assert_eq!(script.short(), [1, 2, 9]);
        assert_eq!((script.step(), script.byte(), script.u64()), (None, 0, 0));
        assert_eq!(Script::new(&[4, 7]).short(), [7]);
        assert_eq!(Script::new(&[7]).pick(&[1, 2, 3]), 2);
    }
}
