//! Rates and times, as people write them.

use std::str::FromStr;

/// Bits a second, read as links are advertised: `100G`, `26Gb/s`, `2.5 Gbit/s`. 0 is without a
/// limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BitRate(pub u64);

/// A time, read with its unit: `20us`, `1.5 µs`, `140ms`, `0.14s`, `298ns`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Nanoseconds(pub u64);

/// Text that is no rate or no time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseQuantityError {
    /// It does not begin with a number.
    #[error("a number with a unit is needed, such as {example}")]
    Number {
        /// What would do.
        example: &'static str,
    },
    /// What follows the number is no unit.
    #[error("unknown unit {unit:?}: use {units}")]
    Unit {
        /// What was found.
        unit: String,
        /// What is known.
        units: &'static str,
    },
    /// It is more than any link carries or any wait lasts.
    #[error("too much")]
    TooMuch,
}

/// More than this, in bit/s or ns, is a mistake: 1 Pb/s, and eleven days.
const MAX: u128 = 1_000_000_000_000_000;

impl FromStr for BitRate {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = split(text, "26Gb/s")?;
        let unit = unit.strip_suffix("b/s").or(unit.strip_suffix("bit/s")).unwrap_or(unit);
        let size = match unit {
            "" => 1,
            "k" => 1_000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "T" => 1_000_000_000_000,
            _ => {
                let unit = unit.to_owned();
                return Err(ParseQuantityError::Unit { unit, units: "kb/s, Mb/s, Gb/s or Tb/s" });
            }
        };
        number.times(size).map(Self)
    }
}

impl FromStr for Nanoseconds {
    type Err = ParseQuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = split(text, "20us")?;
        let size = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            _ => {
                let unit = unit.to_owned();
                return Err(ParseQuantityError::Unit { unit, units: "ns, us, ms or s" });
            }
        };
        number.times(size).map(Self)
    }
}

/// A decimal number, exactly.
struct Decimal {
    digits: u128,
    /// How many of the digits are behind the point.
    decimals: u32,
}

impl Decimal {
    fn times(&self, size: u128) -> Result<u64, ParseQuantityError> {
        let value = self.digits.checked_mul(size).ok_or(ParseQuantityError::TooMuch)?;
        let value = value / 10_u128.pow(self.decimals);
        if value > MAX {
            return Err(ParseQuantityError::TooMuch);
        }
        u64::try_from(value).map_err(|_| ParseQuantityError::TooMuch)
    }
}

/// Digits behind the point that are read.
const DECIMALS_MAX: usize = 12;

fn split<'t>(
    text: &'t str,
    example: &'static str,
) -> Result<(Decimal, &'t str), ParseQuantityError> {
    let is_number = |character: char| character.is_ascii_digit() || character == '.';
    let end = text.find(|character| !is_number(character)).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let malformed = whole.is_empty() || decimals.contains('.') || number.ends_with('.');
    if malformed || decimals.len() > DECIMALS_MAX {
        return Err(ParseQuantityError::Number { example });
    }
    let digits = format!("{whole}{decimals}").parse().map_err(|_| ParseQuantityError::TooMuch)?;
    let decimals = u32::try_from(decimals.len()).map_err(|_| ParseQuantityError::TooMuch)?;
    Ok((Decimal { digits, decimals }, unit.strip_prefix(' ').unwrap_or(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_in_powers_of_1000() {
        let read = |text: &str| text.parse::<BitRate>().map(|rate| rate.0).ok();
        assert_eq!(read("100G"), Some(100_000_000_000));
        assert_eq!(read("2.5 Gb/s"), Some(2_500_000_000));
        assert_eq!(read("40Gbit/s"), Some(40_000_000_000));
        assert_eq!(read("0"), Some(0));
        for wrong in ["", "G", "1..5G", "1.G", ".5G", "5X", "-5G", "9999999T", "1GB"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn times_are_read_with_their_unit() {
        let read = |text: &str| text.parse::<Nanoseconds>().map(|time| time.0).ok();
        assert_eq!(read("20us"), Some(20_000));
        assert_eq!(read("1.5 µs"), Some(1_500));
        assert_eq!(read("0.14s"), Some(140_000_000));
        assert_eq!(read("298ns"), Some(298));
        for wrong in ["20", "us", "20m", "99999999999999999999999999999999999999999s", "9999999s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
