use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table, TableComponent};

use super::{Ending, written};
use rdma_migration_conformance::vectors::vector::{Content, File};
use rdma_migration_conformance::vectors::{FILES, copy_to};

/// List the test vectors, or write them into a folder.
///
/// They are messages, streams and dialogues, valid and invalid, each with what a reader has to find in
/// it, for implementations in any language. Their README explains them.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write the files into this folder. It is made if it is not there, and has to be empty.
    #[arg(long, value_name = "DIR")]
    copy: Option<PathBuf>,
}

/// How many vectors a file has.
#[derive(Clone, Copy, Default)]
struct Counts {
    valid: usize,
    invalid: usize,
    dialogues: usize,
}

impl Counts {
    fn of(file: &File) -> Self {
        let mut counts = Self::default();
        for vector in &file.vector {
            let errors = match &vector.content {
                Content::PrivateData(case) => case.expected.errors(),
                Content::Message(case) => case.expected.errors(),
                Content::Stream(case) => case.expected.errors(),
                Content::StreamEnd(case) => case.expected.errors(),
                Content::Dialogue(_) => {
                    counts.dialogues += 1;
                    continue;
                }
            };
            *if errors.is_empty() { &mut counts.valid } else { &mut counts.invalid } += 1;
        }
        counts
    }

    fn and(self, other: Self) -> Self {
        Self {
            valid: self.valid + other.valid,
            invalid: self.invalid + other.invalid,
            dialogues: self.dialogues + other.dialogues,
        }
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Ending, String> {
    let mut output = io::stdout().lock();
    written(match &arguments.copy {
        Some(folder) => {
            let files = copy(folder)?;
            writeln!(output, "{files} files written to {}", folder.display())
        }
        None => writeln!(output, "{}", list()?),
    })?;
    Ok(Ending::Fine)
}

fn copy(folder: &Path) -> Result<usize, String> {
    // Files of another version must not stand among these. What is no folder, copying complains of.
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(format!("{} is not empty", folder.display()));
    }
    copy_to(folder).map_err(|error| format!("cannot write the vectors: {error}"))
}

fn list() -> Result<Table, String> {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header(["file", "subject", "valid", "invalid", "dialogues"]);
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut total = Counts::default();
    for (name, contents) in FILES {
        // The manifest has no vectors, and neither have the files of another kind.
        if !name.ends_with(".toml") || *name == "manifest.toml" {
            continue;
        }
        let file: File = toml::from_str(contents).map_err(|error| format!("{name}: {error}"))?;
        let counts = Counts::of(&file);
        total = total.and(counts);
        table.add_row(row(name, &file.title, counts));
    }
    table.add_row(row("", "all", total));
    Ok(table)
}

fn row(name: &str, subject: &str, counts: Counts) -> [String; 5] {
    let Counts { valid, invalid, dialogues } = counts;
    [
        name.to_owned(),
        subject.to_owned(),
        valid.to_string(),
        invalid.to_string(),
        dialogues.to_string(),
    ]
}
