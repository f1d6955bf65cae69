//! Two hosts, two adapters and the link between them, in one virtual time.

mod connection;
mod delivery;
mod endpoint;
mod local;
mod requests;

use core::fmt;
use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdma_migration_protocol::limits::{CONTROL_BUFFER_BYTES, RECEIVE_BUFFERS};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::TransportError;

use crate::clock::Agenda;
use crate::cost::{CostModel, CostPreset};
use crate::fault::{Fault, FaultKind, FaultPlan, Striker};
use crate::port::Port;
use crate::queue_pair::{State, Transmission};
use crate::side::{Side, Sides};
use crate::trace::{self, Recorder, WireCounters};
use crate::violation::{Breach, Violation};
pub(crate) use connection::Management;
pub(crate) use endpoint::{Endpoint, ReceiveSlot, Report, Seen};

/// Slots of a send queue, as QEMU asks for them.
const SEND_QUEUE_DEPTH: usize = 512;

/// How a fabric is set up.
#[derive(Clone, Debug)]
pub struct FabricConfig {
    /// Where all chance comes from: the same seed gives the same run.
    pub seed: u64,
    /// What things cost.
    pub cost: CostModel,
    /// Slots of each send queue. Default 512.
    pub send_queue_depth: usize,
    /// Slots of each receive queue. Default 3.
    pub receive_queue_depth: usize,
    /// Bytes that each receive takes. Default 512 KiB, as much as a control buffer holds.
    pub receive_buffer_bytes: usize,
    /// How often a side's message is repeated that meets no posted receive; 7 is for ever. What QEMU
    /// grants its peers, and the default, is 0.
    pub receiver_not_ready_retries: Sides<u8>,
    /// Whether the destination listens. Default true.
    pub listening: bool,
    /// Bytes that a side may pin at most, without its control buffers. Default: no limit.
    pub locked_memory_max: Sides<Option<u64>>,
    /// What goes wrong. Default: nothing.
    pub faults: FaultPlan,
}

impl Default for FabricConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            cost: CostPreset::default().model(),
            send_queue_depth: SEND_QUEUE_DEPTH,
            receive_queue_depth: RECEIVE_BUFFERS,
            //= spec/text/11-limits.md#control-messages
            //# [LIM-7] A receiver MUST post receives that have room for 524288 bytes.
            receive_buffer_bytes: CONTROL_BUFFER_BYTES,
            receiver_not_ready_retries: Sides::default(),
            listening: true,
            locked_memory_max: Sides::default(),
            faults: FaultPlan::none(),
        }
    }
}

/// Something that happens at an instant.
#[derive(Debug)]
pub(crate) enum Event {
    /// The last byte of what a side transmits has left.
    Departed { from: Side, ticket: u64 },
    /// A transmission has arrived.
    Arrived { to: Side, transmission: Box<Transmission> },
    /// An acknowledgement has arrived.
    Acknowledged { to: Side, sequence: u64 },
    /// A refusal has arrived.
    Refused { to: Side, sequence: u64, refusal: Refusal },
    /// It is time to look for an acknowledgement that does not come.
    RetryDue { side: Side },
    /// A pause in transmission is over.
    PauseOver { side: Side },
    /// Address and route are resolved, or cannot be.
    Resolved { outcome: connection::Resolution },
    /// A message of connection management has arrived.
    Management { to: Side, message: Management },
    /// A message of connection management is sent again.
    Repeat { from: Side, message: Management, attempt: u64 },
    /// Work on a side's memory ends.
    LocalDone { side: Side, work: u64 },
    /// A queue pair is destroyed.
    Destroyed { side: Side },
    /// A side that slept looks again.
    Wake { side: Side },
}

/// Why an adapter did not take a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// An earlier one is missing.
    OutOfSequence,
    /// No receive is posted.
    ReceiverNotReady,
    /// It ends the connection.
    Fatal(TransportError),
}

/// The whole simulated world of one migration.
///
/// Nothing happens by itself: [`Self::port`] lends a side its adapter, [`Self::advance`] lets
/// virtual time pass to the next event.
pub struct Fabric {
    config: FabricConfig,
    agenda: Agenda<Event>,
    endpoints: Sides<Endpoint>,
    /// Until when what a side sends is lost.
    cut_until: Sides<Option<Instant>>,
    striker: Striker,
    recorder: Recorder,
    violations: Vec<Violation>,
    random: ChaCha8Rng,
    /// The source's request that carries the last bytes of the stream.
    last_send: Option<u64>,
}

