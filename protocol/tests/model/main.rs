//! Model checking: every state that the two real machines can reach together.
//!
//! [`Source`](rdma_migration_protocol::source::Source) and
//! [`Destination`](rdma_migration_protocol::destination::Destination) are values: cloned, compared
//! and hashed, without a clock. So a checker (stateright) can take them as they are, let everything
//! happen next that can happen next, and go on from each of the states that come of it until there
//! is none left that it has not seen. What it finds is true of the code, not of a drawing of it.
//!
//! | file | concern |
//! |---|---|
//! | `guest` | the small guests that are migrated |
//! | `faults` | what may go wrong, and how often: the bounds of an exploration |
//! | `link` | two queue pairs and what is on its way between them |
//! | `memory` | RAM as version numbers, registered regions, keys |
//! | `owners` | the hypervisors on both sides |
//! | `world` | a state: machines, owners, memory, link |
//! | `actions` | what can happen next |
//! | `happenings` | what comes of it |
//! | `operations` | what becomes of the machines' orders |
//! | `rules`, `properties` | what has to hold |
//! | `bugs` | for each property a bug that breaks it |
//! | `exploration`, `dialogue` | the checker, and how a counterexample reads |
//!
//! # What is left out
//!
//! Time: a deadline fires at any moment at which its wait is under way, whatever its length. Bytes:
//! RAM has version numbers, the stream a byte for each message. Packets: a message arrives whole, in
//! order, or not at all, which is what a reliable connection promises. Peers that lie: both sides
//! are real and honest.
//!
//! Each end of the link is told sooner or later of what was sent, or that the connection is lost. A
//! peer that falls silent is covered by two properties together: whoever waits for its peer alone
//! has a deadline, and a deadline may fire in any state in which it is armed.
//!
//! # Bounds
//!
//! What grows the space of states is, in this order: one more fault (3 to 9 times the states, most
//! of all by deadlines, which may fire nearly everywhere); late owners (4 to 6 times); a further
//! chunk that is registered or zeroed (4 times). So the least guest is explored with any number of
//! faults, larger ones with three, late owners with one. Where more is registered at once, or less than
//! the guest has, it is two, one, or cuts alone; look-ahead with a bound at the source alone has three
//! chunks of which any may come first, and is explored without faults.
//!
//! The number of inputs so far is a part of each state, so that the graph has no cycle and a run
//! without end is seen as one that passes a bound. That costs about 1.6 times the states; the counts
//! that are printed include it.
//!
//! The checker knows a state again by a hash of 64 bits. At twenty million states the odds that two
//! of them share one are about 1 to 90,000.

mod actions;
mod bugs;
mod dialogue;
mod exploration;
mod faults;
mod guest;
mod happenings;
mod link;
mod memory;
mod operations;
mod owners;
mod properties;
mod rules;
mod world;

use bugs::Bug;
use exploration::{Explored, Migration};
use faults::{Deadline, Faults};
use guest::Guest;
use properties::{PROPERTIES, Property, REACHED};

/// Explores one migration after the other, and says what was seen.
fn explore_all<const N: usize>(migrations: [Migration; N], threads: usize) -> Explored {
    let mut total = Explored::default();
    for migration in migrations {
        let bounds = migration.bounds();
        let explored = migration.explore(threads).unwrap_or_else(|found| panic!("{found}"));
        println!(
            "{bounds}: {} states, longest run {} inputs",
            grouped(explored.states),
            explored.longest_run
        );
        total.states += explored.states;
        total.longest_run = total.longest_run.max(explored.longest_run);
        total.reached.extend(explored.reached);
    }
    total
}

/// A number with its thousands set apart.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let from_end = |at: usize| digits.len() - at;
    let separated = digits.char_indices().flat_map(|(at, digit)| {
        let comma = at > 0 && from_end(at).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    });
    separated.collect()
}

/// Up to so many faults of every kind, the side's own transport excepted: it closes when it is told.
const fn up_to(max: u8) -> Faults {
    Faults { max, ..Faults::ALL }
}

/// Up to so many faults of every kind, and transports that fail to close.
const fn up_to_with_late_transports(max: u8) -> Faults {
    Faults { max, deadline: Deadline::All, ..Faults::ALL }
}

fn late(migration: Migration) -> Migration {
    Migration { late_owners: true, ..migration }
}

