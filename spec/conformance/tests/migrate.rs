//! `rdma-migration migrate`, as a command and as every fault sees it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rdma_migration_conformance::migrate::progress::Shown;
use rdma_migration_conformance::migrate::report::Report;
use rdma_migration_conformance::migrate::{Plan, Wishes, migrate};
use rdma_migration_conformance::registrations::Registrations;
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_transport_sim::{CostPreset, FAULTS, Fault, Recovery};
use serde_json::Value;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rdma-migration"));
    command.arg("migrate").args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> (Value, Option<i32>) {
    let output = run(&[arguments, &["--format", "json"]].concat());
    (serde_json::from_slice(&output.stdout).unwrap(), output.status.code())
}

#[test]
fn a_guest_arrives_byte_for_byte_in_both_modes() {
    for mode in [&["--guest-memory", "24MiB"][..], &["--guest-memory", "24MiB", "--pin-all"]] {
        let (report, code) = json(mode);
        assert_eq!(code, Some(0));
        assert_eq!(report["completed"], true);
        assert_eq!(report["guest_owner"], "destination");
        assert_eq!(report["regions_left"], 0);
        assert_eq!(report["pin_all"], mode.len() == 3);
        let blocks = report["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), 7);
        for digests in blocks.iter().map(|block| &block["sha256"]).chain([&report["stream"]]) {
            assert_eq!(digests["source"], digests["destination"]);
            assert_eq!(digests["source"].as_str().unwrap().len(), 64);
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_run_and_another_seed_another() {
    let virtual_part = |seed| {
        let (mut report, _) = json(&["--guest-memory", "8MiB", "--seed", seed]);
        report["wall_nanoseconds"].take();
        report
    };
    assert_eq!(virtual_part("5"), virtual_part("5"));
    assert_ne!(virtual_part("5")["blocks"], virtual_part("6")["blocks"]);
}

#[test]
fn text_ends_in_a_table_and_a_verdict_and_rounds_are_told_as_they_begin() {
    let output = run(&["--guest-memory", "8MiB"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for row in ["total time", "downtime", "rounds", "found zero", "registered, peak", "(stream)"] {
        assert!(text.contains(row), "{row} is not in\n{text}");
    }
    assert!(text.ends_with("completed: the destination has the guest, byte for byte\n"));
    let progress = String::from_utf8(output.stderr).unwrap();
    assert!(progress.starts_with("round 1: "), "{progress}");
    assert!(progress.ends_with("the guest is stopped\n"), "{progress}");
}

#[test]
fn arguments_that_make_no_sense_are_refused_with_what_would() {
    for (arguments, said) in [
        (&["--guest-memory", "5000"][..], "whole pages"),
        (&["--guest-memory", "0"], "whole pages"),
        (&["--guest-memory", "many"], "number of bytes"),
        (&["--guest-memory", "900TiB"], "this computer has"),
        (&["--chunk-size", "3MiB"], "power of two"),
        (&["--max-bandwidth", "1"], "--max-bandwidth"),
        (&["--max-downtime", "0"], "0 is not in"),
        (&["--cost-preset", "fast"], "there are"),
        (&["--fault", "nonsense"], "--fault list"),
        (&["--fault", "link-cut@0"], "counts from 1"),
        (&["--trace", "/nonexistent/trace.pcapng"], "cannot write /nonexistent/trace.pcapng"),
    ] {
        let output = run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(said), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_failed_migration_names_reason_owner_and_what_is_left() {
    let output = run(&["--guest-memory", "8MiB", "--fault", "write-refused@3"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("fault write-refused@3: struck"), "{text}");
    assert!(text.contains("source: RDMA WRITE: remote access error"), "{text}");
    assert!(text.contains("owner of the guest: source"), "{text}");
    assert!(text.ends_with("nothing is left registered\n"), "{text}");
}

#[test]
fn a_guest_that_is_faster_than_the_link_stays_and_the_reason_says_what_to_change() {
    let fast = ["--guest-memory", "8MiB", "--dirty-rate", "64GiB", "--max-downtime", "1"];
    let (report, code) = json(&fast);
    assert_eq!((code, &report["guest_owner"]), (Some(1), &Value::from("source")));
    assert!(report["failure"]["source"].as_str().unwrap().contains("--max-downtime"));
}

#[test]
fn an_interrupt_ends_both_sides_and_leaves_the_guest_at_the_source() {
    let slow = ["--guest-memory", "64MiB", "--max-bandwidth", "1MiB", "--format", "json"];
    let mut child = command(&slow).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap());
    progress.read_line(&mut String::new()).unwrap();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["interrupted"], true);
    assert_eq!(report["guest_owner"], "source");
    assert_eq!(report["regions_left"], 0);
}

#[test]
fn the_faults_are_listed_with_what_they_do() {
    let output = run(&["--fault", "list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text.lines().count(), FAULTS.len());
    assert!(text.lines().all(|line| line.trim_end().ends_with('.')));
}

fn with_fault(fault: Fault, pin_all: bool) -> Report {
    let plan = Plan {
        guest_memory: 4 << 20,
        pin_all,
        chunk_size: ChunkSize::default(),
        registrations: Registrations::default(),
        dirty_rate: 512 << 20,
        wishes: Wishes { max_downtime: Duration::from_millis(30), max_bandwidth: None },
        cost: CostPreset::default(),
        seed: fault.at,
        faults: [fault].into_iter().collect(),
    };
    migrate(&plan, None, Arc::default(), Shown::Nothing).unwrap()
}

fn judge(fault: Fault, pin_all: bool) {
    let report = with_fault(fault, pin_all);
    let place = format!("{fault}, pin_all {pin_all}: {report:#?}");
    if !fault.kind.may_leave_regions() {
        assert_eq!(report.regions_left, 0, "{place}");
        assert_eq!(report.findings, Vec::<String>::new(), "{place}");
    }
    let [asked] = report.faults.as_slice() else { panic!("{place}") };
    let arrived = report.stream.equal() && report.blocks.iter().all(|block| block.sha256.equal());
    assert_eq!(report.completed, report.failure.is_none(), "{place}");
    assert!(arrived || !report.completed, "{place}");
    if !asked.struck || fault.kind.recovery == Recovery::Recovered {
        assert!(report.completed, "{place}");
    }
    if asked.struck && fault.kind.recovery == Recovery::Fails {
        assert!(!report.completed, "{place}");
    }
    assert!(report.guest_owner != "both", "{place}");
}

#[test]
fn every_fault_at_its_default_moment_ends_as_it_should_in_both_modes() {
    assert!(FAULTS.len() >= 20);
    for kind in FAULTS {
        for pin_all in [false, true] {
            judge(Fault { kind, at: kind.default_at }, pin_all);
        }
    }
}

#[test]
fn every_fault_ends_as_it_should_at_other_moments_too() {
    for kind in FAULTS {
        for at in [1, 2, 3, 5, 9, 17, 40] {
            judge(Fault { kind, at }, at % 2 == 0);
        }
    }
}
