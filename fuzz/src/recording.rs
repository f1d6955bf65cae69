//! Recordings of migrations, which anybody may have made or damaged.

use std::ops::ControlFlow;

use rdma_migration_conformance::recording::{
    BlockEntry, FORMAT, Inspection, Layout, Limits, Manifest, Recording, RoundsEntry, StreamEntry,
};
use sha2::{Digest, Sha256};

use crate::capture::assert_harmless;
use crate::folder::Folder;
use crate::script::Script;

/// RAM blocks that are given a file, and their bytes together.
const BLOCKS_MAX: usize = 3;
const RAM_BYTES_MAX: u64 = 16 << 10;
const LIMITS: Limits = Limits { stream_bytes_max: 1 << 20, ram_bytes_max: RAM_BYTES_MAX };

thread_local! {
    static FOLDER: Folder = Folder::new("recording");
}

/// Opens a recording, and reads and shows all of it.
///
/// The first byte says whether the manifest is one that fits what follows, or is itself made up.
///
/// # Panics
///
/// If a recording is opened whose rounds or blocks do not fit together, or if what is shown of it
/// could move a terminal's cursor.
pub fn drive(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let choices = script.byte();
    let rounds_bytes = usize::from(script.u16());
    let rounds = script.take(rounds_bytes);
    FOLDER.with(|folder| {
        folder.write("rounds", rounds);
        let blocks = if choices & 1 == 1 {
            let length = usize::from(script.u16());
            folder.write("manifest.json", script.take(length));
            folder.write("stream", script.rest());
            0
        } else {
            let flaw = script.byte();
            let stream = script.rest();
            folder.write("stream", stream);
            let mut manifest = manifest(choices, rounds, stream, folder);
            spoil(&mut manifest, flaw);
            let json = serde_json::to_vec(&manifest).expect("text and numbers");
            folder.write("manifest.json", &json);
            manifest.blocks.len()
        };
        open(folder);
        for index in 0..blocks.min(BLOCKS_MAX) {
            folder.remove(&format!("ram-{index:02}"));
        }
    });
}

fn open(folder: &Folder) {
    let recording = match Recording::open(folder.path(), &LIMITS) {
        Ok(recording) => recording,
        Err(error) => return assert_harmless(&error.to_string()),
    };
    let (manifest, layout) = (recording.manifest(), recording.layout());
    assert_eq!(recording.require_complete().is_ok(), manifest.complete);
    let stream_bytes = u64::try_from(recording.stream().len()).expect("a small number");
    let mut reached = 0;
    for round in recording.rounds() {
        assert!(reached < round.stream_bytes && round.stream_bytes <= stream_bytes);
        reached = round.stream_bytes;
        for run in &round.runs {
            let index = usize::try_from(run.block).expect("a small number");
            let block = layout.and_then(|layout| layout.blocks.get(index)).expect("a block of it");
            let end = run.offset.checked_add(run.length).expect("it does not wrap around");
            assert!(run.length > 0 && end <= block.length);
        }
    }
    if let Ok(inspection) = Inspection::of(&recording, |_| ControlFlow::Continue(())) {
        let mut text = Vec::new();
        inspection.write_text(&mut text).expect("memory takes all");
        assert_harmless(&String::from_utf8(text).expect("a report is text"));
        let mut json = Vec::new();
        inspection.write_json(&mut json).expect("memory takes all");
        let _: serde_json::Value = serde_json::from_slice(&json).expect("it is JSON");
    }
}

/// The manifest that fits these files, and the RAM that it speaks of.
fn manifest(choices: u8, rounds: &[u8], stream: &[u8], folder: &Folder) -> Manifest {
    let complete = choices & 2 == 0;
    let first = rounds.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let end = first.and_then(|first| usize::try_from(first).ok()).unwrap_or(usize::MAX);
    let layout = Layout::read(stream.get(..end).unwrap_or(stream)).ok();
    let named = layout.iter().flat_map(|layout| &layout.blocks).enumerate().take(BLOCKS_MAX);
    let blocks = named.filter(|(_, block)| block.length <= RAM_BYTES_MAX).map(|(index, block)| {
        let contents = vec![choices & 4; usize::try_from(block.length).expect("a small number")];
        let file = format!("ram-{index:02}");
        folder.write(&file, &contents);
        BlockEntry {
            name: block.name.clone(),
            file,
            bytes: block.length,
            sha256: digest(&contents),
        }
    });
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).expect("a small number");
    Manifest {
        format: FORMAT,
        written_by: "rdma-migration".to_owned(),
        complete,
        reason: (!complete).then(|| "cut".to_owned()),
        machine: layout.as_ref().and_then(|layout| layout.machine.clone()),
        version: 1,
        pin_all: choices & 8 != 0,
        chunk_bytes: 1 << 20,
        vm_description: choices & 16 == 0,
        stream: StreamEntry {
            file: "stream".to_owned(),
            messages: 1,
            bytes: length(stream),
            sha256: digest(stream),
        },
        rounds: RoundsEntry {
            file: "rounds".to_owned(),
            count: rounds_in(rounds),
            bytes: length(rounds),
            sha256: digest(rounds),
        },
        blocks: if choices & 32 == 0 { blocks.collect() } else { Vec::new() },
        sha256: String::new(),
    }
    .sealed_here()
}

/// How many rounds a file of rounds has, if it is one.
fn rounds_in(mut rounds: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((head, rest)) = rounds.split_first_chunk::<16>() {
        let runs = u32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let runs_bytes = usize::try_from(runs).unwrap_or(usize::MAX).saturating_mul(24);
        rounds = rest.get(runs_bytes..).unwrap_or_default();
        count += 1;
    }
    count
}

/// Mostly leaves the manifest as it is.
fn spoil(manifest: &mut Manifest, flaw: u8) {
    match flaw {
        0xf0 => manifest.format = 2,
        0xf1 => manifest.version = 0,
        0xf2 => manifest.chunk_bytes = 3,
        0xf3 => manifest.stream.bytes += 1,
        0xf4 => manifest.rounds.count += 1,
        0xf5 => manifest.reason = Some("\x1b[2J".to_owned()),
        0xf6 => manifest.machine = Some("\x1b[2J".to_owned()),
        0xf7 => manifest.written_by = "\x1b[2J".to_owned(),
        0xf8 => manifest.blocks.truncate(1),
        0xf9 => manifest.stream.file = "../stream".to_owned(),
        _ => return,
    }
    *manifest = manifest.clone().sealed_here();
}

trait SealedHere {
    fn sealed_here(self) -> Self;
}

impl SealedHere for Manifest {
    /// With the digest that belongs to it.
    fn sealed_here(self) -> Self {
        let blank = Self { sha256: String::new(), ..self };
        let sha256 = digest(&serde_json::to_vec(&blank).expect("text and numbers"));
        Self { sha256, ..blank }
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
