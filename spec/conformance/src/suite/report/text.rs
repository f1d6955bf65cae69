//! The report for a terminal.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, Color, Table, TableComponent};

use super::steps::{Step, Way, steps};
use super::{CaseReport, Policy, Report};
use crate::inspect::printable;
use crate::suite::{Outcome, Role};

/// The columns of a terminal that lines are made for.
const WIDTH: usize = 100;
/// The steps of the dialogue that are told of a case.
const LAST_STEPS: usize = 5;

/// The styles of the report; all of them plain where colour is not wanted.
#[derive(Clone, Copy, Debug, Default)]
struct Palette {
    good: Style,
    bad: Style,
    odd: Style,
    faint: Style,
}

impl Palette {
    fn new(colour: bool) -> Self {
        if !colour {
            return Self::default();
        }
        Self {
            good: AnsiColor::Green.on_default().bold(),
            bad: AnsiColor::Red.on_default().bold(),
            odd: AnsiColor::Yellow.on_default().bold(),
            faint: Style::new().dimmed(),
        }
    }

    const fn of(&self, outcome: Outcome) -> Style {
        match outcome {
            Outcome::Pass => self.good,
            Outcome::Fail | Outcome::Timeout => self.bad,
            Outcome::UnexpectedPass | Outcome::Inconclusive => self.odd,
            Outcome::Skip | Outcome::Waived => self.faint,
        }
    }
}

impl Report {
    /// Writes the report for people, with escape sequences for colour or without.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_text(&self, mut writer: impl Write, colour: bool) -> io::Result<()> {
        let palette = Palette::new(colour);
        for case in self.cases.iter().filter(|case| case.is_told() && !case.was_not_played()) {
            self.write_case(case, &palette, &mut writer)?;
        }
        self.write_not_played(&palette, &mut writer)?;
        writeln!(writer, "{}\n", self.table(colour))?;
        let (reached, all) = (self.requirements_reached(), self.requirements.len());
        writeln!(writer, "{reached} of {all} requirements reached")?;
        if self.dangerous_left_out > 0 {
            let cases = self.dangerous_left_out;
            writeln!(writer, "{cases} cases left out that may crash the peer: --dangerous")?;
        }
        let broken = |clean: fn(&CaseReport) -> Option<bool>| {
            self.cases.iter().filter(|case| clean(case) == Some(false)).count()
        };
        let safety = broken(|case| case.verdict.safety);
        let wording = broken(|case| case.verdict.wording);
        if safety + wording > 0 {
            writeln!(writer, "unsafe in {safety} cases, against the wording in {wording}")?;
        }
        let style = match self.policy {
            Policy::Met => palette.good,
            Policy::Failed => palette.bad,
            Policy::StaleWaiver | Policy::Inconclusive | Policy::Interrupted => palette.odd,
        };
        writeln!(writer, "{style}{}{style:#}", self.summary())
    }

    /// What the run comes to, in a sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let cases = self.cases.len();
        let peer = &self.peer;
        let bad = self.count(Outcome::Fail) + self.count(Outcome::Timeout);
        let what = match self.policy {
            Policy::Met => match (self.count(Outcome::Waived), self.count(Outcome::Skip)) {
                (0, 0) => format!("{peer} does in all {cases} cases what is required of it"),
                (waived, skipped) => {
                    let passed = self.count(Outcome::Pass);
                    format!(
                        "{peer} is as expected: {passed} of {cases} cases pass, {waived} are \
                         waived, {skipped} skipped"
                    )
                }
            },
            Policy::Failed => format!("{peer} fails in {bad} of {cases} cases"),
            Policy::StaleWaiver => {
                let stale = self.count(Outcome::UnexpectedPass);
                format!(
                    "{peer} passes in {stale} of {cases} cases in which it was expected to fail"
                )
            }
            Policy::Inconclusive => {
                let unknown = self.count(Outcome::Inconclusive) + self.count(Outcome::Skip);
                format!("nobody can tell: {unknown} of {cases} cases were not judged")
            }
            Policy::Interrupted => format!("{peer} does not fail in {cases} cases"),
        };
        let interrupted = if self.interrupted { "interrupted: " } else { "" };
        format!("{interrupted}{what}")
    }

    /// How the cases of each chapter and role ended, and what of the chapter they reach.
    fn table(&self, colour: bool) -> Table {
        let mut table = Table::new();
        table
            .load_preset(NOTHING)
            .set_style(TableComponent::HeaderLines, '─')
            .set_style(TableComponent::MiddleHeaderIntersections, '─');
        if colour {
            table.enforce_styling();
        }
        table.set_header(["chapter", "as destination", "as source", "requirements"]);
        for chapter in self.chapters() {
            let reached = self.reached_of(chapter);
            table.add_row(self.row(chapter, reached, |case| case.chapter == chapter, colour));
        }
        let reached = (self.requirements_reached(), self.requirements.len());
        table.add_row(self.row("all", reached, |_| true, colour));
        table
    }

    fn row(
        &self,
        title: &str,
        (reached, all): (usize, usize),
        is_here: impl Fn(&CaseReport) -> bool,
        colour: bool,
    ) -> Vec<Cell> {
        let mut row = vec![Cell::new(title)];
        for role in [Role::Destination, Role::Source] {
            let of_cell = |case: &&CaseReport| is_here(case) && case.role == role;
            row.push(cell(&self.cases.iter().filter(of_cell).collect::<Vec<_>>(), colour));
        }
        let text = if all == 0 { String::new() } else { format!("{reached:>3} of {all:>3}") };
        row.push(Cell::new(text));
        row
    }

    /// The cases that could not be played, those with the same reason together.
    fn write_not_played(&self, palette: &Palette, writer: &mut impl Write) -> io::Result<()> {
        let mut reasons: BTreeMap<(Outcome, &str), Vec<&str>> = BTreeMap::new();
        for case in self.cases.iter().filter(|case| case.was_not_played()) {
            let reason = case.verdict.reason.as_deref().unwrap_or_default();
            reasons.entry((case.outcome, reason)).or_default().push(&case.id);
        }
        for ((outcome, reason), cases) in &reasons {
            let (style, reason) = (palette.of(*outcome), printable(reason));
            writeln!(writer, "{style}{outcome}{style:#}  {} cases: {reason}", cases.len())?;
            write_wrapped(writer, "", &cases.join(" "), palette.faint)?;
            writeln!(writer)?;
        }
        Ok(())
    }

    fn write_case(
        &self,
        case: &CaseReport,
        palette: &Palette,
        writer: &mut impl Write,
    ) -> io::Result<()> {
        let (style, faint) = (palette.of(case.outcome), palette.faint);
        let outcome = case.outcome;
        writeln!(writer, "{style}{outcome}{style:#}  {}  {}", case.id, case.title)?;
        for finding in &case.verdict.findings {
            let label = finding.column.to_string();
            write_wrapped(writer, &label, &printable(&finding.says), Style::new())?;
            let requirement = self.requirements.iter().find(|it| it.id == finding.requirement);
            let text = requirement.map_or("", |requirement| requirement.text.as_str());
            let id = printable(&finding.requirement);
            write_wrapped(writer, "", &format!("[{id}] {text}"), faint)?;
        }
        if let Some(reason) = &case.verdict.reason {
            let label = if outcome == Outcome::Timeout { "awaited" } else { "because" };
            write_wrapped(writer, label, &printable(reason), Style::new())?;
        }
        if let Some(difference) = &case.difference {
            write_wrapped(writer, "but", &printable(difference), Style::new())?;
        }
        if let Some(transcript) = &case.transcript {
            let steps = steps(transcript);
            let last = steps.get(steps.len().saturating_sub(LAST_STEPS)..).unwrap_or_default();
            for (index, step) in last.iter().enumerate() {
                let label = if index == 0 { "seen" } else { "" };
                writeln!(writer, "    {label:8}{}", line(step))?;
            }
        }
        writeln!(writer, "    {:8}{}\n", "repeat", case.repeat)
    }
}

