//! The report for a terminal.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table, TableComponent};

use super::{CaseReport, Policy, Report};
use crate::inspect::printable;
use crate::suite::{Column, Outcome, Role};

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
        writeln!(writer, "{}\n", self.table())?;
        let (reached, all) = (self.requirements_reached(), self.requirements.len());
        writeln!(writer, "{reached} of {all} requirements reached")?;
        if self.dangerous_left_out > 0 {
            let cases = self.dangerous_left_out;
            writeln!(writer, "{cases} cases left out that may crash the peer: --dangerous")?;
        }
        for case in self.cases.iter().filter(|case| is_told(case)) {
            writeln!(writer)?;
            write_case(case, &palette, &mut writer)?;
        }
        let style = match self.policy {
            Policy::Met => palette.good,
            Policy::Failed => palette.bad,
            Policy::StaleWaiver | Policy::Inconclusive | Policy::Interrupted => palette.odd,
        };
        writeln!(writer, "\n{style}{}{style:#}", self.summary())
    }

    /// What the run comes to, in a sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        let cases = self.cases.len();
        let peer = &self.peer;
        let bad = self.count(Outcome::Fail) + self.count(Outcome::Timeout);
        let what = match self.policy {
            Policy::Met => format!("{peer} does in all {cases} cases what is required of it"),
            Policy::Failed => format!("{peer} fails in {bad} of {cases} cases"),
            Policy::StaleWaiver => {
                let stale = self.count(Outcome::UnexpectedPass);
                format!(
                    "{peer} passes in {stale} of {cases} cases in which it was expected to fail"
                )
            }
            Policy::Inconclusive => format!("nobody can tell of all of the {cases} cases"),
            Policy::Interrupted => format!("{peer} does not fail in {cases} cases"),
        };
        let waived = match self.count(Outcome::Waived) {
            0 => String::new(),
            waived => format!(", {waived} of them waived"),
        };
        let interrupted = if self.interrupted { "interrupted: " } else { "" };
        format!(
            "{interrupted}{what}{}",
            if self.policy == Policy::Met { waived } else { String::new() }
        )
    }

    /// How many cases of each chapter and role ended how.
    fn table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_preset(NOTHING)
            .set_style(TableComponent::HeaderLines, '─')
            .set_style(TableComponent::MiddleHeaderIntersections, '─');
        let mut header = vec!["chapter".to_owned(), "role".to_owned(), "cases".to_owned()];
        header.extend(Outcome::ALL.map(|outcome| outcome.to_string()));
        header.extend(["unsafe".to_owned(), "wording".to_owned()]);
        let columns = header.len();
        table.set_header(header);
        for chapter in self.chapters() {
            for role in [Role::Destination, Role::Source] {
                let of_row = |case: &&CaseReport| case.chapter == chapter && case.role == role;
                let cases: Vec<_> = self.cases.iter().filter(of_row).collect();
                if !cases.is_empty() {
                    table.add_row(row(chapter, &role.to_string(), &cases));
                }
            }
        }
        table.add_row(row("all", "", &self.cases.iter().collect::<Vec<_>>()));
        for column in 2..columns {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table
    }
}

fn row(chapter: &str, role: &str, cases: &[&CaseReport]) -> Vec<String> {
    let number = |count: usize| if count == 0 { "·".to_owned() } else { count.to_string() };
    let mut row = vec![chapter.to_owned(), role.to_owned(), cases.len().to_string()];
    let ended = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    row.extend(Outcome::ALL.map(|outcome| number(ended(outcome))));
    let breaches = |clean: fn(&CaseReport) -> Option<bool>| {
        number(cases.iter().filter(|case| clean(case) == Some(false)).count())
    };
    row.extend([breaches(|case| case.verdict.safety), breaches(|case| case.verdict.wording)]);
    row
}

/// Whether a case has a paragraph of its own.
fn is_told(case: &CaseReport) -> bool {
    !matches!(case.outcome, Outcome::Pass | Outcome::Waived) || case.difference.is_some()
}

fn write_case(case: &CaseReport, palette: &Palette, writer: &mut impl Write) -> io::Result<()> {
    let (style, faint) = (palette.of(case.outcome), palette.faint);
    let outcome = case.outcome;
    writeln!(writer, "{style}{outcome}{style:#}  {}  {}", case.id, case.title)?;
    for finding in &case.verdict.findings {
        let column = if finding.column == Column::Safety { "safety: " } else { "" };
        let says = printable(&finding.says);
        writeln!(writer, "    {}  {column}{says}", finding.requirement)?;
    }
    if let Some(reason) = &case.verdict.reason {
        let what = if outcome == Outcome::Timeout { "nothing came: " } else { "" };
        writeln!(writer, "    {what}{}", printable(reason))?;
    }
    if let Some(difference) = &case.difference {
        writeln!(writer, "    {difference}")?;
    }
    writeln!(writer, "    {faint}{}{faint:#}", case.repeat)
}
