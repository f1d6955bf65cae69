//! The report as one page that needs nothing else: no script, no font, no picture.

mod case;
mod chart;
mod messages;
mod overview;

use std::io::{self, Write};

use super::{CaseReport, Report};
use crate::inspect::printable;
use crate::suite::Profile;
use messages::Messages;

/// The most bytes that a page may have. Charts and the bytes of messages get what the rest leaves:
/// cases that did not pass come first, and where there is no room left the page says so.
const BYTES_MAX: usize = 2_900_000;

const STYLE: &str = include_str!("style.css");

impl Report {
    /// Writes the report as an HTML page of less than 3 MB.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_html(&self, mut writer: impl Write) -> io::Result<()> {
        let mut messages = Messages::default();
        let around = [overview::told(self), overview::matrix(self), overview::requirements(self)];
        let without_charts = case::all(self, &vec![None; self.cases.len()]);
        let taken = around.iter().fold(without_charts.len(), |sum, part| sum + part.len());
        let charts = self.charts(&mut messages, BYTES_MAX.saturating_sub(taken + STYLE.len()));
        let [told, matrix, requirements] = around;
        let title = format!("Conformance of {}", escaped(&self.peer));
        write!(
            writer,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
             style-src 'unsafe-inline'\"/>\n\
             <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        )?;
        writer.write_all(overview::head(self).as_bytes())?;
        writeln!(writer, "<main>")?;
        writer.write_all(told.as_bytes())?;
        writer.write_all(matrix.as_bytes())?;
        writer.write_all(case::all(self, &charts).as_bytes())?;
        writer.write_all(requirements.as_bytes())?;
        writeln!(writer, "</main>")?;
        writer.write_all(messages.html().as_bytes())?;
        writer.write_all(overview::foot(self).as_bytes())?;
        writeln!(writer, "</body>\n</html>")
    }

    /// The chart of each case, in the order of the cases; `None` where there is no room.
    fn charts(&self, messages: &mut Messages, bytes_max: usize) -> Vec<Option<String>> {
        let mut order: Vec<usize> = (0..self.cases.len()).collect();
        order.sort_by_key(|index| self.cases.get(*index).map(importance));
        let mut charts = vec![None; self.cases.len()];
        let mut charts_bytes = 0;
        for index in order {
            let Some(case) = self.cases.get(index) else { continue };
            let Some(transcript) = &case.transcript else { continue };
            let chart = chart::chart(case.role, transcript, messages);
            if charts_bytes + chart.len() + messages.html().len() > bytes_max {
                continue;
            }
            charts_bytes += chart.len();
            if let Some(place) = charts.get_mut(index) {
                *place = Some(chart);
            }
        }
        charts
    }
}

/// What comes first has the smallest.
fn importance(case: &CaseReport) -> (bool, bool) {
    (!case.is_told(), case.profile != Profile::Quick)
}

/// A text as HTML has it, whoever it comes from.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in printable(text).chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            letter => html.push(letter),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_peer_says_is_markup() {
        let text = "<b onclick='x'>&amp;\u{1b}[2J\"\u{0}";
        let html = "&lt;b onclick=&#39;x&#39;&gt;&amp;amp;\\u{1b}[2J&quot;\\u{0}";
        assert_eq!(escaped(text), html);
    }
}
