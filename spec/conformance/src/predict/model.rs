//! The closed forms: how long each strategy takes for an idle guest that is sent in one round.
//!
//! Letters in the formulas: `w` the link, busy with one chunk; `T` a round trip, which is a
//! message to a side that sleeps on its completion channel and its answer back to one that sleeps;
//! `rS`, `rD` registration of a chunk at the source and at the destination; `v` the walk over a
//! chunk that is not zero, `v0` over one that is; `z` zeroing one at the destination. All else is
//! the same for every strategy over RDMA: [`Model::around`].
//!
//! SENDs and WRITEs share one queue pair and leave in order: that is why a request that is posted
//! behind a WRITE waits for it, and why one that is posted before it does not.

use super::costs::{Costs, Steps};
use super::guest::{CHUNK_BYTES, Guest};
use super::strategy::{Strategy, ZERO_SPAN_CHUNKS};

/// WRITEs that leave before a command that waits for its READY.
const WRITES_BEFORE_COMMAND: f64 = 2.0;

/// What a strategy takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// From the first call until the guest may run at the destination.
    pub seconds: f64,
    /// Of these, those in which RAM moves: without making the connection and pinning all RAM.
    pub moving_seconds: f64,
    /// Bytes of RAM that cross the link.
    pub bytes: u64,
    /// The most bytes that the destination has registered at any one time.
    pub pinned_bytes: u64,
}

/// The figures, ready for use.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    steps: Steps,
    /// Chunks of one request, where requests are for spans.
    span: u64,
    /// Zero chunks of one COMPRESS, there.
    zero_span: u64,
}

impl Model {
    /// A model with these figures and spans of at most so many chunks.
    #[must_use]
    pub fn new(costs: &Costs, span_chunks: u32) -> Self {
        let span = u64::from(span_chunks).max(1);
        Self { steps: Steps::of(costs), span, zero_span: u64::from(ZERO_SPAN_CHUNKS) }
    }

    /// How long a strategy takes for a guest, and what it pins.
    #[must_use]
    pub fn estimate(&self, strategy: Strategy, guest: &Guest) -> Estimate {
        let (filled, all) = (guest.filled_bytes(), guest.ram_bytes());
        let dynamic = |moving_seconds| (self.around(), moving_seconds, filled, filled);
        let (before, moving_seconds, bytes, pinned_bytes) = match strategy {
            Strategy::WireLimit => (0.0, self.wire_limit(guest), filled, 0),
            Strategy::Tcp => (0.0, self.tcp(guest), filled, 0),
            Strategy::QemuDynamic | Strategy::OursChunks => dynamic(self.chunks(guest)),
            Strategy::OursSpans => dynamic(self.spans(guest)),
            Strategy::OursLookAhead => dynamic(self.look_ahead(guest)),
            Strategy::QemuPinAll | Strategy::OursPinAll => {
                let bulk = float(guest.chunks()) * self.steps.wire;
                (self.around() + self.pinning(guest), bulk, all, all)
            }
        };
        Estimate { seconds: before + moving_seconds, moving_seconds, bytes, pinned_bytes }
    }

    /// `filled x w`: nothing that has to move moves faster.
    fn wire_limit(&self, guest: &Guest) -> f64 {
        float(guest.filled_chunks()) * self.steps.wire
    }

    /// `filled x w'`, with `w'` a chunk at the published rate of TCP. A zero page is one byte of
    /// stream; the walk goes on beside.
    fn tcp(&self, guest: &Guest) -> f64 {
        float(guest.filled_chunks()) * self.steps.tcp
    }

    /// `connection + 5 T + acknowledgement + destruction`.
    ///
    /// The source looks for the destination. Before the first run: the connection, READY, the
    /// stream's beginning, the exchange of RAM blocks; that is three round trips and a half, because
    /// READY leaves before the source sees that it is connected. After the last run: its
    /// acknowledgement; REGISTER_FINISHED and its READY; one way for the rest of the stream. The
    /// queue pair goes before the guest is released.
    fn around(&self) -> f64 {
        let Steps { connection, round_trip, acknowledgement, destruction, .. } = self.steps;
        connection + 5.0 * round_trip + acknowledgement + destruction
    }