#[test]
fn small_migrations_are_sound_in_every_state_with_one_fault_at_the_most() {
    let all = [
        Migration::new(Guest::dynamic(), Faults::NONE),
        Migration::new(Guest::unregistering(), up_to(1)),
        Migration::new(Guest::pinned(), up_to(1)),
        Migration::new(Guest::declined(), Faults::NONE),
        Migration::new(Guest::refused(), up_to_with_late_transports(u8::MAX)),
        late(Migration::new(Guest::dynamic(), Faults::NONE)),
        late(Migration::new(Guest::pinned(), Faults::NONE)),
    ];
    explore_all(all, 1);
}

#[test]
fn every_way_to_register_is_sound_in_every_state() {
    let all = [
        Migration::new(Guest::chunk_by_chunk(), Faults::NONE),
        Migration::new(Guest::spans_ahead(), Faults::NONE),
        Migration::new(Guest::unregistering_spans(), up_to(1)),
        Migration::new(Guest::batches(), Faults::NONE),
        Migration::new(Guest::bounded(), Faults::NONE),
        Migration::new(Guest::bounded_on_both_sides(), Faults::NONE),
        Migration::new(Guest::bounded_ahead(), Faults::NONE),
        Migration::new(Guest::bounded_ahead_on_both_sides(), Faults::NONE),
        Migration::new(Guest::bounded_spans(), Faults::NONE),
        late(Migration::new(Guest::bounded_on_both_sides(), Faults::NONE)),
    ];
    explore_all(all, 1);
}

#[test]
fn whatever_is_meant_to_be_covered_is_reached() {
    let all = [
        Migration::new(Guest::least(), up_to_with_late_transports(1)),
        Migration::new(Guest::least(), Faults::CUTS),
        Migration::new(Guest::spans_ahead(), Faults::NONE),
        Migration::new(Guest::batches(), Faults::NONE),
        Migration::new(Guest::bounded(), Faults::NONE),
        Migration::new(Guest::bounded_on_both_sides(), Faults::NONE),
    ];
    let explored = explore_all(all, 1);
    for (name, _) in REACHED {
        assert!(explored.reached.contains(name), "never: {name}");
    }
}

#[test]
#[ignore = "seconds to minutes: .ci/run prove"]
fn small_migrations_are_sound_in_every_state() {
    let explored = explore_all(
        [
            Migration::new(Guest::least(), up_to_with_late_transports(u8::MAX)),
            Migration::new(Guest::dynamic(), up_to(3)),
            Migration::new(Guest::unregistering(), up_to(3)),
            Migration::new(Guest::pinned(), up_to(3)),
            Migration::new(Guest::declined(), up_to(3)),
            Migration::new(Guest::refused(), up_to_with_late_transports(u8::MAX)),
            Migration::new(Guest::dynamic(), Faults::CUTS),
            Migration::new(Guest::unregistering(), Faults::CUTS),
            Migration::new(Guest::pinned(), Faults::CUTS),
            late(Migration::new(Guest::pinned(), Faults::CUTS)),
            late(Migration::new(Guest::least(), up_to(2))),
            late(Migration::new(Guest::dynamic(), up_to(1))),
            late(Migration::new(Guest::unregistering(), up_to(1))),
            late(Migration::new(Guest::pinned(), up_to(1))),
            Migration::new(Guest::chunk_by_chunk(), up_to(2)),
            Migration::new(Guest::spans_ahead(), Faults::CUTS),
            Migration::new(Guest::unregistering_spans(), up_to(2)),
            Migration::new(Guest::batches(), up_to(1)),
            Migration::new(Guest::bounded(), up_to(2)),
            Migration::new(Guest::bounded_on_both_sides(), up_to(2)),
            Migration::new(Guest::bounded_ahead(), Faults::NONE),
            Migration::new(Guest::bounded_ahead_on_both_sides(), Faults::CUTS),
            Migration::new(Guest::bounded_spans(), up_to(1)),
            late(Migration::new(Guest::bounded(), Faults::NONE)),
            late(Migration::new(Guest::bounded_on_both_sides(), Faults::CUTS)),
        ],
        2,
    );
    for (_, property, _) in PROPERTIES {
        println!(
            "prove | model: {property} | stateright on the real machines, every state of 15 guests \
             of 1 to 3 chunks, each with up to 1, 2 or 3 faults or with cuts alone, of the least \
             with any number | {} states | pass",
            grouped(explored.states)
        );
    }
    println!("the longest run takes {} inputs", explored.longest_run);
}