impl fmt::Debug for Fabric {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Fabric")
            .field("now", &self.agenda.now())
            .field("endpoints", &self.endpoints)
            .field("violations", &self.violations)
            .finish_non_exhaustive()
    }
}

impl Fabric {
    /// A fabric of two hosts without memory.
    #[must_use]
    pub fn new(config: FabricConfig) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(config.seed);
        let endpoints = Sides::from_fn(|side| Endpoint::new(side, &mut random));
        let first_packets = Sides::from_fn(|side| endpoints.of(side).queue_pair.next_packet());
        let recorder = Recorder::new(first_packets, &mut random);
        let striker = Striker::new(config.faults.clone());
        Self {
            config,
            agenda: Agenda::new(),
            endpoints,
            cut_until: Sides::default(),
            striker,
            recorder,
            violations: Vec::new(),
            random,
            last_send: None,
        }
    }

    /// The adapter and the memory of a side.
    pub const fn port(&mut self, side: Side) -> Port<'_> {
        Port::new(self, side)
    }

    /// The present instant.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.agenda.now()
    }

    /// When the next event happens, if any is to happen.
    #[must_use]
    pub fn next_event(&self) -> Option<Instant> {
        self.agenda.next()
    }

    /// Lets time pass to `until`, with everything that happens up to and at that instant.
    pub fn advance(&mut self, until: Instant) {
        while let Some(event) = self.agenda.take(until) {
            self.happen(event);
        }
        self.agenda.advance(until);
    }

    /// Whether a side has anything to look at, or was woken and has not looked.
    #[must_use]
    pub const fn is_awake(&self, side: Side) -> bool {
        self.endpoints.of(side).awake
    }

    /// Wakes a side now, as a timer of its own would.
    pub const fn rouse(&mut self, side: Side) {
        self.endpoints.of_mut(side).awake = true;
    }

    /// What was done against the rules so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The faults that have struck so far.
    #[must_use]
    pub fn faults_struck(&self) -> &[Fault] {
        self.striker.struck()
    }

    /// How many operations of the kind that this fault strikes there have been so far: in a run
    /// without faults, the last moment at which it could strike.
    #[must_use]
    pub fn operations_for(&self, kind: &FaultKind) -> u64 {
        self.striker.passed(kind)
    }

    /// What things cost here.
    #[must_use]
    pub const fn cost(&self) -> &CostModel {
        &self.config.cost
    }

    /// What crossed the link so far, as seen at the source's port.
    #[must_use]
    pub const fn wire(&self) -> &WireCounters {
        self.recorder.counters()
    }

    /// What a side pins and has pinned.
    #[must_use]
    pub fn pinned(&self, side: Side) -> Pinned {
        let regions = &self.endpoints.of(side).regions;
        Pinned {
            bytes: regions.bytes(),
            bytes_peak: regions.bytes_peak(),
            registrations: regions.registrations(),
        }
    }

    /// Regions of a side that nobody has asked to have back.
    #[must_use]
    pub fn regions_left(&self, side: Side) -> usize {
        self.endpoints.of(side).leaks().count()
    }

    /// Says that the source's latest send carries the last bytes of the stream: the faults of the
    /// last message strike it.
    pub fn mark_last_send(&mut self) {
        self.last_send = self.endpoints.source.latest_send;
    }

    /// The end of a run: what was never given back, and what was never reported, becomes a
    /// violation. `orderly` tells for which sides the migration ended well.
    pub fn settle(&mut self, orderly: Sides<bool>) {
        for side in Side::BOTH {
            let endpoint = self.endpoints.of(side);
            let leaks: Vec<_> = endpoint.leaks().map(Breach::Leak).collect();
            let left = endpoint.unsignaled_left;
            self.violations.extend(leaks.into_iter().map(|breach| Violation { side, breach }));
            if left > 0 && *orderly.of(side) {
                self.breach(side, Breach::UnsignaledWritesLeft(left));
            }
        }
    }

    /// The recorder of what crosses the link.
    pub const fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Departed { from, ticket } => self.departed(from, ticket),
            Event::Arrived { to, transmission } => self.arrived(to, *transmission),
            Event::Acknowledged { to, sequence } => self.acknowledged(to, sequence),
            Event::Refused { to, sequence, refusal } => self.refused(to, sequence, refusal),
            Event::RetryDue { side } => self.retry_due(side),
            Event::PauseOver { side } => self.pause_over(side),
            Event::Resolved { outcome } => self.resolved(outcome),
            Event::Management { to, message } => self.management_arrived(to, message),
            Event::Repeat { from, message, attempt } => {
                self.repeat_management(from, message, attempt);
            }
            Event::LocalDone { side, work } => self.local_done(side, work),
            Event::Destroyed { side } => self.destroyed(side),
            Event::Wake { side } => self.wake(side),
        }
        self.flush_trace();
    }

    /// Nothing will be recorded before the start of what is on its way now.
    fn flush_trace(&mut self) {
        let mut settled = self.now();
        for side in Side::BOTH {
            let queue_pair = &self.endpoints.of(side).queue_pair;
            let transmitting = queue_pair.transmitting.as_ref().map(|one| one.started_at);
            settled = transmitting.map_or(settled, |started_at| settled.min(started_at));
        }
        self.recorder.flush(settled);
    }

    pub(crate) const fn endpoint(&self, side: Side) -> &Endpoint {
        self.endpoints.of(side)
    }

    pub(crate) const fn endpoint_mut(&mut self, side: Side) -> &mut Endpoint {
        self.endpoints.of_mut(side)
    }

    pub(crate) fn wake_at(&mut self, side: Side, instant: Instant) {
        self.agenda.add(instant, Event::Wake { side });
    }

    pub(crate) fn fault_due(&mut self, name: &str) -> bool {
        self.striker.due(name)
    }

    pub(crate) fn breach(&mut self, side: Side, breach: Breach) {
        self.violations.push(Violation { side, breach });
    }

    /// Whether what `from` sends now is lost.
    fn is_cut(&self, from: Side) -> bool {
        self.cut_until.of(from).is_some_and(|until| self.now() < until)
    }

    /// When something that leaves now is seen where it arrives.
    fn seen(&self, arrives: bool) -> trace::Seen {
        let leaves_at = self.now();
        let arrives_at = leaves_at.after(self.config.cost.one_way());
        trace::Seen { leaves_at, arrives_at, arrives }
    }

    fn wake(&mut self, side: Side) {
        let now = self.now();
        let endpoint = self.endpoints.of_mut(side);
        endpoint.awake = true;
        endpoint.wakes_at = endpoint.wakes_at.filter(|at| *at > now);
    }

    /// Something came over the link: a side that sleeps sees it after its wake-up.
    fn report(&mut self, side: Side, report: Report) {
        self.report_after(side, report, self.config.cost.wake_up(side));
    }

    /// Something ended on the host itself: its worker wakes the side at once.
    fn report_local(&mut self, side: Side, report: Report) {
        self.report_after(side, report, core::time::Duration::ZERO);
    }

    fn report_after(&mut self, side: Side, report: Report, delay: core::time::Duration) {
        let wakes_at = self.now().after(delay);
        let endpoint = self.endpoints.of_mut(side);
        endpoint.inbox.push_back(report);
        if endpoint.awake || endpoint.wakes_at.is_some_and(|at| at <= wakes_at) {
            return;
        }
        endpoint.wakes_at = Some(wakes_at);
        self.agenda.add(wakes_at, Event::Wake { side });
    }

    /// A random page-aligned address for the next block of a side, clear of the others.
    pub(crate) fn draw_host_address(&mut self, side: Side) -> u64 {
        const ALIGNMENT: u64 = 2 << 20;
        let floor = match side {
            Side::Source => 0x1000_0000_0000,
            Side::Destination => 0x4000_0000_0000,
        };
        let end = self.endpoints.of(side).memory.end().unwrap_or(floor);
        let gap: u64 = self.random.random_range(1..0x4_0000);
        end.next_multiple_of(ALIGNMENT) + gap * ALIGNMENT
    }

    /// A new message of a side's program, in its own memory until it is acknowledged.
    fn copy_message(bytes: &[u8]) -> Arc<[u8]> {
        Arc::from(bytes)
    }
}

/// Memory that a side has registered, without its control buffers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Pinned {
    /// Bytes now.
    pub bytes: u64,
    /// The most bytes at any one time.
    pub bytes_peak: u64,
    /// Registrations that succeeded.
    pub registrations: u64,
}

/// The queue pair of a side takes requests of its peer.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.queue_pair.state == State::Ready
}