    /// `chunks x max(rS, rD)`: both sides register all RAM at the same time, before anything moves.
    fn pinning(&self, guest: &Guest) -> f64 {
        let Steps { registration_source, registration_destination, .. } = self.steps;
        float(guest.chunks()) * registration_source.max(registration_destination)
    }

    /// QEMU's rhythm: `filled x (max(w, v) + T + rD + rS) + zero x max(T + z, v0)`.
    ///
    /// The walk over the next chunk goes on while the WRITE of this one is on the link; the
    /// request queues behind that WRITE; the destination registers; the source has the answer, and
    /// only then registers its half and posts the WRITE. A zero chunk is one COMPRESS, and the
    /// next command waits for its READY.
    fn chunks(&self, guest: &Guest) -> f64 {
        let Steps { wire, walk_filled, walk_zero, round_trip, .. } = self.steps;
        let Steps { registration_source, registration_destination, .. } = self.steps;
        let registered = round_trip + registration_destination + registration_source;
        let filled = wire.max(walk_filled) + registered;
        walk_filled
            + float(guest.filled_chunks()) * filled
            + float(guest.zero_chunks()) * self.compress(1.0).max(walk_zero)
    }

    /// From a COMPRESS that tells `chunks` leaving to the READY behind it: `T + chunks x z`.
    fn compress(&self, chunks: f64) -> f64 {
        self.steps.round_trip + chunks * self.steps.zeroing
    }

    /// From a request for `m` chunks being posted until both sides have registered them:
    /// `R(m, q) = max(q w + T + m rD, m rS)`, where the request queues behind `q` chunks of WRITEs.
    /// The source begins when it posts the request, the destination when it sees it.
    fn register_behind(&self, queued: f64, chunks: f64) -> f64 {
        let Steps { wire, round_trip, .. } = self.steps;
        let Steps { registration_source, registration_destination, .. } = self.steps;
        let destination = queued * wire + round_trip + chunks * registration_destination;
        destination.max(chunks * registration_source)
    }

    /// The same with nothing before the request: `R(m) = R(m, 0)`.
    fn register(&self, chunks: f64) -> f64 {
        self.register_behind(0.0, chunks)
    }

    /// For each run of chunks that are not zero: `R(n) + sum over its spans from the second on of
    /// R(m, n) + m w`, then `commands x T + g z` for the `g` zero ones behind it; or what the walk
    /// takes if that is longer: see [`Self::not_before_the_walk`].
    ///
    /// The request for a span leaves when everything before is posted, so it queues behind the
    /// WRITEs of the span before. A COMPRESS tells as many adjacent zero chunks as it may.
    fn spans(&self, guest: &Guest) -> f64 {
        let runs = Runs::of(guest, self.span);
        let Steps { wire, round_trip, zeroing, .. } = self.steps;
        let first = if runs.first() > 0.0 { self.register(runs.first()) } else { 0.0 };
        let further = (runs.whole_spans - 1.0).max(0.0);
        let further = further * self.register_behind(runs.span, runs.span);
        let rest = if runs.rest > 0.0 && runs.whole_spans > 0.0 {
            self.register_behind(runs.span, runs.rest)
        } else {
            0.0
        };
        let zero = self.commands(runs.zero_behind) * round_trip + runs.zero_behind * zeroing;
        let run = first + further + rest + runs.last() * wire + zero;
        self.not_before_the_walk(guest, &runs, runs.count * run)
    }

    /// The default. Without zero chunks:
    /// `R(n) + sum over the spans from the second on of max(n w, R(m)) + m w`,
    /// or what the walk takes if that is longer: see [`Self::not_before_the_walk`].
    ///
    /// The request for a span leaves before the WRITEs of the one before it, so registration on
    /// both sides goes on while the link is busy. Only the first registration stands alone, and
    /// all of them do what exceeds the link's share where registration is slower than the link.
    ///
    /// Zero chunks behind a run go as COMPRESS while its last span is still being written: see
    /// [`Self::behind_a_span`].
    fn look_ahead(&self, guest: &Guest) -> f64 {
        let runs = Runs::of(guest, self.span);
        let first = if runs.first() > 0.0 { self.register(runs.first()) } else { 0.0 };
        let (between, end) = self.behind_a_span(&runs, first);
        let within = runs.count * self.within_a_run(&runs);
        let sum = first + within + (runs.count - 1.0).max(0.0) * between + end;
        self.not_before_the_walk(guest, &runs, sum)
    }

