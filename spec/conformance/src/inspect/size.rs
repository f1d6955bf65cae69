use std::fmt;

/// A number of bytes, shown with the unit that a person would choose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Size(pub(super) u64);

const UNITS: [(u32, &str); 5] = [(50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];

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
