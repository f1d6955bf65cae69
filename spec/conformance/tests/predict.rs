//! `rdma-migration predict`: as a command, and its closed forms against the real machines.

use std::process::{Command, Output};

use rdma_migration_conformance::predict::{Costs, Guest, Plan, Strategy, predict};
use rdma_migration_transport_sim::{CostModel, CostPreset, Figure};
use serde_json::Value;

const GIB: u64 = 1 << 30;

/// What is allowed between a prediction and what it predicts, in per cent.
const DEVIATION_MAX: f64 = 5.0;

/// The same for guests of many short runs. There the closed forms are above the simulator: what its
/// source sees when it wakes for something else does not cost it a wake-up of its own.
const SHORT_RUNS_DEVIATION_MAX: f64 = 10.0;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rdma-migration"));
    command.arg("predict").args(arguments).output().unwrap()
}

fn text(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&text(&[arguments, &["--format", "json"]].concat())).unwrap()
}

fn row<'v>(prediction: &'v Value, strategy: &str) -> &'v Value {
    let rows = prediction["rows"].as_array().unwrap();
    rows.iter().find(|row| row["strategy"] == strategy).unwrap()
}

/// Every row over RDMA, closed form and simulator side by side; returns how many there were.
fn compare(plan: &Plan, deviation_max: f64) -> u64 {
    let mut prediction = predict(plan);
    prediction.simulate(plan).unwrap();
    let mut compared = 0;
    for row in &prediction.rows {
        let Some(simulated) = row.simulated else { continue };
        let guest = &plan.guest;
        let (mebibytes, zero) = (guest.ram_bytes() >> 20, guest.zero_percent());
        print!("{mebibytes:>4} MiB, {zero:>2} % zero, runs of {:>4}, ", guest.run_chunks());
        print!("{}: {:<27} {:7.4} s, ", prediction.preset, row.strategy.name(), row.seconds);
        println!("simulated {:7.4} s, {:+.2} %", simulated.seconds, simulated.deviation_percent);
        assert!(simulated.deviation_percent.abs() <= deviation_max, "{row:?}");
        assert_eq!(simulated.pinned_bytes, row.pinned_bytes, "{row:?}");
        compared += 1;
    }
    compared
}

fn plan(zero_percent: u8, filled_run_chunks: u64, preset: CostPreset) -> Plan {
    Plan {
        guest: Guest::new(8 * GIB, zero_percent, filled_run_chunks).unwrap(),
        costs: Costs::of(preset),
        span_chunks: 64,
        max_pinned: None,
    }
}

#[test]
fn the_simulator_agrees_with_every_row_over_rdma() {
    let full = compare(&plan(0, 64, CostPreset::Qdr2013), DEVIATION_MAX);
    let mostly_zero = compare(&plan(90, 64, CostPreset::Qdr2013), DEVIATION_MAX);
    let strategies = Strategy::ALL.into_iter().filter(|one| one.machines(64).is_some()).count();
    assert_eq!(full + mostly_zero, 2 * u64::try_from(strategies).unwrap());
    println!(
        "prove | predictions agree with the simulated machines within 5 % | every RDMA row, 8 GiB, \
         none and 90 % zero | {} runs | pass",
        full + mostly_zero
    );
}

#[test]
fn the_simulator_agrees_on_other_guests_and_hardware() {
    for (zero, run) in [(90, 1), (50, 8), (10, 100), (90, 200)] {
        compare(&plan(zero, run, CostPreset::Qdr2013), SHORT_RUNS_DEVIATION_MAX);
    }
    for zero in [0, 90, 100] {
        compare(&plan(zero, 64, CostPreset::Roce100g), DEVIATION_MAX);
    }
    for mebibytes in [1, 64, 1000] {
        let guest = Guest::new(mebibytes << 20, 0, 64).unwrap();
        compare(&Plan { guest, ..plan(0, 64, CostPreset::Qdr2013) }, DEVIATION_MAX);
    }
}

#[test]
fn the_simulator_agrees_where_another_step_sets_the_pace() {
    let slow: [fn(&mut CostModel); 4] = [
        |cost| cost.walk = Figure::given(3_000),
        |cost| cost.registration.destination = Figure::given(1_000_000),
        |cost| cost.registration.source = Figure::given(1_000_000),
        |cost| cost.one_way = Figure::given(300_000),
    ];
    for slow_down in slow {
        let mut plan = plan(0, 64, CostPreset::Qdr2013);
        slow_down(&mut plan.costs.cost);
        compare(&plan, DEVIATION_MAX);
    }
}

