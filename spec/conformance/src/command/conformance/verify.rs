use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::Args;

use super::{Ending, written};
use rdma_migration_conformance::inspect::printable;
use rdma_migration_conformance::suite::evidence::{self, Verified};

/// Judge the evidence of an earlier run again, without the peer.
///
/// Checks that nothing is missing, added or changed, and finds every verdict again from what was done
/// and seen.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Exit status: 0 when everything agrees; 1 when something does not; 2 when the \
    folder cannot be read."
)]
pub(super) struct Arguments {
    /// The folder that `conformance run --evidence` has made.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Ending, String> {
    let verified = evidence::verify(&arguments.folder)
        .map_err(|error| format!("cannot verify {}: {error}", arguments.folder.display()))?;
    let mut output = BufWriter::new(io::stdout().lock());
    written(show(&verified, &mut output).and_then(|()| output.flush()))?;
    Ok(if verified.agrees() { Ending::Fine } else { Ending::Failed })
}

fn show(verified: &Verified, output: &mut impl Write) -> io::Result<()> {
    for disagreement in &verified.disagreements {
        writeln!(output, "{disagreement}")?;
    }
    if let Some(version) = &verified.made_by {
        let (theirs, ours) = (printable(version), env!("CARGO_PKG_VERSION"));
        writeln!(output, "made by version {theirs} of the suite, judged again by {ours}")?;
    }
    let found: usize = verified.found_again.values().sum();
    let outcomes: Vec<_> =
        verified.found_again.iter().map(|(outcome, cases)| format!("{cases} {outcome}")).collect();
    let outcomes = match outcomes.is_empty() {
        true => String::new(),
        false => format!(" ({})", outcomes.join(", ")),
    };
    let cases = verified.cases;
    writeln!(output, "{found} of {cases} verdicts follow from their dialogues{outcomes}")?;
    match verified.disagreements.len() {
        0 => writeln!(output, "nothing is missing, added or changed"),
        1 => writeln!(output, "1 disagreement"),
        several => writeln!(output, "{several} disagreements"),
    }
}
