//! What the sweep looks for it finds: a machine with a bug for each invariant.

use core::time::Duration;

use rdma_migration_protocol::limits;
use rdma_migration_transport_sim::Sides;

use crate::defect::Defect;
use crate::invariants::{Broken, Invariant};
use crate::plan::Plan;
use crate::random;
use crate::run::{run, run_with};
use crate::shrink::shrink;
use crate::sweeps::repetition;

const SOURCE: fn(Defect) -> Sides<Option<Defect>> =
    |defect| Sides { source: Some(defect), destination: None };
const DESTINATION: fn(Defect) -> Sides<Option<Defect>> =
    |defect| Sides { source: None, destination: Some(defect) };

#[track_caller]
fn breaks(plan: &str, defects: Sides<Option<Defect>>, invariant: Invariant) -> Broken {
    let plan: Plan = plan.parse().unwrap();
    run(&plan, None).expect("without the bug nothing is broken");
    let broken = run_with(&plan, None, defects).expect_err("with the bug something is broken");
    assert_eq!(broken.invariant, invariant, "{broken}");
    broken
}

#[test]
fn i1_a_wrong_byte_of_ram_is_found() {
    let broken =
        breaks("blocks=4f by-pages=true", SOURCE(Defect::WritesFromWrongPlace), Invariant::Bytes);
    assert!(broken.what.contains("of block 0 arrived wrong"), "{broken}");
}

#[test]
fn i1_a_wrong_byte_of_the_stream_is_found() {
    breaks("", SOURCE(Defect::SpoilsStream), Invariant::Bytes);
}

#[test]
fn i2_a_write_outside_its_window_is_found() {
    breaks("", SOURCE(Defect::WritesTooFar), Invariant::Windows);
    breaks("pin=required", SOURCE(Defect::WritesTooFar), Invariant::Windows);
}

#[test]
fn i3_two_owners_are_found() {
    let broken = breaks("", DESTINATION(Defect::RunsTheGuestEarly), Invariant::Owners);
    assert_eq!(broken.what, "both sides run the guest");
}

#[test]
fn i3_a_source_that_is_undecided_too_early_is_found() {
    breaks("", SOURCE(Defect::UndecidedEarly), Invariant::Owners);
}

#[test]
fn i4_a_wait_without_a_deadline_is_found() {
    breaks("", SOURCE(Defect::NoDeadline), Invariant::Waits);
    breaks("", DESTINATION(Defect::NoDeadline), Invariant::Waits);
}

#[test]
fn i4_a_wait_with_a_late_deadline_is_found() {
    breaks("", SOURCE(Defect::LateDeadline), Invariant::Waits);
    breaks("", DESTINATION(Defect::LateDeadline), Invariant::Waits);
}

#[test]
fn i4_an_end_that_comes_too_late_is_found() {
    // Owners that pause for nearly as long as the other side waits, again and again.
    let plan: Plan = "rounds=60 pause=50000000000".parse().unwrap();
    run(&plan, None).expect("each wait for itself is short enough");
    let broken = run(&plan, Some(Duration::ZERO)).expect_err("all together are too long");
    assert!(broken.what.starts_with("the end came after"), "{broken}");
    assert_eq!(broken.invariant, Invariant::Waits);
}

#[test]
fn i5_a_region_that_is_left_is_found() {
    breaks("", SOURCE(Defect::Leaks), Invariant::Released);
    breaks("pin=required", DESTINATION(Defect::Leaks), Invariant::Released);
}

#[test]
fn i6_a_panic_is_found() {
    breaks("", SOURCE(Defect::Panics), Invariant::Bounds);
    breaks("", DESTINATION(Defect::Panics), Invariant::Bounds);
}

#[test]
fn i6_too_much_memory_is_found() {
    let bound = limits::heap_bytes_max(1, 1);
    breaks("", SOURCE(Defect::Wastes(bound)), Invariant::Bounds);
    breaks("", DESTINATION(Defect::Wastes(bound)), Invariant::Bounds);
}

#[test]
fn i6_more_than_may_be_registered_is_found() {
    let plan = "registration=spans/1 pinned=1 blocks=1f,1f unregister=true";
    breaks(plan, SOURCE(Defect::Leaks), Invariant::Bounds);
    breaks(plan, DESTINATION(Defect::Leaks), Invariant::Bounds);
}

#[test]
fn a_failure_shrinks_and_says_how_it_is_repeated() {
    let large = random::plan(3);
    let fails = |plan: &Plan| run_with(plan, None, SOURCE(Defect::WritesTooFar)).err();
    let broken = fails(&large).unwrap();
    let smallest = shrink(&large, broken.invariant, fails);
    assert_eq!(smallest, Plan::default(), "{large}");
    let text = repetition(&"seed=7 blocks=2f".parse().unwrap(), &broken);
    assert!(text.contains("SWEEP_RUN='seed=7 blocks=2f' cargo test"), "{text}");
}
