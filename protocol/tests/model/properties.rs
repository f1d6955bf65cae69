//! What holds in every state, one function a property.

use std::fmt;

use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_protocol::wire::Message;
use rdma_migration_transport_sim::Side;

use crate::exploration::Migration;
use crate::guest::Guest;
use crate::link::{Arrival, QueuePair};
use crate::memory::Chore;
use crate::rules::Rule;
use crate::world::{Ended, LastSend, Outcome, World};

/// A property.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Property {
    ReadyFollowsReply,
    Credit,
    Keys,
    WritesComplete,
    NothingRegistered,
    Bound,
    OneOwner,
    Undecided,
    Deadlines,
    RunsEnd,
    BothClose,
    Whole,
    Success,
    HandedOver,
    NoBlame,
    Contract,
    NoPanic,
}

/// All of them, under the names by which they are reported.
pub(crate) const PROPERTIES: [(Property, &str, Holds); 17] = [
    (
        Property::ReadyFollowsReply,
        "no READY before the reply that it follows, and never two",
        |_, world| keeps(world, Rule::ReadyFollowsReply),
    ),
    (
        Property::Credit,
        "never more SENDs than posted receives, no command without READY",
        |_, world| keeps(world, Rule::Credit),
    ),
    (
        Property::Keys,
        "no write with a key that is not granted or was taken back, or outside its window",
        |_, world| keeps(world, Rule::Keys),
    ),
    (
        Property::WritesComplete,
        "REGISTER_FINISHED only after the completion of every write",
        |_, world| keeps(world, Rule::WritesComplete),
    ),
    (Property::NothingRegistered, "nothing is registered at the end", |_, world| {
        Side::BOTH.into_iter().all(|side| everything_is_released(world, side))
    }),
    (
        Property::Bound,
        "never more is registered on a side than its owner allows",
        |model, world| Side::BOTH.into_iter().all(|side| keeps_to_its_bound(model, world, side)),
    ),
    (Property::OneOwner, "never two running owners of the guest", |model, world| {
        !(source_claim(model, world) == GuestOwner::Source && runs_at_destination(world))
    }),
    (
        Property::Undecided,
        "undecided from posting the last SEND of the stream to its completion, and only then",
        |model, world| source_claim(model, world) == expected_claim(world),
    ),
    (Property::Deadlines, "a side that waits for its peer alone has a deadline", |model, world| {
        !Side::BOTH.into_iter().any(|side| waits_without_deadline(model, world, side))
    }),
    (Property::RunsEnd, "no run is endless: its inputs are counted and bounded", |_, world| {
        world.inputs <= INPUTS_MAX
    }),
    (Property::BothClose, "in every terminal state both sides are closed", |model, world| {
        !is_stuck(model, world)
    }),
    (Property::Whole, "the guest is released only with all its RAM and stream", |model, world| {
        !runs_at_destination(world) || has_arrived(world, &model.guest)
    }),
    (Property::Success, "both sides succeed where nothing failed", |model, world| {
        let failed = |side| outcome(world, side).is_some_and(|it| it != Outcome::Success);
        world.faults > 0 || model.guest.is_refused() || !Side::BOTH.into_iter().any(failed)
    }),
    (
        Property::HandedOver,
        "a source whose last SEND was acknowledged takes no loss of the connection for a failure",
        |model, world| {
            let acknowledged = world.last_send == LastSend::Acknowledged;
            let failed = outcome(world, Side::Source).is_some_and(|it| it != Outcome::Success);
            !(model.faults.are_only_cuts() && acknowledged && failed)
        },
    ),
    (Property::NoBlame, "no honest peer is blamed", |_, world| {
        !Side::BOTH.into_iter().any(|side| outcome(world, side) == Some(Outcome::Blame))
    }),
    (Property::Contract, "no order breaks the contract of the transport", |_, world| {
        keeps(world, Rule::Contract)
    }),
    (Property::NoPanic, "no machine panics", |_, world| keeps(world, Rule::NoPanic)),
];

/// What has to be reached somewhere, so that the properties above do not hold for want of cases.
pub(crate) const REACHED: [(&str, Holds); 11] = [
    ("both sides succeed", |_, world| ends(world, Outcome::Success, Outcome::Success)),
    ("both sides fail", |_, world| ends(world, Outcome::Failure, Outcome::Failure)),
    ("the source fails after the guest was handed over", |_, world| {
        let failed = outcome(world, Side::Source) == Some(Outcome::Failure);
        failed && world.guest_owner(Side::Source) == GuestOwner::Destination
    }),
    ("the source ends undecided and the destination has the guest", |_, world| {
        undecided_at_the_end(world) && runs_at_destination(world)
    }),
    ("the source ends undecided and the destination has failed", |_, world| {
        let failed = outcome(world, Side::Destination) == Some(Outcome::Failure);
        undecided_at_the_end(world) && failed
    }),
    ("a deregistration fails and is done again", |_, world| {
        let source = world.ends.of(Side::Source);
        *world.failed_deregistrations.of(Side::Source) > 0
            && source.is_some_and(|ended| ended.regions_left == 0)
    }),
    ("a region is left behind where the transport fails to close", |_, world| {
        world.ends.of(Side::Destination).is_some_and(|ended| ended.regions_left > 0)
    }),
    ("a request leaves before a write of what was granted earlier", |_, world| {
        let inbound = &world.link.end(Side::Destination).inbound;
        let request = inbound.iter().position(|inbound| requests(&inbound.what) > 0);
        let write = inbound.iter().rposition(|inbound| matches!(inbound.what, Arrival::Write(_)));
        request.zip(write).is_some_and(|(request, write)| request < write)
    }),
    ("a message has two requests", |_, world| {
        let inbound = &world.link.end(Side::Destination).inbound;
        inbound.iter().any(|inbound| requests(&inbound.what) == 2)
    }),
    ("a region gives way at the source alone", |model, world| gives_way(model, world, true)),
    ("a region gives way on both sides", |model, world| gives_way(model, world, false)),
];

