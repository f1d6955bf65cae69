//! The command line: one file for each command.

mod conformance;
mod inspect;
mod migrate;
#[cfg(feature = "verbs")]
mod migrate_over_verbs;
mod predict;
#[cfg(feature = "verbs")]
mod receive;
mod registration;
#[cfg(feature = "verbs")]
mod send;
#[cfg(feature = "verbs")]
mod verbs;
#[cfg(not(feature = "verbs"))]
mod without_verbs;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Live migration of virtual machines over RDMA: run it, look at it, judge it.
#[derive(Debug, Parser)]
#[command(name = "rdma-migration", version, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Conformance(conformance::Arguments),
    Inspect(inspect::Arguments),
    Migrate(Box<migrate::Arguments>),
    Predict(Box<predict::Arguments>),
    #[cfg(feature = "verbs")]
    Receive(Box<receive::Arguments>),
    #[cfg(not(feature = "verbs"))]
    Receive(without_verbs::Arguments),
    #[cfg(feature = "verbs")]
    Send(Box<send::Arguments>),
    #[cfg(not(feature = "verbs"))]
    Send(without_verbs::Arguments),
}

/// How a command ended, as its exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// It did what was asked, and all was well.
    Fine,
    /// It did what was asked, and what it looked at has failed.
    Failed,
    /// It could not do what was asked: the arguments or the input are bad.
    BadInput,
    /// It did what was asked, and nobody can tell what it means.
    Inconclusive,
    /// It did what was asked, and something is better than was expected.
    Stale,
    /// Somebody interrupted it.
    Interrupted,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Fine => 0,
            Ending::Failed => 1,
            Ending::BadInput => 2,
            Ending::Inconclusive => 3,
            Ending::Stale => 4,
            Ending::Interrupted => 130,
        })
    }
}

/// Runs the command that the arguments of the process name.
pub(crate) fn run() -> ExitCode {
    let ending = match CommandLine::parse().command {
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Migrate(arguments) => migrate::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        #[cfg(feature = "verbs")]
        Command::Receive(arguments) => receive::run(&arguments),
        #[cfg(not(feature = "verbs"))]
        Command::Receive(arguments) => without_verbs::run("receive", &arguments),
        #[cfg(feature = "verbs")]
        Command::Send(arguments) => send::run(&arguments),
        #[cfg(not(feature = "verbs"))]
        Command::Send(arguments) => without_verbs::run("send", &arguments),
    };
    ending.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
