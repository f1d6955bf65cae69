//! `rdma-migration migrate --transport verbs`: one side of the migration of the synthetic guest.

use std::sync::Arc;
use std::time::Duration;

use rdma_migration_conformance::dialogue::Side;
use rdma_migration_conformance::guest_memory::GuestMemory;
use rdma_migration_conformance::migrate::depart;
use rdma_migration_conformance::migrate::progress::Shown;
use rdma_migration_conformance::observed::{Observed, Observer};
use rdma_migration_conformance::rdma_address::RdmaAddress;
use rdma_migration_conformance::receive::{Recorder, Wishes};
use rdma_migration_conformance::recording::{Layout, Limits};
use rdma_migration_conformance::transfer::{
    Transfer, TransferredBlock, processor_time, processor_time_since, sha256_of_block,
};
use rdma_migration_conformance::verbs_host::VerbsHost;
use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::deadline::Timeouts;
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::transport::{Transport, drive};
use rdma_migration_transport_verbs::VerbsTransport;
use sha2::{Digest, Sha256};

use super::Ending;
use super::migrate::{Arguments, OutputFormat, available_memory, plan};
use super::receive::{Incoming, listen};
use super::verbs::{self, Interruption, VerbsArguments, say};

/// Runs one side.
pub(super) fn run(arguments: &Arguments) -> Ending {
    attempt(arguments).unwrap_or_else(|message| verbs::bad_input(&message))
}

fn attempt(arguments: &Arguments) -> Result<Ending, String> {
    if !arguments.fault.is_empty() {
        return Err("--fault is for the simulator".to_owned());
    }
    let json = arguments.format == OutputFormat::Json;
    let (device, trace) = (arguments.device.clone(), arguments.trace.clone());
    let options = VerbsArguments::new(device, arguments.chunk_size, trace, json);
    let interruption = Interruption::watch()?;
    match (&arguments.listen, &arguments.connect) {
        (Some(address), _) => {
            let pinned_bytes_max = arguments.registration.pinned_bytes_max();
            arrive(address, pinned_bytes_max, &options, &interruption)
        }
        (None, Some(address)) => leave(arguments, address, &options, &interruption),
        (None, None) => {
            Err("--transport verbs needs --listen ADDRESS or --connect ADDRESS".to_owned())
        }
    }
}

/// The source's side: has the guest.
fn leave(
    arguments: &Arguments,
    address: &RdmaAddress,
    options: &VerbsArguments,
    interruption: &Interruption,
) -> Result<Ending, String> {
    let plan = plan(arguments)?;
    verbs::check_memory_limit(if plan.pin_all { plan.guest_memory } else { 0 })?;
    let mut observer = options.observer(Side::Source)?;
    let transport = VerbsTransport::to(&address.host, address.port, options.config())
        .map_err(|error| error.to_string())?;
    let host = VerbsHost::new(transport);
    interruption.wake(&host);
    say(None, &format!("connecting to {address}"));
    let mut observed = Observed { inner: host, observer: &mut observer };
    let flag = Arc::clone(&interruption.flag);
    let departure = depart(&plan, &mut observed, flag, Shown::on_standard_error());
    let departure = departure.map_err(|error| error.to_string())?;
    let host = observed.inner;
    let failure = departure.failure.clone();
    let mut transfer = Transfer::of(departure.closed.as_ref(), failure, observer.statistics());
    transfer.interrupted = departure.interrupted;
    verbs::describe_connection(&mut transfer, &host);
    transfer.pin_all = departure.pin_all;
    transfer.rounds = usize::try_from(departure.rounds).unwrap_or(usize::MAX);
    transfer.processor_nanoseconds = departure.processor_nanoseconds;
    transfer.connect_nanoseconds = departure.connect.map(nanoseconds);
    transfer.nanoseconds = nanoseconds(departure.time);
    transfer.downtime_nanoseconds = departure.downtime.map(nanoseconds);
    transfer.stream_sha256 = Some(sha256(&departure.stream));
    let blocks = departure.blocks.into_iter().map(|block| (block.name, block.length));
    transfer.blocks = digests(blocks, &host);
    Ok(options.show(&transfer, observer))
}

/// The destination's side: whatever comes is kept in memory, to be compared with what left.
fn arrive(
    address: &RdmaAddress,
    pinned_bytes_max: Option<u64>,
    options: &VerbsArguments,
    interruption: &Interruption,
) -> Result<Ending, String> {
    verbs::check_memory_limit(0)?;
    let mut observer: Observer = options.observer(Side::Destination)?;
    let host = listen(address, options)?;
    interruption.wake(&host);
    let ram_bytes_max = available_memory().unwrap_or(u64::MAX);
    let limits = Limits { ram_bytes_max, ..Limits::default() };
    let wishes = Wishes { limits, looking_percent: 0, ..Wishes::default() };
    let mut destination = Destination::new(DestinationConfig {
        chunk_size: options.chunk_size,
        timeouts: Timeouts::for_guest(ram_bytes_max),
        pinned_bytes_max,
        ..DestinationConfig::default()
    });
    let mut recorder = Recorder::new(wishes, Arc::clone(&interruption.flag), Incoming::new());
    let mut observed = Observed { inner: host, observer: &mut observer };
    let before = processor_time();
    drive(&mut destination, &mut observed, &mut recorder);
    let spent = processor_time_since(before);
    let ended = recorder.released().unwrap_or_else(|| observed.now());
    let host = observed.inner;
    let mut transfer = Transfer::of(recorder.closed(), recorder.failure(), observer.statistics());
    transfer.interrupted = recorder.was_interrupted();
    verbs::describe_connection(&mut transfer, &host);
    transfer.machine = recorder.layout().and_then(|layout| layout.machine.clone());
    transfer.pin_all = recorder.negotiated().is_some_and(|negotiated| negotiated.pin_all);
    transfer.rounds = recorder.rounds().len();
    let time = recorder.began().map(|began| ended.since(began)).unwrap_or_default();
    transfer.nanoseconds = nanoseconds(time);
    transfer.processor_nanoseconds = spent;
    transfer.stream_sha256 = Some(sha256(recorder.stream()));
    let blocks = recorder.layout().map(|layout: &Layout| layout.blocks.clone());
    let blocks = blocks.into_iter().flatten().map(|block| (block.name, block.length));
    transfer.blocks = digests(blocks, &host);
    drop(recorder);
    Ok(options.show(&transfer, observer))
}

fn digests(
    blocks: impl Iterator<Item = (String, u64)>,
    memory: &impl GuestMemory,
) -> Vec<TransferredBlock> {
    let numbered = (0..).map(BlockIndex::new).zip(blocks);
    let digests = numbered.map(|(index, (name, bytes))| {
        let sha256 = sha256_of_block(memory, index, bytes);
        TransferredBlock { name, bytes, sha256 }
    });
    digests.collect()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
