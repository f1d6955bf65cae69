use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rdma_migration_conformance::dialogue::Side;
use rdma_migration_conformance::inspect::printable;
use rdma_migration_conformance::observed::{Observed, Observer};
use rdma_migration_conformance::rdma_address::RdmaAddress;
use rdma_migration_conformance::receive::{Progress, Recorder, Wishes};
use rdma_migration_conformance::recording::{
    Layout, Limits, Manifest, RecordingError, Round, STREAM_BYTES_MAX_DEFAULT, Writer,
};
use rdma_migration_conformance::size::Size;
use rdma_migration_conformance::transfer::{
    Transfer, TransferredBlock, processor_time, processor_time_since,
};
use rdma_migration_conformance::verbs_host::VerbsHost;
use rdma_migration_protocol::connection::Negotiated;
use rdma_migration_protocol::deadline::Timeouts;
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Transport, drive};
use rdma_migration_transport_verbs::VerbsTransport;

use super::Ending;
use super::migrate::available_memory;
use super::verbs::{self, BytesBar, Interruption, VerbsArguments, say};

/// Receive one migration over RDMA, from QEMU or any other source, and record it.
///
/// Listens, takes the guest as a destination does, and keeps everything: the stream, the RAM, and
/// which round brought what. The guest does not run here; `send` plays the recording into another
/// destination, and `inspect` shows it.
#[derive(Debug, Args)]
#[command(after_long_help = "Exit status: 0 when the recording is complete, 1 when the migration \
    did not come to its end (the recording then says so), 2 when it could not begin, 130 when it \
    was interrupted.")]
pub(super) struct Arguments {
    /// Where to listen: rdma:HOST:PORT, with `0.0.0.0` or `[::]` for every address of this host.
    address: RdmaAddress,

    /// The folder to make the recording in: a new one, or an empty one.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Take only a source that has all RAM pinned. Without this, whatever the source asks for is done.
    #[arg(long)]
    pin_all: bool,

    /// Take a stream that ends with its end marker for complete although no description of the device
    /// state follows: some machines are set to send none.
    #[arg(long)]
    accept_no_vmdesc: bool,

    /// The longest stream that is taken.
    #[arg(long, value_name = "BYTES", default_value_t = Size(STREAM_BYTES_MAX_DEFAULT))]
    max_stream: Size,

    /// The most guest RAM that is taken; what this computer has left unless given.
    #[arg(long, value_name = "BYTES")]
    max_ram: Option<Size>,

    /// How much of the time may go into finding out which RAM each round brought, in percent. The
    /// source waits meanwhile.
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100))]
    looking: u32,

    /// Refuse a source that wants more registered at a time than this, or all RAM pinned.
    #[arg(long, value_name = "BYTES", conflicts_with = "pin_all")]
    max_pinned: Option<Size>,

    #[command(flatten)]
    verbs: VerbsArguments,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Ending {
    attempt(arguments).unwrap_or_else(|message| verbs::bad_input(&message))
}

fn attempt(arguments: &Arguments) -> Result<Ending, String> {
    let interruption = Interruption::watch()?;
    verbs::check_memory_limit(0)?;
    let writer = Writer::create(&arguments.output).map_err(|error| error.to_string())?;
    let prepared = listen(&arguments.address, &arguments.verbs).and_then(|host| {
        let observer = arguments.verbs.observer(Side::Destination)?;
        Ok((host, observer))
    });
    let (host, observer) = match prepared {
        Ok(prepared) => prepared,
        Err(message) => {
            // Nothing was recorded, and the next attempt needs the folder.
            return match writer.withdraw() {
                Ok(()) => Err(message),
                Err(error) => Err(format!("{message}; and {error}")),
            };
        }
    };
    interruption.wake(&host);
    Ok(receive(arguments, writer, host, observer, &interruption))
}

/// Listens, and says where.
pub(super) fn listen(address: &RdmaAddress, options: &VerbsArguments) -> Result<VerbsHost, String> {
    let transport = VerbsTransport::listen(&address.host, address.port, options.config())
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let local = transport.local_address().map(|address| address.to_string());
    say(None, &format!("listening on {}", local.unwrap_or_else(|| address.to_string())));
    Ok(VerbsHost::new(transport))
}

