use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::Ending;
use super::registration::RegistrationArguments;
use rdma_migration_conformance::migrate::guest::PAGE_BYTES;
use rdma_migration_conformance::migrate::progress::Shown;
use rdma_migration_conformance::migrate::report::Report;
use rdma_migration_conformance::migrate::{Plan, Wishes, migrate};
use rdma_migration_conformance::rdma_address::RdmaAddress;
use rdma_migration_conformance::size::Size;
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_transport_sim::{CostPreset, FAULTS, Fault};

/// Migrate a synthetic guest, live, over the simulator or real RDMA.
///
/// The guest goes on dirtying memory while its RAM is copied, round by round, until the rest fits the
/// downtime; then it stops, the last round and the state of its devices follow, and the destination
/// has it. Digests of everything on both sides prove it. Times are virtual: what real hardware with
/// these costs would take.
///
/// With --transport verbs the two sides are two processes: one listens, the other has the guest and
/// connects. Then times are real, and each side prints its own digests.
#[derive(Debug, Args)]
#[command(after_long_help = "Exit status: 0 when the guest arrived byte for byte, 1 when the \
    migration failed, 2 when it could not begin, 130 when it was interrupted.")]
pub(super) struct Arguments {
    /// The guest's main memory; video memory and firmware come on top.
    #[arg(long, value_name = "BYTES", default_value = "256MiB")]
    guest_memory: Size,

    /// Pin and register all RAM at the start, instead of chunk by chunk as it is needed.
    #[arg(long)]
    pub(super) pin_all: bool,

    #[command(flatten)]
    pub(super) registration: RegistrationArguments,

    /// Bytes of a chunk, the unit of registration: a power of two from 1 MiB to 1 GiB.
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = chunk_size)]
    pub(super) chunk_size: ChunkSize,

    /// How much memory the guest dirties a second.
    #[arg(long, value_name = "BYTES", default_value = "512MiB")]
    dirty_rate: Size,

    /// How long the guest may stand still, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    max_downtime: u64,

    /// How much RAM may be sent a second; no limit unless given.
    #[arg(long, value_name = "BYTES")]
    max_bandwidth: Option<Size>,

    /// What the guest moves over.
    #[arg(long, value_enum, default_value_t = TransportName::Sim)]
    transport: TransportName,

    /// With verbs, be the destination, and listen here: rdma:HOST:PORT.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "connect")]
    pub(super) listen: Option<RdmaAddress>,

    /// With verbs, be the source, and connect to this destination: rdma:HOST:PORT.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) connect: Option<RdmaAddress>,

    /// With verbs, use this RDMA device instead of the one that the address leads to.
    #[arg(long, value_name = "NAME")]
    pub(super) device: Option<String>,

    /// What the simulated hardware costs.
    #[arg(long, value_name = "PRESET", default_value = CostPreset::default().name(), value_parser = cost_preset)]
    cost_preset: CostPreset,

    /// Where all chance comes from: the same seed makes the same run.
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Let this go wrong, at this operation of its kind; `list` shows what can. May be repeated.
    #[arg(long, value_name = "NAME[@OPERATION]")]
    pub(super) fault: Vec<String>,

    /// Write every packet to this file, for Wireshark and `rdma-migration inspect`; with verbs, every
    /// operation and message of this side, as JSON, one object a line.
    #[arg(long, value_name = "FILE")]
    pub(super) trace: Option<PathBuf>,

    /// How to write the report.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    pub(super) format: OutputFormat,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum TransportName {
    /// The simulator, with both sides in this process
    Sim,
    /// A real RDMA adapter, with the other side elsewhere
    Verbs,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Tables for people
    Text,
    /// One JSON object
    Json,
}

fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    let Size(bytes) = text.parse::<Size>().map_err(|error| error.to_string())?;
    ChunkSize::new(bytes).map_err(|error| error.to_string())
}

