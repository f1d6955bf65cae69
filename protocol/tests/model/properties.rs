//! What holds in every state, one function a property.

use rdma_migration_protocol::connection::GuestOwner;
use rdma_migration_transport_sim::Side;
use stateright::Property;

use crate::actions::{Action, has_arrived};
use crate::exploration::Migration;
use crate::rules::Rule;
use crate::world::{Ended, LastSend, Outcome, World};

/// A property and the name under which it is reported.
type Named = (&'static str, fn(&Migration, &World) -> bool);

/// All of them.
pub(crate) const PROPERTIES: [Named; 12] = [
    ("no READY before the reply that it follows, never two", |_, world| {
        keeps(world, Rule::ReadyFollowsReply)
    }),
    ("never more SENDs than posted receives, no command without READY", |_, world| {
        keeps(world, Rule::Credit)
    }),
    ("every write by a key that is granted, inside its window", |_, world| {
        keeps(world, Rule::Keys)
    }),
    ("nothing registered at the end", |_, world| {
        Side::BOTH.into_iter().all(|side| everything_is_released(world, side))
    }),
    ("never two running owners", |model, world| {
        !(source_claim(model, world) == GuestOwner::Source && runs_at_destination(world))
    }),
    ("undecided from posting the last SEND of the stream to its completion, only", |model, world| {
        source_claim(model, world) == expected_claim(world)
    }),
    ("every run ends: a measure grows along every edge up to a bound", |_, world| {
        world.steps <= STEPS_MAX
    }),
    ("every terminal state has both sides closed", |model, world| !is_stuck(model, world)),
    ("the guest is released only whole: RAM and stream", |model, world| {
        !runs_at_destination(world) || has_arrived(world, &model.guest)
    }),
    ("success on both sides where nothing failed", |model, world| {
        let failed = |side| outcome(world, side).is_some_and(|it| it != Outcome::Success);
        world.faulted || model.guest.is_refused() || !Side::BOTH.into_iter().any(failed)
    }),
    ("no honest peer is blamed", |_, world| {
        !Side::BOTH.into_iter().any(|side| outcome(world, side) == Some(Outcome::Blame))
    }),
    ("the contract of the transport is kept", |_, world| keeps(world, Rule::Contract)),
];

/// More inputs than any run takes. The longest one is printed.
pub(crate) const STEPS_MAX: u16 = 400;

pub(crate) fn properties() -> Vec<Property<Migration>> {
    PROPERTIES.iter().map(|(name, holds)| Property::always(name, *holds)).collect()
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

/// A side that has ended has nothing registered, and says so. Where its own transport did not close
/// in time, it says what is left.
fn everything_is_released(world: &World, side: Side) -> bool {
    world.ends.of(side).is_none_or(|Ended { regions_said, regions_left, .. }| {
        regions_said == regions_left && (regions_left == 0 || *world.transport_late.of(side))
    })
}

/// Whether nothing is certain to happen any more, and a side is still open or does not know how it
/// ended.
fn is_stuck(model: &Migration, world: &World) -> bool {
    let told = |side| outcome(world, side).is_some_and(|it| it != Outcome::Unknown);
    if Side::BOTH.into_iter().all(told) || world.violation.is_some() {
        return false;
    }
    let mut actions = Vec::new();
    world.actions(model.faults, &mut actions);
    !actions.into_iter().any(|action: Action| action.is_certain(world))
}

fn outcome(world: &World, side: Side) -> Option<Outcome> {
    world.ends.of(side).map(|ended| ended.outcome)
}
