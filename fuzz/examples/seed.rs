//! Writes the seeds of all targets: from the vectors, from the captures, and from honest scripts.
//!
//! `cargo run --example seed` in this folder; what it writes is under version control, and the same each
//! time.

use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use rdma_migration_conformance::suite::cases;
use rdma_migration_conformance::suite::evidence::Evidence;
use rdma_migration_conformance::suite::peers::{Peers, Reference};
use rdma_migration_conformance::suite::session::Session;
use rdma_migration_conformance::vectors;
use rdma_migration_conformance::vectors::vector::{Act, Content, Dialogue, Side};

/// Longer seeds make a fuzzer slow and find no more.
const SEED_BYTES_MAX: usize = 2048;

/// The seeds: for each target, names and bytes.
#[derive(Default)]
struct Seeds(BTreeMap<&'static str, BTreeMap<String, Vec<u8>>>);

impl Seeds {
    fn add(&mut self, target: &'static str, name: impl Into<String>, bytes: &[u8]) {
        let seeds = self.0.entry(target).or_default();
        let known = seeds.values().any(|seed| seed == bytes);
        if bytes.len() <= SEED_BYTES_MAX && !known {
            seeds.insert(name.into(), bytes.to_vec());
        }
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        for (target, seeds) in &self.0 {
            let folder = folder.join(target);
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            fs::create_dir_all(&folder)?;
            for (name, bytes) in seeds {
                fs::write(folder.join(name), bytes)?;
            }
            println!("{target}: {} seeds", seeds.len());
        }
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = Seeds::default();
    from_vectors(&mut seeds);
    from_captures(&mut seeds, &here.join("../spec/captures"))?;
    from_scripts(&mut seeds);
    from_policies(&mut seeds);
    from_text(&mut seeds);
    from_evidence(&mut seeds)?;
    seeds.write(&here.join("seeds"))
}

fn from_vectors(seeds: &mut Seeds) {
    for vector in vectors::all().expect("the tests of the vectors pass") {
        let id = vector.id;
        match vector.content {
            Content::PrivateData(case) => seeds.add("private_data", id, &case.bytes.expand()),
            Content::Message(case) => seeds.add("message", id, &case.bytes.expand()),
            Content::Stream(case) => {
                let stream = case.bytes.expand();
                recording(seeds, &id, &stream);
                seeds.add("stream_setup", id, &stream);
            }
            Content::StreamEnd(case) => seeds.add("stream_end", id, &case.bytes.expand()),
            Content::Dialogue(dialogue) => from_dialogue(seeds, &id, &dialogue),
        }
    }
}

/// The last message, which is often the one that is refused, and the dialogue as a script of what
/// either side hears.
fn from_dialogue(seeds: &mut Seeds, id: &str, dialogue: &Dialogue) {
    // Everything answered at the end, a transport that keeps the contract.
    let mut source = vec![0, 0, 0x80, 0x00, 0x40];
    let mut destination = vec![0, 0];
    for (step, number) in dialogue.steps.iter().zip(1..) {
        match &step.act {
            Act::Connect { hex, .. } if step.from == Side::Source => {
                seeds.add("private_data", format!("{id}-{number}"), &hex.0);
                destination.extend_from_slice(&[0xee, u8::try_from(hex.0.len()).unwrap_or(8)]);
                destination.extend_from_slice(&hex.0);
                destination.extend_from_slice(&[0x40, 0xe8, 0x40]);
            }
            Act::Connect { hex, .. } => {
                seeds.add("private_data", format!("{id}-{number}"), &hex.0);
                source.extend_from_slice(&[0xea, u8::try_from(hex.0.len()).unwrap_or(8)]);
                source.extend_from_slice(&hex.0);
                // Some stream bytes, and the RAM block exchange.
                source.extend_from_slice(&[0x80, 0x24, 0x80, 0x10]);
            }
            Act::Message(case) => {
                let bytes = case.bytes.expand();
                if number == dialogue.steps.len() {
                    seeds.add("message", id, &bytes);
                }
                let Ok(length) = u8::try_from(bytes.len()) else { continue };
                let script = match step.from {
                    Side::Source => &mut destination,
                    Side::Destination => &mut source,
                };
                script.extend_from_slice(&[0x40, 0xf0, length]);
                script.extend_from_slice(&bytes);
                match step.from {
                    // All stream bytes are taken, and the RAM blocks placed.
                    Side::Source => script.extend_from_slice(&[0x80, 0x00, 0x80, 0x80]),
                    // A whole block is to be written, and the round ends.
                    Side::Destination => script.extend_from_slice(&[0x80, 0x72, 0x80, 0x50]),
                }
            }
            Act::Write { .. } => {}
        }
    }
    seeds.add("source", id, &source);
    seeds.add("destination", id, &destination);
}

/// A recording of this stream: one round, behind its last word.
fn recording(seeds: &mut Seeds, id: &str, stream: &[u8]) {
    let Ok(end) = u64::try_from(stream.len()) else { return };
    let mut round = end.to_be_bytes().to_vec();
    round.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
    let mut script = vec![2, 0, 16];
    script.extend_from_slice(&round);
    script.push(0);
    script.extend_from_slice(stream);
    seeds.add("recording", id, &script);
}

/// The first packets of each capture, and what follows them around the middle.
fn from_captures(seeds: &mut Seeds, folder: &Path) -> io::Result<()> {
    const HEADER_BYTES: usize = 24;
    for name in ["qemu-7.2-dynamic", "qemu-7.2-pin-all"] {
        let bytes = fs::read(folder.join(format!("{name}.pcap")))?;
        let Some((header, mut rest)) = bytes.split_at_checked(HEADER_BYTES) else { continue };
        let mut records = Vec::new();
        while let Some(head) = rest.first_chunk::<16>() {
            let captured = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
            let length = 16 + usize::try_from(captured).unwrap_or(usize::MAX);
            let Some((record, next)) = rest.split_at_checked(length) else { break };
            records.push(record);
            rest = next;
        }
        for first in [0, 8, 16, records.len() / 2] {
            let mut capture = header.to_vec();
            for record in records.iter().skip(first) {
                if capture.len() + record.len() > SEED_BYTES_MAX {
                    break;
                }
                capture.extend_from_slice(record);
            }
            seeds.add("capture", format!("{name}-{first}"), &capture);
        }
    }
    Ok(())
}

/// Migrations in which everybody is honest, and commands of each kind.
fn from_scripts(seeds: &mut Seeds) {
    for pinned in [0, 1] {
        let source = [
            &[0, pinned, 0x80, 0x00, 0x40, 0xe8 + pinned][..],
            &[0x80, 0x24, 0x80, 0x10, 0x00, 0x40, 0x00, 0x40, 0x00, 0x40],
            &[0x80, 0x70, 0x80, 0x71, 0x80, 0x72, 0x80, 0x50],
            &[0x00, 0x40].repeat(12),
            &[0x80, 0x24, 0x80, 0xe0, 0x00, 0x40, 0xef, 0x40],
        ];
        seeds.add("source", format!("honest-{pinned}"), &source.concat());
        let destination = [
            &[0, 0, 0xed, pinned, 0x40, 0xe8, 0x40][..],
            // QEMU_FILE, taken; RAM_BLOCKS_REQUEST, placed.
            &[0x00, 3, 20, 0, 0x80, 0x00, 0x00, 4, 0, 0x80, 0x80, 0x40],
            // REGISTER_REQUEST, COMPRESS, UNREGISTER_REQUEST, REGISTER_FINISHED.
            &[0x00, 0, 0, 0, 0, 0, 0, 0x40, 0x00, 1, 0, 2, 0, 0, 3, 0, 0x40],
            &[0x00, 2, 0, 0, 0, 0, 0x40, 0x00, 5, 0, 0x40],
            &[0x00, 3, 20, 0, 0x80, 0x00, 0x80, 0xd0, 0x40],
        ];
        seeds.add("destination", format!("honest-{pinned}"), &destination.concat());
    }
    from_ways_to_register(seeds);
    // The longest message of each command, once the RAM blocks are exchanged.
    for kind in 0..3 {
        let destination = [
            &[0, 0, 0xed, 0, 0x40, 0xe8, 0x40][..],
            &[0x00, 3, 20, 0, 0x80, 0x00, 0x00, 4, 0, 0x80, 0x80, 0x40],
            &[0x00, kind, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0x40],
        ];
        seeds.add("destination", format!("longest-{kind}"), &destination.concat());
    }
    // All RAM pinned by a destination that gives no key for one block.
    let keyless = [
        &[0, 1, 0x80, 0x00, 0x40, 0xe9, 0x80, 0x24, 0x80, 0x10, 0x00, 0x40, 0x00, 0x40][..],
        &[0x07, 0xf3, 0x00, 0, 0x40, 0x80, 0x70, 0x80, 0x71, 0x80, 0x72, 0x80, 0x50, 0x00, 0x40],
    ];
    seeds.add("source", "keyless", &keyless.concat());
    for choices in [0, 3, 5, 14] {
        for lie in 0..16 {
            let at = 7 * lie + choices;
            let plan = [2, 3, 0x00, 1, 0x01, 2, 0x40, 1, 4, 2, 0xc0, 0, 0x80, 0, 3, 5, 8];
            let script = [&[choices | choices << 4, at, lie, 9, 0x21][..], &plan].concat();
            seeds.add("pair", format!("lie-{lie:02}-{choices:02}"), &script);
        }
    }
    for kind in 0..5 {
        for count in [1, 0xfc, 0xfd, 0xfe] {
            let script = [&[kind, count, 0x10, 0x00][..], &[0x5a; 48]].concat();
            seeds.add("commands", format!("{kind}-{count:02x}"), &script);
        }
    }
}

/// Honest migrations by every way to register, without a bound on what is registered and with each,
/// where the destination unregisters and where it does not.
fn from_ways_to_register(seeds: &mut Seeds) {
    for way in 0..8 {
        for bound in 0..4 {
            let choices = way | bound << 5;
            let source = [
                &[0, 0x80, choices, 0x80, 0x00, 0x40, 0xe8][..],
                &[0x80, 0x24, 0x80, 0x10, 0x00, 0x40, 0x00, 0x40, 0x00, 0x40],
                &[0x80, 0x70, 0x80, 0x71, 0x80, 0x72, 0x80, 0x50],
                &[0x00, 0x40].repeat(32),
                &[0x80, 0x24, 0x80, 0xe0, 0x00, 0x40, 0xef, 0x40],
            ];
            seeds.add("source", format!("way-{choices:02x}"), &source.concat());
            for choices in [choices, choices | 0x80] {
                // All blocks, then parts of them again.
                let plan = [1, 3, 0x00, 1, 0x01, 2, 0x02, 3, 3, 0x42, 0, 5, 0x40, 1, 7, 0x42, 2, 0];
                let script = [&[0x80, 0xff, 0][..], &plan, &[choices]].concat();
                seeds.add("pair", format!("way-{choices:02x}"), &script);
            }
        }
    }
    // Destinations with a bound are asked for a chunk, and for all of the first block.
    for bound in 1..4 {
        let asked = |chunks| {
            [
                &[0, bound << 4, 0xed, 0, 0x40, 0xe8, 0x40][..],
                &[0x00, 3, 20, 0, 0x80, 0x00, 0x00, 4, 0, 0x80, 0x80, 0x40],
                &[0x00, 0, 0, 0, 0, chunks, 0, 0x40, 0x00, 0, 0, 1, 0, 0, 0, 0x40],
            ]
            .concat()
        };
        seeds.add("destination", format!("bounded-{bound}"), &asked(0));
        seeds.add("destination", format!("bounded-all-{bound}"), &asked(2));
    }
}

/// Private data of both versions, with each choice of policies behind it.
fn from_policies(seeds: &mut Seeds) {
    for choice in 0..18 {
        for (version, flags) in [(0, 0), (1, 0), (1, 1), (2, 1)] {
            let bytes = [0, 0, 0, version, 0, 0, 0, flags, choice];
            seeds.add("private_data", format!("policy-{choice:02}-{version}-{flags}"), &bytes);
        }
    }
}

fn from_text(seeds: &mut Seeds) {
    for (number, text) in [
        "rdma:[fe80::1]:4444",
        "host:1",
        "256 MiB",
        "4096",
        "source-aborts@3",
        "peer = \"reference\"\n\n[[case]]\nid = \"D-CON-001\"\noutcome = \"fail\"\nsays = \"no\"\n",
        "peer = \"x\"\n[[case]]\nid = \"S-CON-001\"\nany_of = [\"pass\", \"fail\"]\nsays = \"\"\n",
    ]
    .iter()
    .enumerate()
    {
        seeds.add("text", format!("text-{number}"), text.as_bytes());
    }
    let name = "02-connection.toml";
    let file = vectors::FILES.iter().find(|(file, _)| *file == name);
    let text = file.map(|(_, text)| *text).unwrap_or_default();
    let title = text.split("[[vector]]").next().unwrap_or_default();
    for (number, vector) in text.split("[[vector]]").skip(1).take(12).enumerate() {
        seeds.add(
            "text",
            format!("vector-{number}"),
            format!("{title}[[vector]]{vector}").as_bytes(),
        );
    }
}

fn from_evidence(seeds: &mut Seeds) -> io::Result<()> {
    for which in 0..4 {
        seeds.add("evidence", format!("unchanged-{which}"), &[which]);
        for change in 0..8 {
            let script = [which, change, 2, 5, 0, 7, 4, 1, 3, 0, 0];
            seeds.add("evidence", format!("changed-{which}-{change}"), &script);
        }
    }
    let folder = std::env::temp_dir().join(format!("rdma-migration-seed-{}", std::process::id()));
    let session = Session { seed: 1, patience: Reference.patience() };
    let mut evidence = Evidence::begin(&folder, session, "reference", &Reference.guest())?;
    for id in ["D-CON-001", "S-CON-001"] {
        let case = cases::all().find(|case| case.id == id).expect("a case of the suite");
        evidence.add(&session.judge(&mut Reference, case))?;
        let mut dialogue = fs::read(folder.join(id).join("dialogue.json"))?;
        dialogue.insert(0, 0x80);
        seeds.add("evidence", format!("dialogue-{id}"), &dialogue);
    }
    fs::remove_dir_all(folder)
}
