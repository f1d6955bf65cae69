//! Curves in characters: one letter each, on linear axes.

use std::fmt;

use super::scale::{Round, Scale};
use super::{Curve, Curves, whole};
use crate::predict::model::float;
use crate::size::Size;

/// Characters of the plot.
const COLUMNS: usize = 64;

/// Lines of the plot.
const LINES: usize = 18;

/// A letter for each curve, in their order.
const LETTERS: &str = "tdspaw";

/// Curves against guest size, to be displayed.
#[derive(Clone, Copy, Debug)]
pub struct Terminal<'c>(pub &'c Curves);

impl Terminal<'_> {
    /// The letters of each cell, by line from the bottom and column.
    fn cells(&self) -> Vec<Vec<String>> {
        let mut cells = vec![vec![String::new(); COLUMNS]; LINES];
        let y = Scale::linear(self.0.seconds_max());
        for (curve, letter) in self.0.curves.iter().zip(LETTERS.chars()) {
            for column in 0..COLUMNS {
                let place = self.0.end() * fraction(column + 1, COLUMNS);
                let Some(seconds) = self.seconds(curve, place) else { continue };
                let line = nearest(y.place(seconds), LINES - 1);
                if let Some(cell) = cells.get_mut(line).and_then(|line| line.get_mut(column)) {
                    cell.push(letter);
                }
            }
        }
        cells
    }

    /// A curve's value between its places, straight from one to the next.
    fn seconds(&self, curve: &Curve, place: f64) -> Option<f64> {
        let points: Vec<_> = self.0.places.iter().zip(&curve.seconds).collect();
        let pair = points.windows(2).find(|pair| match pair {
            [(from, _), (to, _)] => (**from..=**to * 1.000_001).contains(&place),
            _ => false,
        })?;
        let [(from, first), (to, second)] = pair else { return None };
        Some(*first + (*second - *first) * (place - *from) / (*to - *from))
    }

    fn write_plot(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let y = Scale::linear(self.0.seconds_max());
        let marks = y.marks(Round::Decimal);
        for (line, cells) in self.cells().iter().enumerate().rev() {
            let mark = marks.iter().find(|mark| nearest(y.place(**mark), LINES - 1) == line);
            match mark {
                Some(mark) => write!(f, "{mark:>8} ┤")?,
                None => write!(f, "{:>8} │", "")?,
            }
            // Curves in one cell take turns.
            let shown = cells.iter().enumerate().map(|(column, letters)| {
                let turn = column.checked_rem(letters.len()).unwrap_or_default();
                letters.chars().nth(turn).unwrap_or(' ')
            });
            writeln!(f, "{}", shown.collect::<String>().trim_end())?;
        }
        writeln!(f, "{:>8} └{}", "", "─".repeat(COLUMNS))
    }

    fn write_places(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        for quarter in [1, 2, 3, 4] {
            let place = Size(whole(self.0.end() * fraction(quarter, 4))).to_string();
            let width = COLUMNS * quarter / 4 - line.chars().count();
            line.push_str(&format!("{place:>width$}"));
        }
        writeln!(f, "{:>8}  {line}", "")
    }
}

impl fmt::Display for Terminal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, " seconds, against guest RAM")?;
        self.write_plot(f)?;
        self.write_places(f)?;
        for (curve, letter) in self.0.curves.iter().zip(LETTERS.chars()) {
            writeln!(f, "{:>8}  {letter}  {}", "", curve.name)?;
        }
        Ok(())
    }
}

fn fraction(part: usize, of: usize) -> f64 {
    let number = |count| float(u64::try_from(count).unwrap_or(u64::MAX));
    number(part) / number(of)
}

/// The whole number nearest to that part of `last`, at most `last`.
fn nearest(part: f64, last: usize) -> usize {
    let place = part.clamp(0.0, 1.0) * float(u64::try_from(last).unwrap_or(u64::MAX));
    usize::try_from(whole(place)).unwrap_or(last).min(last)
}

#[cfg(test)]
mod tests {
    use super::super::tests::plan;
    use super::super::{Curves, by_guest_size};
    use super::*;

    fn shown(curves: &Curves) -> String {
        Terminal(curves).to_string()
    }

    #[test]
    fn every_curve_is_drawn_and_the_slowest_is_on_top() {
        let text = shown(&by_guest_size(&plan()));
        let plot: Vec<_> = text.lines().skip(1).take(LINES).collect();
        assert!(plot[0].ends_with('t'), "{text}");
        for letter in LETTERS.chars() {
            assert!(plot.iter().any(|line| line.contains(letter)), "{letter} is not in\n{text}");
        }
        let last = |letter| plot.iter().position(|line| line.contains(letter)).unwrap();
        assert!(last('t') < last('d') && last('d') < last('p') && last('p') < last('a'), "{text}");
        assert!(text.contains("16 GiB") && text.contains("ours, look-ahead"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    #[test]
    fn curves_without_values_are_drawn_too() {
        let mut curves = by_guest_size(&plan());
        for curve in &mut curves.curves {
            curve.seconds.fill(0.0);
        }
        assert!(shown(&curves).contains("seconds"));
    }
}
