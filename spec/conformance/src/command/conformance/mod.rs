//! `rdma-migration conformance`: one file for each of its commands.

mod list;
#[cfg(feature = "mutants")]
mod mutants;
mod outputs;
mod peer;
mod run;
mod selection;
mod show;
mod vectors;
mod verify;

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};

use super::Ending;

/// Judge an implementation of the protocol, of either side.
///
/// The suite plays the other side, case by case, and compares what the peer does with the requirements
/// of the specification. The peer is this project's own implementation unless another is named.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Arguments),
    #[cfg(feature = "mutants")]
    Mutants(mutants::Arguments),
    Run(Box<run::Arguments>),
    Show(show::Arguments),
    Vectors(vectors::Arguments),
    Verify(verify::Arguments),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum OutputFormat {
    /// Lines and tables for people
    Text,
    /// One JSON document
    Json,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Ending {
    let ended = match &arguments.command {
        Command::List(arguments) => list::run(arguments),
        #[cfg(feature = "mutants")]
        Command::Mutants(arguments) => mutants::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Show(arguments) => show::run(arguments),
        Command::Vectors(arguments) => vectors::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
    };
    ended.unwrap_or_else(|message| {
        complain("error", &message);
        Ending::BadInput
    })
}

/// Writes a file that the arguments name.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn complain(what: &str, message: &str) {
    // Whoever has closed standard error does not want to hear it.
    let _ = writeln!(io::stderr(), "{what}: {message}");
}

/// What came of writing to standard output: whoever has closed it has seen enough.
fn written(result: io::Result<()>) -> Result<(), String> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}
