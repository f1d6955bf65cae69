use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rdma_migration_conformance::dialogue::Side;
use rdma_migration_conformance::inspect::printable;
use rdma_migration_conformance::observed::{Observed, Observer};
use rdma_migration_conformance::rdma_address::RdmaAddress;
use rdma_migration_conformance::recording::{
    Limits, Recording, RecordingError, STREAM_BYTES_MAX_DEFAULT,
};
use rdma_migration_conformance::registrations::Registrations;
use rdma_migration_conformance::send::{Player, Progress};
use rdma_migration_conformance::size::{Rate, Size};
use rdma_migration_conformance::transfer::{
    Transfer, TransferredBlock, processor_time, processor_time_since,
};
use rdma_migration_conformance::verbs_host::VerbsHost;
use rdma_migration_protocol::connection::{Negotiated, PinAllOffer};
use rdma_migration_protocol::deadline::Timeouts;
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Transport, drive};
use rdma_migration_transport_verbs::VerbsTransport;

use super::Ending;
use super::migrate::available_memory;
use super::registration::RegistrationArguments;
use super::verbs::{self, BytesBar, Interruption, VerbsArguments, say};

/// Play a recording into a destination over RDMA, QEMU or any other.
///
/// The recording is read and checked whole before anything is sent. Then the guest migrates as it did:
/// its stream, round by round its RAM, zero runs as such, to the end of the stream. The RAM is that of
/// the end, in every round.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Exit status: 0 when all of the guest has arrived, 1 when the migration \
    failed, 2 when it could not begin (a damaged or incomplete recording, above all), 130 when it was \
    interrupted.\n\nA QEMU destination takes the guest only if it has the same machine type, the \
    same devices and the same RAM; nothing in the protocol tells beforehand. With --expect-machine a \
    recording of another machine is refused before anything is sent."
)]
pub(super) struct Arguments {
    /// The folder of the recording.
    recording: PathBuf,

    /// The destination: rdma:HOST:PORT.
    address: RdmaAddress,

    /// Have all RAM pinned and registered at the start, on both sides, instead of chunk by chunk as it
    /// is needed.
    #[arg(long)]
    pin_all: bool,

    #[command(flatten)]
    registration: RegistrationArguments,

    /// Send only a recording of this machine type, such as pc-i440fx-7.2.
    #[arg(long, value_name = "MACHINE")]
    expect_machine: Option<String>,

    /// The longest stream that is read.
    #[arg(long, value_name = "BYTES", default_value_t = Size(STREAM_BYTES_MAX_DEFAULT))]
    max_stream: Size,

    /// The most guest RAM that is read; what this computer has left unless given.
    #[arg(long, value_name = "BYTES")]
    max_ram: Option<Size>,

