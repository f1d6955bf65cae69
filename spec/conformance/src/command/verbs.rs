//! What the commands over real verbs have in common: their options, and how they are interrupted.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rdma_migration_conformance::dialogue::{Dialogue, Side};
use rdma_migration_conformance::observed::Observer;
use rdma_migration_conformance::size::Size;
use rdma_migration_conformance::transfer::Transfer;
use rdma_migration_conformance::verbs_host::VerbsHost;
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_transport_verbs::preflight::check_locked_memory;
use rdma_migration_transport_verbs::{VerbsConfig, Waker};

use super::Ending;

/// Options of every command over verbs.
#[derive(Debug, Args)]
pub(super) struct VerbsArguments {
    /// Use this RDMA device instead of the one that the address leads to.
    #[arg(long, value_name = "NAME")]
    device: Option<String>,

    /// What is registered at a time, a power of two from 1 MiB to 1 GiB; both sides must use the same.
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = chunk_size)]
    pub(super) chunk_size: ChunkSize,

    /// Write every operation and every message to this file, as JSON, one object a line.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// How to write the report.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum OutputFormat {
    /// Tables for people
    Text,
    /// One JSON object
    Json,
}

fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    let Size(bytes) = text.parse::<Size>().map_err(|error| error.to_string())?;
    ChunkSize::new(bytes).map_err(|error| error.to_string())
}

impl VerbsArguments {
    /// The options of a command that has some of its own.
    pub(super) fn new(
        device: Option<String>,
        chunk_size: ChunkSize,
        trace: Option<PathBuf>,
        json: bool,
    ) -> Self {
        let format = if json { OutputFormat::Json } else { OutputFormat::Text };
        Self { device, chunk_size, trace, format }
    }

    pub(super) fn config(&self) -> VerbsConfig {
        VerbsConfig { device: self.device.clone(), ..VerbsConfig::default() }
    }

    /// What watches this side, and writes its dialogue where that was asked for.
    pub(super) fn observer(&self, side: Side) -> Result<Observer, String> {
        let dialogue = self.trace.as_ref().map(|path| {
            let file = File::create(path);
            file.map(|file| Dialogue::new(side, Box::new(BufWriter::new(file))))
                .map_err(|error| format!("cannot write {}: {error}", path.display()))
        });
        Ok(Observer::new(dialogue.transpose()?))
    }

    /// Writes the report, and the rest of the trace.
    pub(super) fn show(&self, transfer: &Transfer, observer: Observer) -> Ending {
        if let (Err(error), Some(path)) = (observer.finish(), &self.trace) {
            eprintln!("error: cannot write {}: {error}", path.display());
        }
        let output = BufWriter::new(io::stdout().lock());
        let written = match self.format {
            OutputFormat::Text => transfer.write_text(output),
            OutputFormat::Json => transfer.write_json(output),
        };
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                eprintln!("error: cannot write the report: {error}");
                Ending::BadInput
            }
            _ if transfer.completed => Ending::Fine,
            _ if transfer.interrupted => Ending::Interrupted,
            _ => Ending::Failed,
        }
    }
}

/// What Ctrl-C does: the first time it asks for an orderly end, the second time it ends the process.
#[derive(Clone, Debug)]
pub(super) struct Interruption {
    pub(super) flag: Arc<AtomicBool>,
    waker: Arc<OnceLock<Waker>>,
}

impl Interruption {
    /// Watches for Ctrl-C from now on.
    pub(super) fn watch() -> Result<Self, String> {
        let watched = Self { flag: Arc::default(), waker: Arc::default() };
        let handler = watched.clone();
        ctrlc::set_handler(move || {
            if handler.flag.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            if let Some(waker) = handler.waker.get() {
                waker.wake();
            }
        })
        .map_err(|error| format!("cannot watch for Ctrl-C: {error}"))?;
        Ok(watched)
    }

    /// Has Ctrl-C end the waits of this transport too.
    pub(super) fn wake(&self, host: &VerbsHost) {
        let waker = host.transport.waker();
        if self.flag.load(Ordering::Relaxed) {
            waker.wake();
        }
        // There is one transport a process.
        let _ = self.waker.set(waker);
    }

    /// For what reads and writes recordings: goes on unless there was a Ctrl-C.
    pub(super) fn go_on(&self) -> ControlFlow<()> {
        if self.flag.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    pub(super) fn happened(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }
}

/// Bytes that are read or written, as a bar on a terminal and as nothing elsewhere.
#[derive(Debug)]
pub(super) struct BytesBar(ProgressBar);

impl BytesBar {
    pub(super) fn new(what: &'static str, bytes: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>10} {bar:40} {percent:>3}%  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what);
        Self(bar)
    }

    pub(super) fn advance(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for BytesBar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A line on standard error, above whatever bar is there.
pub(super) fn say(bar: Option<&ProgressBar>, line: &str) {
    match bar {
        Some(bar) if !bar.is_hidden() => bar.println(line),
        // Nobody reads it: no reason to end a migration.
        _ => {
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// Says so where this process may not lock as much as it would have to.
pub(super) fn check_memory_limit(guest_bytes: u64) -> Result<(), String> {
    check_locked_memory(guest_bytes).map_err(|refused| refused.to_string())
}

/// What the transport knows of its connection.
pub(super) fn describe_connection(transfer: &mut Transfer, host: &VerbsHost) {
    let transport = &host.transport;
    transfer.peer = transport.peer_address().map(|address| address.to_string());
    transfer.device = transport.device_name();
    if !transfer.completed {
        transfer.cause = transport.failure().map(ToString::to_string);
    }
}

/// An error before anything was done.
pub(super) fn bad_input(message: &str) -> Ending {
    eprintln!("error: {message}");
    Ending::BadInput
}

/// How a folder is named in reports.
pub(super) fn folder_name(folder: &Path) -> String {
    folder.display().to_string()
}
