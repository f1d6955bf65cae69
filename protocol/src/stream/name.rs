//! Names as they stand in a stream.

use core::fmt::{self, Write};

/// A name in a stream: bytes that the source chose.
///
/// It is compared byte by byte. When shown, whatever is not plain text is escaped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Wraps the bytes of a name.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes of the name.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The name as text, if it is UTF-8.
    #[must_use]
    pub const fn as_str(self) -> Option<&'a str> {
        match core::str::from_utf8(self.0) {
            Ok(text) => Some(text),
            Err(_) => None,
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            write!(f, "{}", chunk.valid().escape_debug())?;
            write!(f, "{}", chunk.invalid().escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        fmt::Display::fmt(self, f)?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn a_name_is_shown_without_its_control_characters() {
        let hostile = Name::new(b"pc.ram\x1b[2J\xff");
        assert_eq!(hostile.to_string(), r"pc.ram\u{1b}[2J\xff");
        assert_eq!(format!("{hostile:?}"), r#""pc.ram\u{1b}[2J\xff""#);
        assert_eq!(hostile.as_str(), None);
        assert_eq!(Name::new(b"pc.ram").as_str(), Some("pc.ram"));
    }
}