    /// From the grant of a run's first span to the grant of its last one.
    fn within_a_run(&self, runs: &Runs) -> f64 {
        let full = runs.span * self.steps.wire;
        let (whole, rest) = (runs.whole_spans, runs.rest);
        let to_whole = (whole - 1.0).max(0.0) * full.max(self.register(runs.span));
        let to_rest = if rest > 0.0 && whole > 0.0 { full.max(self.register(rest)) } else { 0.0 };
        to_whole + to_rest
    }

    /// From the grant of a run's last span of `m` chunks, behind which there are `g` zero ones: to
    /// the grant of the next run's first span, which takes `next`, and to the end of everything if
    /// there is none.
    ///
    /// The `k` commands for the zero chunks take `k T + g z`. The first one queues behind the two
    /// WRITEs that are posted with the grant, before READY is seen. While the span is being
    /// written, each of the others takes `q` more: the source keeps at most two WRITEs posted
    /// while a command waits for its READY, and posts another when it sees that one has arrived,
    /// so `q` is on average `1.5 w - acknowledgement`, at least half a `w`. What fits into the `m
    /// w` of the span costs nothing; the others follow, and then the next registration stands
    /// alone. If all fit, the next registration goes on beside what is left of the span.
    fn behind_a_span(&self, runs: &Runs, next: f64) -> (f64, f64) {
        let Steps { wire, round_trip, zeroing, acknowledgement, .. } = self.steps;
        let (writing, zero) = (runs.last() * wire, runs.zero_behind);
        if zero <= 0.0 {
            return (writing.max(next), writing);
        }
        let queued_first = runs.last().min(WRITES_BEFORE_COMMAND) * wire;
        let queued = (1.5 * wire - acknowledgement).max(0.5 * wire);
        let commands = self.commands(zero);
        let each = round_trip + zero / commands * zeroing;
        let beside = queued_first + commands * (each + queued) - queued;
        if beside < writing {
            return (beside + (writing - beside).max(queued + next), writing);
        }
        let done = ((writing - queued_first) / (each + queued)).min(commands);
        let end = writing + (commands - done) * each;
        (end + next, end)
    }

    /// Commands that tell so many adjacent zero chunks; on average, where there is less than one.
    fn commands(&self, zero: f64) -> f64 {
        zero.min((zero / float(self.zero_span)).ceil())
    }

    /// What the first command waits for, and then the longer of `sum` and the walk over everything
    /// else: `filled x v + zero x v0`, with the last command behind it. The walk is one thread and
    /// goes on beside everything; no command leaves before the walk over all that it is for.
    fn not_before_the_walk(&self, guest: &Guest, runs: &Runs, sum: f64) -> f64 {
        let Steps { walk_filled, walk_zero, wire, .. } = self.steps;
        let zero_span = float(self.zero_span).min(runs.zero_behind);
        let first =
            if runs.first() > 0.0 { runs.first() * walk_filled } else { zero_span * walk_zero };
        let all =
            float(guest.filled_chunks()) * walk_filled + float(guest.zero_chunks()) * walk_zero;
        let last = if zero_span > 0.0 {
            self.compress(zero_span)
        } else {
            self.register(runs.last()) + runs.last() * wire
        };
        (first + sum).max(all + last)
    }
}

/// The runs of a guest that hold something, divided into spans, all alike. Where the last run is
/// shorter than the others it counts as a part of one. Where everything is zero there is one run of
/// no chunks.
#[derive(Clone, Copy, Debug)]
struct Runs {
    count: f64,
    /// Chunks of a span that is as long as it may be.
    span: f64,
    /// Spans of a run that are as long as they may be.
    whole_spans: f64,
    /// Chunks of the shorter span that ends a run, or 0.
    rest: f64,
    /// Zero chunks behind each run.
    zero_behind: f64,
}

impl Runs {
    fn of(guest: &Guest, span: u64) -> Self {
        let run = guest.run_chunks();
        let count = if run == 0 { 1.0 } else { float(guest.filled_chunks()) / float(run) };
        Self {
            count,
            span: float(span),
            whole_spans: float(run / span),
            rest: float(run % span),
            zero_behind: float(guest.zero_chunks()) / count,
        }
    }

