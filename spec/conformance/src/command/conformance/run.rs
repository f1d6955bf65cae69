use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Ending, OutputFormat, outputs, peer, selection, write_file, written};
use rdma_migration_conformance::suite::cases;
use rdma_migration_conformance::suite::expected::Expected;
use rdma_migration_conformance::suite::peers::Peers;
use rdma_migration_conformance::suite::report::{Circumstances, Policy, Report};
use rdma_migration_conformance::suite::session::Session;

/// Run cases of the suite against a peer, and judge it.
///
/// Ctrl-C ends the run after the case that is being played; what was found so far is reported.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Exit status: 0 when the peer did what is required or, with --expected, \
    what is expected; 1 when a case failed or timed out; 2 when the arguments are bad or no case is \
    selected; 3 when nothing failed, but of some case, or of all, nobody can tell; 4 when a case \
    passed that was expected to fail; 130 when the run was interrupted."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    who: peer::Who,

    #[command(flatten)]
    selection: selection::Which,

    /// Where all chance comes from: the same seed makes the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How long to wait for the peer, in seconds of its own time.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: Option<u64>,

    /// Compare with the results that are expected, from this file.
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,

    /// Write what was found as expected results to this file.
    #[arg(long, value_name = "FILE")]
    write_expected: Option<PathBuf>,

    #[command(flatten)]
    outputs: outputs::Outputs,

    /// How to write the report.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Ending, String> {
    let mut peers = arguments.who.peers()?;
    let selection = arguments.selection.selection(peers.expendable(), arguments.who.role());
    let selected = selection::select(&selection)?;
    let expected = arguments.expected.as_deref().map(|path| expected(path, peers.name()));
    let expected = expected.transpose()?;
    let session = Session {
        seed: arguments.seed,
        patience: arguments.timeout.map_or(peers.patience(), Duration::from_secs),
    };
    let about = Circumstances {
        peer: peers.name().to_owned(),
        profile: selection.profile,
        seed: session.seed,
        patience: session.patience,
        dangerous_left_out: selected.dangerous_left_out,
        repeat: repeat(arguments, peers.as_ref()),
        evidence: arguments.outputs.keeps_evidence(),
    };
    let mut report = Report::new(&about);
    let mut evidence = arguments.outputs.begin_evidence(session, peers.as_ref())?;
    let interrupted = watch_for_interruption()?;
    let bar = bar(selected.cases.len());
    for case in &selected.cases {
        if interrupted.load(Ordering::Relaxed) {
            report.interrupt();
            break;
        }
        bar.set_message(format!("{}  {}", case.id, case.title));
        let judged = match evidence.take_up(case, peers.as_ref())? {
            Some(judged) => judged,
            None => session.judge(peers.as_mut(), case),
        };
        evidence.add(&judged)?;
        report.add(judged, expected.as_ref(), &about);
        bar.inc(1);
    }
    bar.finish_and_clear();
    evidence.finish()?;
    arguments.outputs.write(&report)?;
    write_files(arguments, &report)?;
    show(&report, arguments.format)?;
    Ok(ending(&report))
}

const fn ending(report: &Report) -> Ending {
    match report.policy {
        _ if report.interrupted => Ending::Interrupted,
        Policy::Met => Ending::Fine,
        Policy::Failed => Ending::Failed,
        Policy::StaleWaiver => Ending::Stale,
        Policy::Inconclusive => Ending::Inconclusive,
        Policy::Interrupted => Ending::Interrupted,
    }
}

fn expected(path: &Path, peer: &str) -> Result<Expected, String> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
    let expected =
        Expected::read(&text, cases::all()).map_err(|error| format!("{name}: {error}"))?;
    if expected.peer != peer {
        return Err(format!("{name} is about {:?}, and the peer is {peer:?}", expected.peer));
    }
    Ok(expected)
}

/// The command that runs a case again, with `{}` in the place of its name.
fn repeat(arguments: &Arguments, peers: &dyn Peers) -> String {
    let mut words = vec!["rdma-migration conformance run".to_owned()];
    words.extend(peers.arguments().iter().map(|argument| quoted(argument)));
    if !peers.expendable() {
        words.push("--profile full --dangerous".to_owned());
    }
    words.push(format!("--seed {}", arguments.seed));
    words.extend(arguments.timeout.map(|seconds| format!("--timeout {seconds}")));
    words.push("--filter {}".to_owned());
    words.join(" ")
}

/// An argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@,+".contains(letter);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// A flag that Ctrl-C sets. The second time it ends the process.
fn watch_for_interruption() -> Result<Arc<AtomicBool>, String> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let handler = move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    };
    ctrlc::set_handler(handler).map_err(|error| format!("cannot watch for Ctrl-C: {error}"))?;
    Ok(interrupted)
}

fn bar(cases: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let cases = u64::try_from(cases).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(cases), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{pos:>4} of {len} {bar:30}  {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn write_files(arguments: &Arguments, report: &Report) -> Result<(), String> {
    if let Some(path) = &arguments.write_expected {
        let text = Expected::write(report).map_err(|error| error.to_string())?;
        write_file(path, text.as_bytes())?;
    }
    Ok(())
}

fn show(report: &Report, format: OutputFormat) -> Result<(), String> {
    let output = io::stdout().lock();
    let colour = AutoStream::choice(&output) != ColorChoice::Never;
    let choice = if colour { ColorChoice::AlwaysAnsi } else { ColorChoice::Never };
    let mut output = BufWriter::new(AutoStream::new(output, choice));
    written(match format {
        OutputFormat::Text => report.write_text(&mut output, colour),
        OutputFormat::Json => report.write_json(&mut output),
    })?;
    written(output.flush())
}