fn receive(
    arguments: &Arguments,
    writer: Writer,
    host: VerbsHost,
    mut observer: Observer,
    interruption: &Interruption,
) -> Ending {
    let wishes = wishes(arguments);
    let chunk_size = arguments.verbs.chunk_size;
    let mut destination = Destination::new(DestinationConfig {
        chunk_size,
        // The guest's size is not known yet; it is not larger than this.
        timeouts: Timeouts::for_guest(wishes.limits.ram_bytes_max),
        pinned_bytes_max: arguments.max_pinned.map(|Size(bytes)| bytes),
        ..DestinationConfig::default()
    });
    let mut recorder = Recorder::new(wishes, Arc::clone(&interruption.flag), Incoming::new());
    let mut observed = Observed { inner: host, observer: &mut observer };
    let before = processor_time();
    drive(&mut destination, &mut observed, &mut recorder);
    let spent = processor_time_since(before);
    let ended = observed.now();
    let host = observed.inner;
    let ram_bytes = recorder.layout().and_then(Layout::ram_bytes).unwrap_or_default();
    let bar = BytesBar::new("to disk", ram_bytes);
    let interrupted_before = interruption.happened();
    let cause = host.transport.failure().map(ToString::to_string);
    let written = recorder.write(writer, &host, chunk_size, cause.as_deref(), |bytes| {
        bar.advance(bytes);
        // Whoever has interrupted the migration still wants to know what came of it.
        if interrupted_before { std::ops::ControlFlow::Continue(()) } else { interruption.go_on() }
    });
    drop(bar);
    let mut transfer = transfer(arguments, &recorder, &observer, ended, &host, written);
    transfer.processor_nanoseconds = spent;
    arguments.verbs.show(&transfer, observer)
}

fn wishes(arguments: &Arguments) -> Wishes {
    let available = || available_memory().unwrap_or(u64::MAX);
    let limits = Limits {
        stream_bytes_max: arguments.max_stream.0,
        ram_bytes_max: arguments.max_ram.map_or_else(available, |Size(bytes)| bytes),
    };
    Wishes {
        limits,
        accept_no_vm_description: arguments.accept_no_vmdesc,
        require_pin_all: arguments.pin_all,
        looking_percent: arguments.looking,
    }
}

fn transfer(
    arguments: &Arguments,
    recorder: &Recorder<Incoming>,
    observer: &Observer,
    ended: Instant,
    host: &VerbsHost,
    written: Result<Manifest, RecordingError>,
) -> Transfer {
    let (failure, interrupted) = match (&written, recorder.failure()) {
        (_, Some(failure)) => (Some(failure), recorder.was_interrupted()),
        (Err(RecordingError::Interrupted { .. }), None) => {
            (Some("interrupted while the recording was written; it is unfinished".to_owned()), true)
        }
        (Err(error), None) => (Some(format!("the recording is unfinished: {error}")), false),
        (Ok(_), None) => (None, false),
    };
    if let (Err(error), Some(_)) = (&written, recorder.failure()) {
        say(None, &format!("error: the recording is unfinished: {error}"));
    }
    let mut transfer = Transfer::of(recorder.closed(), failure, observer.statistics());
    transfer.interrupted = interrupted;
    verbs::describe_connection(&mut transfer, host);
    transfer.recording = Some(verbs::folder_name(&arguments.output));
    transfer.pin_all = recorder.negotiated().is_some_and(|negotiated| negotiated.pin_all);
    transfer.rounds = recorder.rounds().len();
    let end = recorder.released().unwrap_or(ended);
    let time = recorder.began().map(|began| end.since(began)).unwrap_or_default();
    transfer.nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    if let Ok(manifest) = written {
        transfer.machine = manifest.machine;
        transfer.stream_sha256 = Some(manifest.stream.sha256);
        let blocks = manifest.blocks.into_iter();
        transfer.blocks = blocks
            .map(|block| TransferredBlock {
                name: block.name,
                bytes: block.bytes,
                sha256: block.sha256,
            })
            .collect();
    }
    transfer
}

/// What somebody sees who waits for a migration to come in. How much is to come nobody knows.
pub(super) struct Incoming {
    spinner: ProgressBar,
}

impl Incoming {
    pub(super) fn new() -> Self {
        let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {msg}");
        spinner.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { spinner }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
    }
}

impl Progress for Incoming {
    fn connected(&mut self, negotiated: Negotiated) {
        let mode = if negotiated.pin_all { "all RAM pinned" } else { "dynamic registration" };
        say(Some(&self.spinner), &format!("a source has connected: {mode}"));
    }

    fn placed(&mut self, layout: &Layout) {
        let machine = layout.machine.as_deref().map_or("of no named machine".into(), printable);
        let (bytes, blocks) = (layout.ram_bytes().unwrap_or(u64::MAX), layout.blocks.len());
        let line = format!("guest {machine}: {} of RAM in {blocks} blocks", Size(bytes));
        say(Some(&self.spinner), &line);
        if let Some(unread) = &layout.unread {
            let unread = printable(unread);
            let line = format!(
                "note: the configuration has {unread}, which is not known; what the source asks for \
                 after it was not read"
            );
            say(Some(&self.spinner), &line);
        }
    }

    fn round(&mut self, number: usize, round: &Round) {
        let (zero, other) = round.bytes();
        let what = if round.looked_at {
            format!("{} changed, {} of them to zero", Size(zero + other), Size(zero))
        } else {
            "not looked at".to_owned()
        };
        let line = format!("round {number}: {what}");
        if self.spinner.is_hidden() {
            say(None, &line);
        } else {
            self.spinner.set_message(line);
            self.spinner.tick();
        }
    }
}
