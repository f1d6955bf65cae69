//! What must hold of every run, whatever goes wrong in it.

use core::fmt;
use core::time::Duration;

use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::deadline::Timeouts;
use rdma_migration_protocol::limits;
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::Machine;
use rdma_migration_transport_sim::{Breach, Fault, Recovery, Side, Sides, Violation};

use crate::plan::Plan;
use crate::run::Run;
use crate::watch::{Guest, LastMessage, Record, Watched};

/// What must hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Invariant {
    Bytes,
    Windows,
    Owners,
    Waits,
    Released,
    Bounds,
    /// Beside the six: the rules of verbs, the contract of the transport, and what is said of a
    /// fault, that a migration survives it or does not.
    Contract,
}

impl Invariant {
    pub(crate) const ALL: [Self; 7] = [
        Self::Bytes,
        Self::Windows,
        Self::Owners,
        Self::Waits,
        Self::Released,
        Self::Bounds,
        Self::Contract,
    ];
}

impl fmt::Display for Invariant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bytes => "I1 no byte of RAM or stream lost or altered when success is reported",
            Self::Windows => "I2 no write outside a granted window",
            Self::Owners => "I3 never two running owners, undecided only behind the last SEND",
            Self::Waits => "I4 every wait ends by its deadline",
            Self::Released => "I5 everything registered is released",
            Self::Bounds => "I6 no panic, no allocation past the stated bound",
            Self::Contract => "the rules of verbs and of the transport contract",
        })
    }
}

/// An invariant that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Broken {
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
}

impl Broken {
    pub(crate) fn new(invariant: Invariant, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "broken: {}\n{}", self.invariant, self.what)
    }
}

fn require(holds: bool, invariant: Invariant, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken::new(invariant, what())) }
}

/// What must hold at every instant, once both sides have done what they can.
pub(crate) fn at_every_instant(run: &Run) -> Result<(), Broken> {
    let records = [&run.source.record, &run.destination.record];
    if let Some(broken) = records.into_iter().find_map(|record| record.broken.clone()) {
        return Err(broken);
    }
    if let Some(violation) = run.fabric.violations().first() {
        return Err(Broken::new(invariant_of(violation), violation.to_string()));
    }
    check_owners(run)?;
    check_pinned(run)?;
    let now = run.fabric.now();
    let (source, destination) = (&run.source_owner, &run.destination_owner);
    let longest = longest_waits(&run.plan.source_config().timeouts);
    check_wait(&run.source, source.paused_until, longest.source, now)?;
    check_wait(&run.destination, destination.paused_until, longest.destination, now)
}

const fn invariant_of(violation: &Violation) -> Invariant {
    match violation.breach {
        Breach::UnknownKey(_)
        | Breach::KeyTakenBack(_)
        | Breach::OutsideRegion { .. }
        | Breach::WrongAccess(_) => Invariant::Windows,
        _ => Invariant::Contract,
    }
}

fn check_owners(run: &Run) -> Result<(), Broken> {
    let owners = (run.source.guest_owner(), run.destination.guest_owner());
    let both = owners == (GuestOwner::Source, GuestOwner::Destination);
    require(!both, Invariant::Owners, || "both sides run the guest".to_owned())?;
    let last = run.source.record.last_message;
    let expected = match last {
        LastMessage::NotPosted => GuestOwner::Source,
        LastMessage::Posted => GuestOwner::Undecided,
        LastMessage::Acknowledged => GuestOwner::Destination,
    };
    require(owners.0 == expected, Invariant::Owners, || {
        format!("the source takes the guest for the {}'s; last message: {last:?}", owners.0)
    })?;
    let may_run = run.destination_owner.finished && run.destination.record.disconnected;
    require(may_run || owners.1 == GuestOwner::Source, Invariant::Owners, || {
        "the destination runs the guest before the stream is complete and the queue pair gone"
            .to_owned()
    })
}

/// No more is registered on a side than its owner allows; a chunk at the end of its block counts as
/// much as any other.
fn check_pinned(run: &Run) -> Result<(), Broken> {
    for (side, record) in
        [(Side::Source, &run.source.record), (Side::Destination, &run.destination.record)]
    {
        let regions = record.regions.values();
        let chunks: u64 = regions.map(|bytes| bytes.div_ceil(run.plan.chunk_bytes)).sum();
        let allowed = run.plan.bound(side).is_none_or(|chunks_max| chunks <= chunks_max);
        require(allowed, Invariant::Bounds, || {
            format!("the {side} has registered {chunks} chunks, and its bound is less")
        })?;
    }
    Ok(())
}

/// A side that is in the middle of something and does not wait for its owner has a deadline, ahead
/// of it and no further than its longest wait.
fn check_wait<M: Guest + fmt::Debug>(
    side: &Watched<M>,
    paused_until: Option<Instant>,
    longest: Duration,
    now: Instant,
) -> Result<(), Broken> {
    match side.poll_timeout() {
        Some((deadline, reason)) => {
            let ahead = deadline > now && deadline <= now.after(longest);
            require(ahead, Invariant::Waits, || {
                format!("at {now} the wait for {reason:?} ends at {deadline}")
            })
        }
        None => {
            let idle = !side.record.begun || side.is_closed() || paused_until.is_some();
            require(idle, Invariant::Waits, || {
                format!("a wait without a deadline: {:?}", side.machine())
            })
        }
    }
}