#[test]
fn the_published_rows_are_met_and_look_ahead_is_near_the_wire_limit() {
    let prediction = json(&[]);
    let published = prediction["published"].as_array().unwrap();
    assert_eq!(published.len(), 2);
    for (row, seconds, rate) in [(&published[0], 7.5, 9.5e9), (&published[1], 4.0, 26e9)] {
        let near = |value: &Value, from: f64| (value.as_f64().unwrap() / from - 1.0).abs() <= 0.05;
        assert!(near(&row["model_seconds"], seconds), "{row}");
        assert!(near(&row["model_bits_per_second"], rate), "{row}");
    }
    let limit = row(&prediction, "wire-limit")["seconds"].as_f64().unwrap();
    assert!((2.63..2.65).contains(&limit), "{limit}");
    for zero in ["0%", "50", "90%"] {
        let prediction = json(&["--zero", zero]);
        let ahead = row(&prediction, "ours-look-ahead");
        let filled = 8 * GIB * (100 - zero.trim_end_matches('%').parse::<u64>().unwrap()) / 100;
        assert!(ahead["pinned_bytes"].as_u64().unwrap() <= filled.next_multiple_of(1 << 20));
        if zero == "0%" {
            assert!(ahead["times_wire_limit"].as_f64().unwrap() <= 1.10, "{ahead}");
        }
    }
}

#[test]
fn text_says_what_it_is_and_what_it_was_computed_from() {
    let text = text(&[]);
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in\n{text}"));
    assert!(text.starts_with("This is a prediction"), "{text}");
    assert!(at("never a measurement") < at("PARAMETERS"));
    assert!(at("PARAMETERS") < at("CALIBRATION") && at("CALIBRATION") < at("PREDICTION"));
    assert!(at("PREDICTION") < at("seconds, against guest RAM"));
    for part in ["sourced", "derived", "fitted", "assumed", "QEMU, dynamic", "ours, look-ahead"] {
        at(part);
    }
    assert!(!text.contains("given") && !text.contains("simulated"), "{text}");
}

#[test]
fn a_figure_that_is_given_is_marked_as_given_and_used() {
    let given = json(&["--wire-rate", "100G", "--wake-up", "20us"]);
    let status = |name: &str| {
        let parameters = given["parameters"].as_array().unwrap();
        let found = parameters.iter().find(|parameter| parameter["name"] == name).unwrap();
        (found["status"].as_str().unwrap().to_owned(), found["value"].as_u64().unwrap())
    };
    assert_eq!(status("wire rate"), ("given".to_owned(), 100_000_000_000));
    assert_eq!(status("wake-up, destination"), ("given".to_owned(), 20_000));
    assert_eq!(status("registration, source").0, "fitted");
    let seconds = |prediction: &Value| row(prediction, "wire-limit")["seconds"].as_f64().unwrap();
    assert!((seconds(&given) * 100.0 / 26.0 - seconds(&json(&[]))).abs() < 0.001);
    // The published rows are the preset's, whatever is given.
    assert_eq!(given["published"], json(&[])["published"]);
}

#[test]
fn what_pins_more_than_may_be_pinned_does_not_fit() {
    let arguments = ["--zero", "90%", "--max-pinned", "1GiB"];
    let prediction = json(&arguments);
    assert_eq!(row(&prediction, "qemu-pin-all")["fits"], false);
    assert_eq!(row(&prediction, "ours-look-ahead")["fits"], true);
    let text = text(&arguments);
    assert!(text.contains("does not fit") && text.contains("needs 8 GiB"), "{text}");
}

#[test]
fn the_comparison_with_the_simulator_is_two_further_columns() {
    let arguments = ["--ram", "64MiB", "--simulate"];
    let prediction = json(&arguments);
    let simulated = &row(&prediction, "ours-look-ahead")["simulated"];
    assert!(simulated["deviation_percent"].as_f64().unwrap().abs() <= DEVIATION_MAX);
    assert!(row(&prediction, "tcp")["simulated"].is_null());
    assert!(text(&arguments).contains("simulated"));
}

#[test]
fn the_chart_is_written_where_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chart.svg");
    text(&["--chart", path.to_str().unwrap()]);
    let svg = std::fs::read_to_string(&path).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    let output = run(&["--chart", folder.path().join("no/folder.svg").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn arguments_that_make_no_sense_are_refused_with_what_would() {
    for (arguments, said) in [
        (&["--ram", "5000"][..], "whole MiB"),
        (&["--ram", "0"], "whole MiB"),
        (&["--zero", "101%"], "from 0 to 100"),
        (&["--filled-run", "0"], "--filled-run"),
        (&["--span-chunks", "0"], "--span-chunks"),
        (&["--span-chunks", "129"], "--span-chunks"),
        (&["--wire-rate", "fast"], "26Gb/s"),
        (&["--wake-up", "20"], "ns, us, ms or s"),
        (&["--preset", "none"], "qdr-2013"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