/// Whether a property holds in a state.
pub(crate) type Holds = fn(&Migration, &World) -> bool;

/// More inputs than any run takes. The count of inputs is a part of the state and grows along every
/// edge of the graph, so the graph has no cycle; that an exploration ends without passing this bound
/// shows that it has no endless path either. (A checker that looks for states from which an end
/// cannot be reached would not see a run that could end and never does.)
pub(crate) const INPUTS_MAX: u16 = 200;

impl Property {
    pub(crate) fn name(self) -> &'static str {
        let mut all = PROPERTIES.into_iter();
        all.find(|(property, ..)| *property == self).map_or("", |(_, name, _)| name)
    }
}

impl fmt::Display for Property {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

fn keeps(world: &World, rule: Rule) -> bool {
    world.violation.is_none_or(|violation| violation.rule != rule)
}

/// What the source says of the guest.
fn source_claim(model: &Migration, world: &World) -> GuestOwner {
    let claim = world.guest_owner(Side::Source);
    model.bug.map_or(claim, |bug| bug.claim(world, claim))
}

/// What it has to say.
fn expected_claim(world: &World) -> GuestOwner {
    match world.last_send {
        LastSend::NotPosted => GuestOwner::Source,
        LastSend::Posted => GuestOwner::Undecided,
        LastSend::Acknowledged => GuestOwner::Destination,
    }
}

fn runs_at_destination(world: &World) -> bool {
    world.destination_owner.released
        || world.guest_owner(Side::Destination) == GuestOwner::Destination
}

fn undecided_at_the_end(world: &World) -> bool {
    world.is_closed(Side::Source) && world.guest_owner(Side::Source) == GuestOwner::Undecided
}

fn ends(world: &World, source: Outcome, destination: Outcome) -> bool {
    outcome(world, Side::Source) == Some(source)
        && outcome(world, Side::Destination) == Some(destination)
}

/// Whether the guest has arrived whole: its RAM and its stream.
fn has_arrived(world: &World, guest: &Guest) -> bool {
    world.memory.source.ram == world.memory.destination.ram
        && world.destination_owner.stream == guest.stream()
}

/// A side that has ended has nothing registered, and says so. Where its own transport did not close
/// in time, it says what is left.
fn everything_is_released(world: &World, side: Side) -> bool {
    world.ends.of(side).is_none_or(|Ended { regions_said, regions_left, .. }| {
        regions_said == regions_left && (regions_left == 0 || *world.transport_late.of(side))
    })
}

fn keeps_to_its_bound(model: &Migration, world: &World, side: Side) -> bool {
    let chunks = world.memory.of(side).chunks();
    model.guest.bound(side).is_none_or(|chunks_max| chunks <= chunks_max)
}

/// Requests to register in what is on its way to the destination.
fn requests(arrival: &Arrival) -> usize {
    match arrival {
        Arrival::Message(bytes) => match Message::parse(bytes) {
            Ok(Message::RegisterRequest(requests)) => requests.len(),
            _ => 0,
        },
        Arrival::Write(_) => 0,
    }
}

/// Whether the source gives a region back in the middle of a bounded migration. `key_stays`: the
/// destination keeps its own.
fn gives_way(model: &Migration, world: &World, key_stays: bool) -> bool {
    let granted = &world.memory.destination.regions;
    model.guest.pinned_chunks_max.is_some()
        && world.link.end(Side::Source).queue_pair == QueuePair::Open
        && world.memory.source.chores.iter().any(|chore| match chore {
            Chore::Deregister { region } => granted.contains_key(region) == key_stays,
            Chore::Register { .. } | Chore::Scan(_) | Chore::Zero(_) => false,
        })
}

/// Whether nothing is certain to happen any more, and a side is still open or was not told how it
/// ended.
fn is_stuck(model: &Migration, world: &World) -> bool {
    let told = |side| outcome(world, side).is_some_and(|it| it != Outcome::Unknown);
    if Side::BOTH.into_iter().all(told) || world.violation.is_some() {
        return false;
    }
    let mut actions = Vec::new();
    world.actions(model.faults, &mut actions);
    !actions.into_iter().any(|action| action.is_certain(world))
}

/// Whether nothing but its peer can bring a side forward, and it would wait for that for ever.
fn waits_without_deadline(model: &Migration, world: &World, side: Side) -> bool {
    let end = world.link.end(side);
    let own_host = !world.memory.of(side).chores.is_empty()
        || world.has_events(side)
        || !end.news.is_empty()
        || matches!(end.queue_pair, QueuePair::Disconnecting { .. });
    // Before the first source asks, a destination waits as long as its owner likes.
    let listens = side == Side::Destination && end.queue_pair == QueuePair::Absent;
    let wait = world.wait(side);
    let wait = model.bug.map_or(wait, |bug| bug.wait(wait));
    !world.is_closed(side) && !own_host && !listens && wait.is_none()
}

fn outcome(world: &World, side: Side) -> Option<Outcome> {
    world.ends.of(side).map(|ended| ended.outcome)
}
