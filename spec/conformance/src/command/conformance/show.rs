use std::io::{self, Write};

use clap::Args;

use super::{Ending, written};
use rdma_migration_conformance::suite::report::chapter_of;
use rdma_migration_conformance::suite::{Case, cases, requirements};

/// Show what a case checks: its requirements, what is sent, what is accepted.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The case, as `conformance list` names it.
    id: String,
}

const WIDTH: usize = 96;

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Ending, String> {
    let wanted = &arguments.id;
    let case = cases::all()
        .find(|case| case.id.eq_ignore_ascii_case(wanted))
        .ok_or_else(|| format!("{wanted}: the suite has no such case; see `conformance list`"))?;
    written(show(case, &mut io::stdout().lock()))?;
    Ok(Ending::Fine)
}

fn show(case: &Case, output: &mut impl Write) -> io::Result<()> {
    writeln!(output, "{}  {}\n", case.id, case.title)?;
    let dangerous = if case.dangerous { ", may crash a deployed peer" } else { "" };
    let chapter = chapter_of(case).title;
    writeln!(output, "under test  {}", case.role)?;
    writeln!(output, "chapter     {chapter}")?;
    writeln!(output, "level       {}", case.level)?;
    writeln!(output, "profile     {}{dangerous}", case.profile)?;
    writeln!(output, "peer        {}", needs(case))?;
    for (name, text) in [("sends", case.sends), ("accepts", case.accepts)] {
        if !text.is_empty() {
            writeln!(output, "{name:12}{}", wrap(text, 12))?;
        }
    }
    writeln!(output)?;
    for id in case.requirements {
        let text = requirements::find(id).map_or("(not in the text)", |found| &found.text);
        writeln!(output, "[{id}] {}", wrap(text, id.len() + 3))?;
    }
    writeln!(output, "\n$ rdma-migration conformance run --filter {}", case.id)
}

/// What the peer has to be.
fn needs(case: &Case) -> String {
    let mut needs = Vec::new();
    if case.peer.pin_all {
        needs.push("with all RAM pinned".to_owned());
    }
    if case.peer.unregisters {
        needs.push("that gives registrations back".to_owned());
    }
    if !case.peer.faults.is_empty() {
        needs.push(format!("whose host fails: {}", case.peer.faults.join(", ")));
    }
    if needs.is_empty() { "any".to_owned() } else { needs.join(", ") }
}

/// Breaks a text into lines, all but the first indented.
fn wrap(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { continue };
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{:indent$}", ""))
}
