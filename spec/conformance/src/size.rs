//! Numbers of bytes, as people read and write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes, shown with the unit that a person would choose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size(pub u64);

const UNITS: [(u32, &str); 5] = [(50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];

/// Text that is no number of bytes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseSizeError {
    /// It does not begin with a number.
    #[error("a number of bytes is needed, such as 256MiB")]
    Number,
    /// What follows the number is no unit.
    #[error("unknown unit {0:?}: use KiB, MiB, GiB or TiB")]
    Unit(String),
    /// More than 64 bits of bytes.
    #[error("too many bytes")]
    TooMany,
}

impl FromStr for Size {
    type Err = ParseSizeError;

    /// Reads `4096`, `256M`, `256MiB`, `256 MiB`: units are powers of 1024.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(ParseSizeError::Number);
        }
        let shift = match unit.trim_start() {
            "" | "B" => 0,
            "K" | "KiB" => 10,
            "M" | "MiB" => 20,
            "G" | "GiB" => 30,
            "T" | "TiB" => 40,
            _ => return Err(ParseSizeError::Unit(unit.to_owned())),
        };
        let number: u64 = number.parse().map_err(|_| ParseSizeError::TooMany)?;
        number.checked_mul(1 << shift).map(Self).ok_or(ParseSizeError::TooMany)
    }
}

/// Bits a second, shown as links are advertised: powers of 1000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

impl Rate {
    /// So many bytes in so long.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    pub fn of(bytes: u64, time: Duration) -> Self {
        if time.is_zero() { Self(0.0) } else { Self(bytes as f64 * 8.0 / time.as_secs_f64()) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            rate if rate >= 1e9 => (rate / 1e9, "Gb/s"),
            rate if rate >= 1e6 => (rate / 1e6, "Mb/s"),
            rate => (rate / 1e3, "kb/s"),
        };
        f.pad(&format!("{value:.2} {unit}"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        let text = match UNITS.iter().find(|(shift, _)| bytes >> shift > 0) {
            None => format!("{bytes} B"),
            Some((shift, unit)) => {
                let whole = bytes >> shift;
                let hundredths = ((bytes - (whole << shift)) * 100) >> shift;
                match (hundredths / 10, hundredths % 10) {
                    (0, 0) => format!("{whole} {unit}"),
                    (tenths, 0) => format!("{whole}.{tenths} {unit}"),
                    _ => format!("{whole}.{hundredths:02} {unit}"),
                }
            }
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_or_without_a_unit() {
        let read = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(read("4096"), Ok(4096));
        assert_eq!(read("256M"), Ok(256 << 20));
        assert_eq!(read("256MiB"), Ok(256 << 20));
        assert_eq!(read("16 TiB"), Ok(16 << 40));
        assert_eq!(read("MiB"), Err(ParseSizeError::Number));
        assert_eq!(read("3MB"), Err(ParseSizeError::Unit("MB".to_owned())));
        assert_eq!(read("-1"), Err(ParseSizeError::Number));
        assert_eq!(read("99999999999999999999"), Err(ParseSizeError::TooMany));
        assert_eq!(read("17179869184GiB"), Err(ParseSizeError::TooMany));
    }

    #[test]
    fn rates_are_shown_in_powers_of_1000() {
        let rate = Rate::of(3_250_000_000, Duration::from_secs(1));
        assert_eq!(rate.to_string(), "26.00 Gb/s");
        assert_eq!(Rate::of(1, Duration::ZERO).to_string(), "0.00 kb/s");
    }

    #[test]
    fn sizes_read_as_a_person_would_write_them() {
        let shown = |bytes| Size(bytes).to_string();
        assert_eq!(shown(0), "0 B");
        assert_eq!(shown(1023), "1023 B");
        assert_eq!(shown(1024), "1 KiB");
        assert_eq!(shown(64 << 20), "64 MiB");
        assert_eq!(shown(0x8_2000), "520 KiB");
        assert_eq!(shown(3 << 19), "1.5 MiB");
        assert_eq!(shown((1 << 30) + (1 << 28)), "1.25 GiB");
        assert_eq!(shown(u64::MAX), "16383.99 PiB");
    }
}