pub(super) fn cost_preset(text: &str) -> Result<CostPreset, String> {
    text.parse().map_err(|_| {
        let names = CostPreset::ALL.map(CostPreset::name);
        format!("no preset of that name: there are {}", names.join(", "))
    })
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Ending {
    if arguments.fault.iter().any(|name| name == "list") {
        return list_faults();
    }
    if arguments.transport == TransportName::Verbs {
        return over_verbs(arguments);
    }
    match attempt(arguments) {
        Ok(report) => show(&report, arguments.format),
        Err(message) => {
            eprintln!("error: {message}");
            Ending::BadInput
        }
    }
}

#[cfg(feature = "verbs")]
fn over_verbs(arguments: &Arguments) -> Ending {
    super::migrate_over_verbs::run(arguments)
}

#[cfg(not(feature = "verbs"))]
fn over_verbs(_arguments: &Arguments) -> Ending {
    super::without_verbs::refuse("migrate --transport verbs")
}

fn attempt(arguments: &Arguments) -> Result<Report, String> {
    if arguments.listen.is_some() || arguments.connect.is_some() || arguments.device.is_some() {
        return Err("--listen, --connect and --device are for --transport verbs".to_owned());
    }
    let plan = plan(arguments)?;
    let trace = arguments.trace.as_ref().map(|path| {
        File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))
    });
    let trace =
        trace.transpose()?.map(|file| -> Box<dyn Write + Send> { Box::new(BufWriter::new(file)) });
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))
        .map_err(|error| format!("cannot watch for Ctrl-C: {error}"))?;
    migrate(&plan, trace, interrupted, Shown::on_standard_error())
        .map_err(|error| error.to_string())
}

pub(super) fn plan(arguments: &Arguments) -> Result<Plan, String> {
    let Size(guest_memory) = arguments.guest_memory;
    if guest_memory == 0 || guest_memory % PAGE_BYTES != 0 {
        return Err(format!(
            "--guest-memory {}: whole pages of 4 KiB are needed, at least one",
            arguments.guest_memory
        ));
    }
    let sides = if arguments.transport == TransportName::Verbs { 1 } else { 2 };
    let needed = guest_memory.saturating_mul(sides);
    if let Some(available) = available_memory().filter(|available| needed > *available) {
        return Err(format!(
            "--guest-memory {}: {sides} times as much is needed, {}, and this computer has {} left",
            arguments.guest_memory,
            Size(needed),
            Size(available)
        ));
    }
    if arguments.max_bandwidth.is_some_and(|Size(bytes)| bytes < PAGE_BYTES) {
        return Err("--max-bandwidth: less than one page a second moves nothing".to_owned());
    }
    let faults = arguments.fault.iter().map(|text| {
        text.parse::<Fault>().map_err(|error| format!("--fault {text}: {error}; see --fault list"))
    });
    let wishes = Wishes {
        max_downtime: Duration::from_millis(arguments.max_downtime),
        max_bandwidth: arguments.max_bandwidth.map(|Size(bytes)| bytes),
    };
    Ok(Plan {
        guest_memory,
        pin_all: arguments.pin_all,
        chunk_size: arguments.chunk_size,
        registrations: arguments.registration.registrations(arguments.chunk_size)?,
        dirty_rate: arguments.dirty_rate.0,
        wishes,
        cost: arguments.cost_preset,
        seed: arguments.seed,
        faults: faults.collect::<Result<Vec<_>, _>>()?.into_iter().collect(),
    })
}

/// Bytes of memory that this computer has left, where it says so.
pub(super) fn available_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn show(report: &Report, format: OutputFormat) -> Ending {
    let output = BufWriter::new(io::stdout().lock());
    let written = match format {
        OutputFormat::Text => report.write_text(output),
        OutputFormat::Json => report.write_json(output),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write the report: {error}");
            Ending::BadInput
        }
        _ if report.completed => Ending::Fine,
        _ if report.interrupted => Ending::Interrupted,
        _ => Ending::Failed,
    }
}

fn list_faults() -> Ending {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    for fault in FAULTS {
        table.add_row([
            format!("{}@{}", fault.name, fault.default_at),
            fault.description.to_owned(),
        ]);
    }
    println!("{table}");
    Ending::Fine
}
