//! Bytes as a vector gives them: hexadecimal digits, or parts of which some come many times.

use serde::{Deserialize, Serialize};

/// The bytes of a vector.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Bytes {
    /// All of them.
    Whole {
        /// As digits.
        hex: Hex,
    },
    /// One part after the other.
    Parts {
        /// The parts, in order.
        parts: Vec<Part>,
    },
}

/// A part of the bytes of a vector.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Part {
    /// Bytes that come so many times one after the other.
    Repeated {
        /// As digits.
        hex: Hex,
        /// How often, 1 where it is not said.
        #[serde(default = "once", skip_serializing_if = "is_once")]
        times: usize,
    },
    /// Stream bytes that were left out of a capture: any bytes do in their place.
    Omitted {
        /// How many.
        omitted: usize,
        /// Digest of what was captured, SHA-256 as digits.
        sha256: String,
    },
}

pub(super) const fn once() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) const fn is_once(times: &usize) -> bool {
    *times == 1
}

impl Bytes {
    /// Bytes that are given as they are.
    #[must_use]
    pub fn whole(bytes: &[u8]) -> Self {
        Self::Whole { hex: Hex(bytes.to_vec()) }
    }

    /// The bytes, with zeroes for what was left out.
    #[must_use]
    pub fn expand(&self) -> Vec<u8> {
        match self {
            Self::Whole { hex } => hex.0.clone(),
            Self::Parts { parts } => parts.iter().flat_map(Part::expand).collect(),
        }
    }

    /// Whether bytes were left out.
    #[must_use]
    pub fn is_abridged(&self) -> bool {
        match self {
            Self::Whole { .. } => false,
            Self::Parts { parts } => parts.iter().any(|part| matches!(part, Part::Omitted { .. })),
        }
    }
}

impl Part {
    fn expand(&self) -> Vec<u8> {
        match self {
            Self::Repeated { hex, times } => hex.0.repeat(*times),
            Self::Omitted { omitted, .. } => vec![0; *omitted],
        }
    }
}

/// Bytes written as pairs of hexadecimal digits, with white space between pairs wherever it helps.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hex(pub Vec<u8>);

/// Text that is not pairs of hexadecimal digits.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not pairs of hexadecimal digits: {found:?}")]
pub struct NotHex {
    /// What was found in place of a pair.
    pub found: String,
}

impl TryFrom<String> for Hex {
    type Error = NotHex;

    fn try_from(text: String) -> Result<Self, NotHex> {
        let mut bytes = Vec::new();
        for group in text.split_ascii_whitespace() {
            for pair in group.as_bytes().chunks(2) {
                // A number may have a sign, and a byte has none.
                let two = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
                let digits = std::str::from_utf8(pair).ok().filter(|_| two);
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.push(byte.ok_or_else(|| NotHex { found: group.to_owned() })?);
            }
        }
        Ok(Self(bytes))
    }
}

impl From<Hex> for String {
    fn from(hex: Hex) -> Self {
        hex.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_may_stand_in_groups_of_pairs() {
        assert_eq!(Hex::try_from("00ff 10\n2a".to_owned()), Ok(Hex(vec![0, 0xff, 0x10, 0x2a])));
        for wrong in ["0", "000", "0g", "+1"] {
            let found = wrong.to_owned();
            assert_eq!(Hex::try_from(found.clone()), Err(NotHex { found }));
        }
    }

    #[test]
    fn parts_stand_one_after_the_other() {
        let repeated = Part::Repeated { hex: Hex(vec![1, 2]), times: 2 };
        let omitted = Part::Omitted { omitted: 3, sha256: String::new() };
        let bytes = Bytes::Parts { parts: vec![repeated, omitted] };
        assert_eq!(bytes.expand(), [1, 2, 1, 2, 0, 0, 0]);
        assert!(bytes.is_abridged());
    }
}