    /// Chunks of the first span of a run.
    fn first(&self) -> f64 {
        if self.whole_spans > 0.0 { self.span } else { self.rest }
    }

    /// Chunks of the last one.
    fn last(&self) -> f64 {
        if self.rest > 0.0 || self.whole_spans <= 0.0 { self.rest } else { self.span }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a PiB has 2^30 chunks, and seconds have few digits"
)]
pub(super) const fn float(number: u64) -> f64 {
    number as f64
}

impl Estimate {
    /// Bits a second while RAM moves; none where nothing does.
    #[must_use]
    pub fn bits_per_second(&self) -> Option<f64> {
        (self.moving_seconds > 0.0 && self.bytes > 0)
            .then(|| float(self.bytes) * 8.0 / self.moving_seconds)
    }
}

// Figures for a MiB are those of a chunk.
const _: () = assert!(CHUNK_BYTES == 1 << 20);

#[cfg(test)]
mod tests {
    use super::*;
    use rdma_migration_transport_sim::{CostPreset, Figure};

    const GIB: u64 = 1 << 30;

    fn model() -> Model {
        Model::new(&Costs::of(CostPreset::Qdr2013), 64)
    }

    fn seconds(model: &Model, strategy: Strategy, guest: &Guest) -> f64 {
        model.estimate(strategy, guest).seconds
    }

    #[test]
    fn look_ahead_is_within_a_tenth_of_the_wire_limit_and_pins_what_is_not_zero() {
        let guest = Guest::new(8 * GIB, 0, 64).unwrap();
        let limit = seconds(&model(), Strategy::WireLimit, &guest);
        assert!((2.63..2.65).contains(&limit), "{limit}");
        let ours = model().estimate(Strategy::OursLookAhead, &guest);
        assert!(ours.seconds <= 1.10 * limit, "{} of {limit}", ours.seconds);
        for zero in [0, 90, 100] {
            let guest = Guest::new(8 * GIB, zero, 64).unwrap();
            let ours = model().estimate(Strategy::OursLookAhead, &guest);
            assert!(ours.pinned_bytes <= guest.filled_bytes());
        }
    }

    #[test]
    fn nothing_beats_the_wire_limit_and_look_ahead_is_not_slower_than_spans() {
        for zero in [0, 10, 50, 90, 99] {
            for run in [1, 3, 64, 1000] {
                let guest = Guest::new(GIB, zero, run).unwrap();
                let limit = seconds(&model(), Strategy::WireLimit, &guest);
                let spans = seconds(&model(), Strategy::OursSpans, &guest);
                let ahead = seconds(&model(), Strategy::OursLookAhead, &guest);
                assert!(limit < ahead, "{zero} {run}: {limit} {ahead}");
                assert!(ahead <= spans * 1.001, "{zero} {run}: {ahead} {spans}");
            }
        }
    }

    #[test]
    fn where_registration_is_slower_than_the_link_it_sets_the_pace() {
        let mut costs = Costs::of(CostPreset::Qdr2013);
        costs.cost.registration.destination = Figure::given(1_000_000);
        let guest = Guest::new(8 * GIB, 0, 64).unwrap();
        let ahead = seconds(&Model::new(&costs, 64), Strategy::OursLookAhead, &guest);
        // 8192 chunks at 1 ms, and the last span's way over the link.
        assert!((8.2..8.5).contains(&ahead), "{ahead}");
    }

    #[test]
    fn a_guest_of_zero_chunks_alone_takes_a_command_for_each_and_pins_nothing() {
        let guest = Guest::new(GIB, 100, 64).unwrap();
        for strategy in [Strategy::QemuDynamic, Strategy::OursSpans, Strategy::OursLookAhead] {
            let estimate = model().estimate(strategy, &guest);
            assert_eq!((estimate.bytes, estimate.pinned_bytes), (0, 0));
            assert_eq!(estimate.bits_per_second(), None);
            // Not more than 1024 times two wake-ups of 155 us and 100 us of zeroing.
            assert!((0.14..0.57).contains(&estimate.seconds), "{}", estimate.seconds);
        }
        let qemu = seconds(&model(), Strategy::QemuDynamic, &guest);
        assert!((0.56..0.57).contains(&qemu), "{qemu}");
    }
}