    #[command(flatten)]
    verbs: VerbsArguments,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Ending {
    attempt(arguments).unwrap_or_else(|message| verbs::bad_input(&printable(&message)))
}

fn attempt(arguments: &Arguments) -> Result<Ending, String> {
    let chunk_size = arguments.verbs.chunk_size;
    let registrations = arguments.registration.registrations(chunk_size)?;
    let interruption = Interruption::watch()?;
    let recording = open(arguments)?;
    let ram_bytes: u64 = recording.manifest().blocks.iter().map(|block| block.bytes).sum();
    verbs::check_memory_limit(if arguments.pin_all { ram_bytes } else { 0 })?;
    let observer = arguments.verbs.observer(Side::Source)?;
    let RdmaAddress { host, port } = &arguments.address;
    let transport = VerbsTransport::to(host, *port, arguments.verbs.config())
        .map_err(|error| error.to_string())?;
    let mut host = VerbsHost::new(transport);
    interruption.wake(&host);
    let bar = BytesBar::new("from disk", ram_bytes);
    let loaded = recording.load(&mut host, |bytes| {
        bar.advance(bytes);
        interruption.go_on()
    });
    drop(bar);
    match loaded {
        Ok(()) => send(arguments, &registrations, &recording, host, observer, &interruption),
        Err(RecordingError::Interrupted { .. }) => Ok(Ending::Interrupted),
        Err(error) => Err(error.to_string()),
    }
}

fn open(arguments: &Arguments) -> Result<Recording, String> {
    let available = || available_memory().unwrap_or(u64::MAX);
    let limits = Limits {
        stream_bytes_max: arguments.max_stream.0,
        ram_bytes_max: arguments.max_ram.map_or_else(available, |Size(bytes)| bytes),
    };
    let recording = Recording::open(&arguments.recording, &limits);
    let recording = recording.map_err(|error| error.to_string())?;
    recording.require_complete().map_err(|error| error.to_string())?;
    if let Some(machine) = &arguments.expect_machine {
        recording.require_machine(machine).map_err(|error| error.to_string())?;
    }
    Ok(recording)
}

fn send(
    arguments: &Arguments,
    registrations: &Registrations,
    recording: &Recording,
    host: VerbsHost,
    mut observer: Observer,
    interruption: &Interruption,
) -> Result<Ending, String> {
    let ram_bytes: u64 = recording.manifest().blocks.iter().map(|block| block.bytes).sum();
    let mut source = Source::new(registrations.set(SourceConfig {
        pin_all: if arguments.pin_all { PinAllOffer::Required } else { PinAllOffer::Never },
        chunk_size: arguments.verbs.chunk_size,
        timeouts: Timeouts::for_guest(ram_bytes),
        ..SourceConfig::default()
    }))
    .map_err(|misuse| misuse.to_string())?;
    say(None, &format!("connecting to {}", arguments.address));
    let mut player = Player::new(recording, Arc::clone(&interruption.flag), Outgoing::new());
    let mut observed = Observed { inner: host, observer: &mut observer };
    let before = processor_time();
    drive(&mut source, &mut observed, &mut player);
    let ended = observed.now();
    let host = observed.inner;
    let mut transfer = transfer(recording, &player, &observer, ended, &host);
    transfer.processor_nanoseconds = processor_time_since(before);
    drop(player);
    Ok(arguments.verbs.show(&transfer, observer))
}

fn transfer(
    recording: &Recording,
    player: &Player<Outgoing>,
    observer: &Observer,
    ended: Instant,
    host: &VerbsHost,
) -> Transfer {
    let mut transfer = Transfer::of(player.closed(), player.failure(), observer.statistics());
    transfer.interrupted = player.was_interrupted();
    verbs::describe_connection(&mut transfer, host);
    let manifest = recording.manifest();
    transfer.recording = Some(verbs::folder_name(recording.folder()));
    transfer.machine = manifest.machine.clone();
    transfer.pin_all = player.negotiated().is_some_and(|negotiated| negotiated.pin_all);
    transfer.rounds = recording.rounds().len();
    let end = player.handed_over_at().unwrap_or(ended);
    let connecting = player.called().zip(player.began());
    let connecting = connecting.map(|(called, began)| began.since(called).as_nanos());
    transfer.connect_nanoseconds = connecting.and_then(|time| u64::try_from(time).ok());
    let time = player.began().map(|began| end.since(began)).unwrap_or_default();
    transfer.nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    transfer.stream_sha256 = Some(manifest.stream.sha256.clone());
    let blocks = manifest.blocks.iter();
    transfer.blocks = blocks
        .map(|block| TransferredBlock {
            name: block.name.clone(),
            bytes: block.bytes,
            sha256: block.sha256.clone(),
        })
        .collect();
    transfer
}

/// What somebody sees who waits for a recording to go out.
struct Outgoing {
    bar: ProgressBar,
    began: Option<Instant>,
    round_bytes: u64,
}

impl Outgoing {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>10} {bar:40} {percent:>3}%  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, began: None, round_bytes: 0 }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Outgoing {
    fn connected(&mut self, negotiated: Negotiated) {
        let mode = if negotiated.pin_all { "all RAM pinned" } else { "dynamic registration" };
        say(Some(&self.bar), &format!("connected: {mode}"));
    }

    fn round(&mut self, number: usize, ram_bytes: u64) {
        self.began = None;
        self.round_bytes = ram_bytes;
        if self.bar.is_hidden() {
            return say(None, &format!("round {number}: {} of RAM", Size(ram_bytes)));
        }
        self.bar.set_length(ram_bytes);
        self.bar.set_position(0);
        self.bar.set_prefix(format!("round {number}"));
    }

    fn sent(&mut self, bytes: u64, now: Instant) {
        let began = *self.began.get_or_insert(now);
        self.bar.set_position(bytes);
        if !self.bar.is_hidden() {
            let left = Size(self.round_bytes.saturating_sub(bytes));
            self.bar.set_message(format!("{left} left, {}", Rate::of(bytes, now.since(began))));
        }
    }
}
