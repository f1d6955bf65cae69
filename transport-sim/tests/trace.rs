//! Traces, read by tshark.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::pair;
use rdma_migration_protocol::connection::PinAllOffer;
use rdma_migration_transport_sim::{FabricConfig, Fault, Opcode, WireCounters};

/// Runs a small migration and writes its trace. Returns where, and what was counted.
fn traced(name: &str, pin_all: PinAllOffer, faults: &[&str]) -> (PathBuf, WireCounters) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcapng"));
    let faults = faults.iter().map(|name| name.parse::<Fault>().unwrap()).collect();
    let mut pair = pair(FabricConfig { faults, ..FabricConfig::default() }, pin_all);
    let output = BufWriter::new(File::create(&path).unwrap());
    pair.fabric.recorder().start(Box::new(output)).unwrap();
    pair.run().unwrap();
    pair.fabric.recorder().finish().unwrap();
    (path, pair.fabric.wire().clone())
}

/// The guess that payloads are RPC over RDMA, to be left off, has another name in each version.
const GUESSES: [&str; 2] = ["rpcordma_infiniband", "rpcrdma_infiniband"];

/// What tshark prints of a trace, line by line, or nothing where tshark is not installed.
fn tshark(trace: &Path, arguments: &[&str]) -> Option<Vec<String>> {
    let mut complaints = String::new();
    for guess in GUESSES {
        let command = ["--disable-heuristic", guess, "-r"];
        let run = Command::new("tshark").args(command).arg(trace).args(arguments).output();
        match run {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8(output.stdout).unwrap();
                return Some(text.lines().map(str::to_owned).collect());
            }
            Ok(output) => complaints.push_str(&String::from_utf8_lossy(&output.stderr)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("SKIPPED: tshark is not installed");
                return None;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("{complaints}");
}

fn fields(trace: &Path, names: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut arguments = vec!["-T", "fields"];
    for name in names {
        arguments.extend(["-e", name]);
    }
    let lines = tshark(trace, &arguments)?;
    Some(lines.iter().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn assert_tshark_agrees(trace: &Path, counters: &WireCounters) {
    let Some(opcodes) = fields(trace, &["infiniband.bth.opcode"]) else { return };
    let mut counted = BTreeMap::<u8, u64>::new();
    for line in &opcodes {
        *counted.entry(line[0].parse().unwrap()).or_default() += 1;
    }
    let ours = Opcode::ALL.map(|opcode| (opcode.number(), counters.packets(opcode)));
    let ours: BTreeMap<_, _> = ours.into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, ours);
    let malformed = tshark(trace, &["-Y", "_ws.malformed"]).unwrap();
    assert_eq!(malformed, [""; 0]);
    let times = fields(trace, &["frame.time_epoch"]).unwrap();
    let times: Vec<f64> = times.iter().map(|line| line[0].parse().unwrap()).collect();
    assert!(times.is_sorted());
}

#[test]
fn tshark_counts_what_we_count_in_both_pin_modes() {
    for (name, pin_all) in [("dynamic", PinAllOffer::Never), ("pin-all", PinAllOffer::Preferred)] {
        let (trace, counters) = traced(name, pin_all, &[]);
        assert_eq!(counters.repeated(), 0);
        assert!(counters.packets(Opcode::WriteMiddle) > 700);
        assert_tshark_agrees(&trace, &counters);
    }
}

#[test]
fn the_connection_is_decoded() {
    let (trace, _) = traced("connection", PinAllOffer::Preferred, &[]);
    let filter = ["-Y", "infiniband.mad", "-T", "fields", "-e", "infiniband.mad.attributeid"];
    let Some(attributes) = tshark(&trace, &filter) else { return };
    let made_and_ended = ["0x0010", "0x0013", "0x0014", "0x0015", "0x0016"];
    assert_eq!(attributes, made_and_ended);
    let filter = ["-Y", "infiniband.cm.req", "-T", "fields"];
    let data = [&filter[..], &["-e", "infiniband.cm.req.ip_cm.private"]].concat();
    let private_data = tshark(&trace, &data).unwrap();
    assert!(private_data[0].starts_with("0000000100000001"), "{private_data:?}");
    let service = [&filter[..], &["-e", "infiniband.cm.req.serviceid.dport"]].concat();
    assert_eq!(tshark(&trace, &service).unwrap(), ["0x115c"]);
}

#[test]
fn a_refused_connection_is_decoded() {
    for (name, fault) in [("refused", "connect-refused"), ("rejected", "connect-version-zero")] {
        let (trace, counters) = traced(name, PinAllOffer::Never, &[fault]);
        assert_tshark_agrees(&trace, &counters);
        let filter = ["-Y", "infiniband.mad", "-T", "fields", "-e", "infiniband.mad.attributeid"];
        let Some(attributes) = tshark(&trace, &filter) else { return };
        assert_eq!(attributes, ["0x0010", "0x0012"]);
    }
}

#[test]
fn packets_are_numbered_without_gaps_and_repetitions_show() {
    let names = ["ip.src", "infiniband.bth.opcode", "infiniband.bth.psn"];
    for (fault, repeats) in [
        ("destination-send-late", false),
        ("packet-lost@15", true),
        ("link-flap@15", true),
        ("packet-duplicated@5", true),
    ] {
        let (trace, counters) = traced(fault, PinAllOffer::Never, &[fault]);
        assert_tshark_agrees(&trace, &counters);
        let Some(packets) = fields(&trace, &names) else { return };
        let data = packets.iter().filter(|line| !["17", "100"].contains(&line[1].as_str()));
        let data: Vec<_> = data.map(|line| (&line[0], line[2].parse::<u64>().unwrap())).collect();
        let distinct: BTreeSet<_> = data.iter().collect();
        let repeated = u64::try_from(data.len() - distinct.len()).unwrap();
        assert_eq!(counters.repeated(), repeated, "{fault}");
        assert_eq!(repeated > 0, repeats, "{fault}");
        // Without the repetitions the numbers of each side follow each other.
        for side in ["192.0.2.1", "192.0.2.2"] {
            let numbers: BTreeSet<_> =
                data.iter().filter(|(from, _)| *from == side).map(|(_, number)| number).collect();
            let first = **numbers.first().unwrap();
            let count = u64::try_from(numbers.len()).unwrap();
            assert!(numbers.iter().copied().copied().eq(first..first + count), "{fault}");
        }
    }
}