/// How the cases of a chapter and a role ended.
fn cell(cases: &[&CaseReport], colour: bool) -> Cell {
    let ended = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let counted = Outcome::ALL.map(|outcome| (ended(outcome), outcome));
    let parts = counted.iter().filter(|(count, outcome)| *count > 0 || *outcome == Outcome::Pass);
    let parts: Vec<_> = parts.map(|(count, outcome)| format!("{count} {outcome}")).collect();
    if cases.is_empty() {
        return Cell::new("");
    }
    // The first number of each cell is under the one above it.
    let cell = Cell::new(format!("{:>width$}", parts.join(", "), width = indented(&parts)));
    let worst = counted.iter().filter(|(count, _)| *count > 0).map(|(_, outcome)| outcome.is_bad());
    match (colour, worst.max()) {
        (true, Some(true)) => cell.fg(Color::Red),
        (true, Some(false)) => cell.fg(Color::Green),
        _ => cell,
    }
}

/// The width at which the first number of some parts ends at the third column.
fn indented(parts: &[String]) -> usize {
    let digits = parts.first().and_then(|first| first.find(' ')).unwrap_or_default();
    parts.join(", ").chars().count() + 3_usize.saturating_sub(digits)
}

impl Outcome {
    /// Whether somebody has to look.
    pub(super) const fn is_bad(self) -> bool {
        matches!(self, Self::Fail | Self::Timeout | Self::UnexpectedPass | Self::Inconclusive)
    }
}

impl CaseReport {
    /// Whether a case has a paragraph of its own.
    pub(super) fn is_told(&self) -> bool {
        self.outcome.is_bad() || self.difference.is_some()
    }

    /// Whether nothing was done or seen: a peer of this kind cannot play it, or there was none.
    fn was_not_played(&self) -> bool {
        let unplayed = matches!(self.outcome, Outcome::Skip | Outcome::Inconclusive);
        unplayed && self.transcript.is_none() && self.difference.is_none()
    }
}

/// A step, as the suite's side sees it.
fn line(step: &Step<'_>) -> String {
    let who = match step.way {
        Way::ToPeer => "suite ──▶",
        Way::FromPeer => "peer  ──▶",
        Way::AtSuite => "suite",
        Way::AtPeer => "peer",
    };
    let line = format!("{:>10}  {who:9}  {}  {}", seconds(step.time_us), step.name, step.detail);
    let room = WIDTH - 12;
    match line.char_indices().nth(room) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.trim_end().to_owned(),
    }
}

/// Microseconds, in seconds.
pub(super) fn seconds(time_us: u64) -> String {
    format!("{}.{:06}", time_us / 1_000_000, time_us % 1_000_000)
}

/// Writes a text behind a label, on as many lines as it needs.
fn write_wrapped(writer: &mut impl Write, label: &str, text: &str, style: Style) -> io::Result<()> {
    let mut label = label;
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && 12 + line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(writer, "    {label:8}{style}{line}{style:#}")?;
            line.clear();
            label = "";
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(writer, "    {label:8}{style}{line}{style:#}")
}