/// The longest that each side waits for one thing. Both sides have the same configuration.
fn longest_waits(timeouts: &Timeouts) -> Sides<Duration> {
    let Timeouts { connection, response, command, acknowledgement, memory, farewell, closing } =
        *timeouts;
    let either = connection.max(acknowledgement).max(memory).max(closing);
    Sides { source: either.max(response).max(farewell), destination: either.max(command) }
}

/// When both sides have come to their ends at the latest: as late as without faults; and each may
/// come to one wait that ends at its deadline, one after the other; after it each closes, which takes
/// three waits more. A fault that only delays adds a second, or what repetitions take.
pub(crate) fn latest_end(usual: Duration, faults: &[Fault], timeouts: &Timeouts) -> Duration {
    let longest = longest_waits(timeouts);
    // For ERROR to leave, for the queue pair to be destroyed, for memory to be given back.
    let closing = timeouts.closing * 2 + timeouts.memory;
    let delays = Duration::from_secs(1) * u32::try_from(faults.len()).unwrap_or(u32::MAX);
    usual + longest.source + longest.destination + closing * 2 + timeouts.farewell + delays
}

/// What must hold of the end.
pub(crate) fn at_the_end(run: &mut Run, usual_end: Option<Duration>) -> Result<(), Broken> {
    let closed = closed(run)?;
    check_end(run, &closed, usual_end).map_err(|Broken { invariant, what }| {
        let Sides { source, destination } = &closed;
        let what = format!("{what}\nsource: {source:?}\ndestination: {destination:?}");
        Broken { invariant, what }
    })
}

fn check_end(
    run: &mut Run,
    closed: &Sides<Closed>,
    usual_end: Option<Duration>,
) -> Result<(), Broken> {
    let well = Sides::from_fn(|side| closed.of(side).result.is_ok());
    check_success(run, well)?;
    check_guest_intact(run)?;
    check_release(run, closed, well)?;
    check_memory(run)?;
    check_recovery(run, well)?;
    let Some(usual) = usual_end else { return Ok(()) };
    let timeouts = run.plan.source_config().timeouts;
    let latest = latest_end(usual, run.fabric.faults_struck(), &timeouts);
    let ended = run.ended_at.since(Instant::ORIGIN);
    require(ended <= latest, Invariant::Waits, || {
        format!("the end came after {ended:?}, and {latest:?} is allowed")
    })
}

fn closed(run: &Run) -> Result<Sides<Closed>, Broken> {
    let once = |side, closed: &[Closed]| match closed {
        [closed] => Ok(closed.clone()),
        _ => Err(Broken::new(Invariant::Contract, format!("the {side} ended as {closed:?}"))),
    };
    let closed = Sides {
        source: once(Side::Source, &run.source_owner.closed)?,
        destination: once(Side::Destination, &run.destination_owner.closed)?,
    };
    let owners = (run.source.guest_owner(), run.destination.guest_owner());
    let told = (closed.source.guest, closed.destination.guest);
    require(owners == told, Invariant::Owners, || format!("told {told:?}, then {owners:?}"))?;
    require(
        run.destination_owner.released == (owners.1 == GuestOwner::Destination),
        Invariant::Owners,
        || "the destination's owner was told otherwise than its machine says".to_owned(),
    )?;
    // A side that says that the migration went well has given the guest away, or has it.
    for side in Side::BOTH {
        let Closed { result, guest, .. } = closed.of(side);
        let moved = *guest == GuestOwner::Destination;
        require(result.is_err() || moved, Invariant::Owners, || {
            format!("the {side} ended well, and the guest is the {guest}'s")
        })?;
    }
    Ok(closed)
}

/// Success is said of what has arrived, and of all of it.
fn check_success(run: &mut Run, well: Sides<bool>) -> Result<(), Broken> {
    let has_all = run.destination_owner.released;
    let arrived = has_all || well.source || run.source.guest_owner() == GuestOwner::Destination;
    // Of the stream a source knows only that it lies in the destination's memory: whether a program
    // there has read it shows in the release of the guest.
    if arrived {
        run.check_ram()?;
    }
    let (sent, received) = (&run.source_owner.stream, &run.destination_owner.stream);
    require(sent.starts_with(received), Invariant::Bytes, || {
        format!("of {} stream bytes {} arrived, which differ", sent.len(), received.len())
    })?;
    require(!has_all || sent == received, Invariant::Bytes, || {
        format!("the guest runs with {} of {} stream bytes", received.len(), sent.len())
    })?;
    require(!has_all || run.destination_owner.rounds == run.plan.rounds, Invariant::Bytes, || {
        format!("the guest runs after {} rounds", run.destination_owner.rounds)
    })
}