/// Seeds a bug and asserts that the property that it breaks is found broken.
fn finds(bug: Bug, guest: Guest, faults: Faults, property: Property) {
    let migration = Migration { bug: Some(bug), ..Migration::new(guest, faults) };
    let found = migration.find(property);
    println!("{}", found.unwrap_or_else(|| panic!("{bug:?} was not found")));
}

#[test]
fn a_ready_before_its_reply_is_found() {
    finds(Bug::ReadyBeforeReply, Guest::least(), Faults::NONE, Property::ReadyFollowsReply);
}

#[test]
fn a_second_ready_is_found() {
    finds(Bug::ReadyTwice, Guest::least(), Faults::NONE, Property::ReadyFollowsReply);
}

#[test]
fn a_source_that_does_not_wait_for_ready_is_found() {
    finds(Bug::NoWaitForReady, Guest::least(), Faults::NONE, Property::Credit);
}

#[test]
fn a_receive_that_is_not_posted_again_is_found() {
    finds(Bug::ReceivesForgotten, Guest::least(), Faults::NONE, Property::Credit);
}

#[test]
fn a_write_with_a_key_that_was_taken_back_is_found() {
    finds(Bug::RevokedKey, Guest::unregistering(), Faults::NONE, Property::Keys);
}

#[test]
fn a_write_outside_its_window_is_found() {
    finds(Bug::WrongPlace, Guest::least(), Faults::NONE, Property::Keys);
}

#[test]
fn a_region_that_is_taken_back_under_a_write_is_found() {
    finds(Bug::TakenBackTooSoon, Guest::least(), Faults::NONE, Property::Keys);
}

#[test]
fn more_than_may_be_registered_is_found() {
    finds(Bug::RegionForgotten, Guest::bounded(), Faults::NONE, Property::Bound);
}

#[test]
fn a_round_that_ends_before_its_writes_is_found() {
    finds(Bug::FinishedEarly, Guest::least(), Faults::NONE, Property::WritesComplete);
}

#[test]
fn a_region_that_stays_registered_is_found() {
    finds(Bug::RegionForgotten, Guest::least(), Faults::NONE, Property::NothingRegistered);
}

#[test]
fn a_source_that_takes_the_guest_back_while_it_cannot_know_is_found() {
    finds(Bug::NeverUndecided, Guest::least(), Faults::NONE, Property::OneOwner);
}

#[test]
fn a_source_that_is_undecided_too_soon_is_found() {
    finds(Bug::UndecidedTooSoon, Guest::least(), Faults::NONE, Property::Undecided);
}

#[test]
fn a_wait_without_a_deadline_is_found() {
    finds(Bug::NoDeadline, Guest::least(), Faults::NONE, Property::Deadlines);
}

#[test]
fn a_run_without_end_is_found() {
    finds(Bug::DeadlineForEver, Guest::least(), Faults::NONE, Property::RunsEnd);
}

#[test]
fn a_side_that_never_closes_is_found() {
    finds(Bug::DisconnectNeverAnswered, Guest::least(), Faults::NONE, Property::BothClose);
}

#[test]
fn a_write_that_never_lands_is_found() {
    finds(Bug::WriteLost, Guest::least(), Faults::NONE, Property::Whole);
}

#[test]
fn a_failure_without_a_cause_is_found() {
    finds(Bug::ScanNotDone, Guest::least(), Faults::NONE, Property::Success);
}

#[test]
fn a_source_that_takes_the_end_of_the_connection_for_a_failure_is_found() {
    finds(Bug::FarewellIsFailure, Guest::least(), Faults::CUTS, Property::HandedOver);
}

#[test]
fn blame_on_an_honest_peer_is_found() {
    finds(Bug::ZeroKey, Guest::least(), Faults::NONE, Property::NoBlame);
}

#[test]
fn an_order_that_breaks_the_contract_is_found() {
    finds(Bug::ReleasedTwice, Guest::least(), Faults::NONE, Property::Contract);
}

#[test]
fn a_panic_is_found() {
    finds(Bug::Panic, Guest::least(), Faults::NONE, Property::NoPanic);
}
