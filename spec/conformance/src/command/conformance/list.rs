use std::io::{self, Write};

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{Table, TableComponent};
use serde::Serialize;

use super::{Ending, OutputFormat, selection, written};
use rdma_migration_conformance::suite::report::chapter_of;
use rdma_migration_conformance::suite::{Case, Level, Profile, Role};

/// List the cases of the suite.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: selection::Which,

    /// How to write the list.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// A case, as the list has it.
#[derive(Serialize)]
struct Listed {
    id: &'static str,
    title: &'static str,
    chapter: &'static str,
    role: Role,
    level: Level,
    profile: Profile,
    dangerous: bool,
    requirements: &'static [&'static str],
}

impl Listed {
    fn of(case: &'static Case) -> Self {
        Self {
            id: case.id,
            title: case.title,
            chapter: chapter_of(case).title,
            role: case.role,
            level: case.level,
            profile: case.profile,
            dangerous: case.dangerous,
            requirements: case.requirements,
        }
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Ending, String> {
    let selected = selection::select(&arguments.selection.selection(true, None))?;
    let cases: Vec<_> = selected.cases.into_iter().map(Listed::of).collect();
    let mut output = io::stdout().lock();
    written(match arguments.format {
        OutputFormat::Text => writeln!(output, "{}", table(&cases)),
        OutputFormat::Json => serde_json::to_writer_pretty(&mut output, &cases)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(output)),
    })?;
    Ok(Ending::Fine)
}

fn table(cases: &[Listed]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header(["case", "role", "level", "profile", "", "requirements", "title"]);
    for case in cases {
        let dangerous = if case.dangerous { "dangerous" } else { "" };
        table.add_row([
            case.id,
            &case.role.to_string(),
            &case.level.to_string(),
            &case.profile.to_string(),
            dangerous,
            &case.requirements.join(" "),
            case.title,
        ]);
    }
    table
}