fn check_guest_intact(run: &mut Run) -> Result<(), Broken> {
    let intact = (0..).zip(&run.source_owner.ram).all(|(index, bytes)| {
        run.fabric.port(Side::Source).memory(BlockIndex::new(index)) == bytes
    });
    require(intact, Invariant::Bytes, || "the guest's RAM was changed at the source".to_owned())
}

fn check_release(run: &mut Run, closed: &Sides<Closed>, well: Sides<bool>) -> Result<(), Broken> {
    // Of those that the transport did not give back in time the side says that they are left.
    let not_answered =
        run.fabric.faults_struck().iter().any(|fault| fault.kind.may_leave_regions());
    run.fabric.settle(well);
    for side in Side::BOTH {
        let left = closed.of(side).regions_left;
        require(left == 0 || not_answered, Invariant::Released, || {
            format!("the {side} says that {left} regions are left")
        })?;
        let leaks = run.fabric.violations().iter().filter(|violation| is_leak(violation, side));
        let leaks = leaks.count();
        require(leaks <= left, Invariant::Released, || {
            format!("{leaks} regions of the {side} were never given back, {left} are said to be")
        })?;
        let pinned = run.fabric.pinned(side).bytes;
        require(pinned == 0 || leaks > 0, Invariant::Released, || {
            format!("{pinned} bytes of the {side} stay pinned")
        })?;
    }
    let other = |violation: &&Violation| !matches!(violation.breach, Breach::Leak(_));
    if let Some(violation) = run.fabric.violations().iter().find(other) {
        return Err(Broken::new(invariant_of(violation), violation.to_string()));
    }
    check_said(Side::Source, &run.source.record, closed.source.regions_left)?;
    check_said(Side::Destination, &run.destination.record, closed.destination.regions_left)
}

fn is_leak(violation: &Violation, of: Side) -> bool {
    violation.side == of && matches!(violation.breach, Breach::Leak(_))
}

/// What the side says is left is what it was not told of.
fn check_said(side: Side, record: &Record, left: usize) -> Result<(), Broken> {
    let known = record.regions_at_end.unwrap_or_default();
    require(left == known, Invariant::Released, || {
        format!("the {side} says that {left} regions are left, and it is {known}")
    })
}

fn check_memory(run: &Run) -> Result<(), Broken> {
    let chunks = usize::try_from(run.plan.chunks()).unwrap();
    let bound = limits::heap_bytes_max(run.plan.blocks.len(), chunks);
    for (side, record) in
        [(Side::Source, &run.source.record), (Side::Destination, &run.destination.record)]
    {
        let peak = record.meter.peak;
        require(usize::try_from(peak).unwrap() <= bound, Invariant::Bounds, || {
            format!("the {side} used {peak} bytes of heap, and the bound is {bound}")
        })?;
    }
    Ok(())
}

/// Whether it ended as is said of the faults that struck.
fn check_recovery(run: &Run, well: Sides<bool>) -> Result<(), Broken> {
    let well = well.source && well.destination;
    let struck = run.fabric.faults_struck();
    if struck.iter().all(|fault| must_survive(&run.plan, fault)) {
        // Together they may be too much, or not.
        let repetitions: u64 = struck.iter().map(repetitions).sum();
        if repetitions > run.fabric.cost().retries.value {
            return Ok(());
        }
        return require(well == run.plan.agrees(), Invariant::Contract, || {
            format!("ended well: {well}, without a fault that decides it")
        });
    }
    let fails = matches!(struck, [fault] if must_fail(&run.plan, fault));
    require(!(fails && well), Invariant::Contract, || {
        "ended well, in spite of a fault that no migration survives".to_owned()
    })
}

/// How often something is repeated because of a fault that a migration survives, if all that fall
/// together are of the same message. A link that is cut for 150 ms is back at the third repetition;
/// a region that is not given back at first counts twice, as that is done three times at the most.
fn repetitions(fault: &Fault) -> u64 {
    match fault.kind.name {
        "link-flap" => 3,
        name if name.ends_with("deregistration-failed") => 2,
        name => u64::from(name.contains("-lost")),
    }
}

fn must_survive(plan: &Plan, fault: &Fault) -> bool {
    // A side that cannot give back in a round what it was asked to, or what has to make room, ends
    // there; at the end it tries again.
    let name = fault.kind.name;
    let gives_back = plan.unregisters || plan.bound(Side::Source).is_some();
    let in_a_round = name == "source-deregistration-failed" && gives_back
        || name == "destination-deregistration-failed" && plan.unregisters;
    fault.kind.recovery == Recovery::Recovered && !in_a_round
}

fn must_fail(plan: &Plan, fault: &Fault) -> bool {
    let name = fault.kind.name;
    // A destination that finishes late says READY once more, for nothing.
    let in_vain = plan.finishes_late && (name.starts_with("destination-") || name == "ready-lost");
    // One byte cannot be cut short.
    let nothing = name == "stream-truncated" && plan.tail_bytes == 1;
    fault.kind.recovery == Recovery::Fails && !in_vain && !nothing
}
