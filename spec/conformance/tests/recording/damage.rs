//! Whatever is not as it was written is refused, with the file, the place and what is wrong there.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;

use crate::support::{open, usual};
use proptest::prelude::*;
use rdma_migration_conformance::recording::{Limits, Recording};
use rdma_migration_transport_sim::{Fabric, FabricConfig, Side};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Everything that `send` does before it connects.
fn prepare(folder: &Path, limits: &Limits) -> Result<(), String> {
    let recording = Recording::open(folder, limits).map_err(|error| error.to_string())?;
    recording.require_complete().map_err(|error| error.to_string())?;
    let mut fabric = Fabric::new(FabricConfig::default());
    recording
        .load(&mut fabric.port(Side::Source), |_| ControlFlow::Continue(()))
        .map_err(|error| error.to_string())
}

fn refusal(folder: &TempDir) -> String {
    prepare(folder.path(), &Limits::default()).expect_err("it was not refused")
}

#[track_caller]
fn assert_refused(folder: &TempDir, parts: &[&str]) {
    let refusal = refusal(folder);
    for part in parts {
        assert!(refusal.contains(part), "{part:?} is not in: {refusal}");
    }
}

fn change_byte(folder: &TempDir, file: &str, offset: u64) {
    let path = folder.path().join(file);
    let was = fs::read(&path).unwrap()[usize::try_from(offset).unwrap()];
    let mut file = OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    file.write_all(&[was ^ 1]).unwrap();
}

fn resize(folder: &TempDir, file: &str, by: i64) {
    let file = OpenOptions::new().write(true).open(folder.path().join(file)).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.checked_add_signed(by).unwrap()).unwrap();
}

fn read_manifest(folder: &TempDir) -> Value {
    serde_json::from_slice(&fs::read(folder.path().join("manifest.json")).unwrap()).unwrap()
}

/// Edits the manifest as somebody would who does not know of its digest.
fn edit(folder: &TempDir, pointer: &str, value: Value) {
    let mut manifest = read_manifest(folder);
    *manifest.pointer_mut(pointer).unwrap() = value;
    let text = serde_json::to_vec_pretty(&manifest).unwrap();
    fs::write(folder.path().join("manifest.json"), text).unwrap();
}

/// Edits the manifest and makes its digest right again.
fn forge(folder: &TempDir, edits: &[(&str, Value)]) {
    use rdma_migration_conformance::recording::Manifest;
    let mut manifest = read_manifest(folder);
    for (pointer, value) in edits {
        *manifest.pointer_mut(pointer).unwrap() = value.clone();
    }
    manifest["sha256"] = json!("");
    let manifest: Manifest = serde_json::from_value(manifest).unwrap();
    let sha256 = hexadecimal(&serde_json::to_vec(&manifest).unwrap());
    let text = serde_json::to_vec(&Manifest { sha256, ..manifest }).unwrap();
    fs::write(folder.path().join("manifest.json"), text).unwrap();
}

fn hexadecimal(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replaces a file, and forges its length and digest in the manifest.
fn forge_file(folder: &TempDir, file: &str, entry: &str, bytes: &[u8]) {
    fs::write(folder.path().join(file), bytes).unwrap();
    let edits = [
        (format!("{entry}/bytes"), json!(bytes.len())),
        (format!("{entry}/sha256"), json!(hexadecimal(bytes))),
    ];
    let edits: Vec<_> = edits.iter().map(|(at, value)| (at.as_str(), value.clone())).collect();
    forge(folder, &edits);
}

#[test]
fn a_recording_that_nobody_touched_is_taken() {
    assert_eq!(prepare(usual().path(), &Limits::default()), Ok(()));
}

#[test]
fn a_forger_who_changes_nothing_is_taken() {
    let folder = usual();
    forge(&folder, &[]);
    let stream = fs::read(folder.path().join("stream")).unwrap();
    forge_file(&folder, "stream", "/stream", &stream);
    assert_eq!(prepare(folder.path(), &Limits::default()), Ok(()));
}

#[test]
fn a_changed_byte_is_found_in_every_file() {
    for (file, offset) in
        [("stream", 0), ("stream", 50_000), ("rounds", 20), ("ram-00", 5), ("ram-02", 4999)]
    {
        let folder = usual();
        change_byte(&folder, file, offset);
        assert_refused(&folder, &[&format!("/{file}: "), "was changed: its SHA-256 is"]);
    }
    // Where there was a hole in the file, too.
    let folder = usual();
    change_byte(&folder, "ram-00", 2 << 20);
    assert_refused(&folder, &["/ram-00: ", "was changed"]);
}

#[test]
fn a_file_that_is_shorter_or_longer_is_found() {
    for file in ["stream", "rounds", "ram-00", "ram-01"] {
        for by in [-1, 1] {
            let folder = usual();
            resize(&folder, file, by);
            assert_refused(&folder, &[&format!("/{file}: "), "bytes, the manifest says"]);
        }
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    for file in ["stream", "rounds", "ram-01"] {
        let folder = usual();
        fs::remove_file(folder.path().join(file)).unwrap();
        assert_refused(&folder, &[&format!("/{file}: cannot")]);
    }
    let folder = usual();
    fs::remove_file(folder.path().join("manifest.json")).unwrap();
    assert_refused(&folder, &["no recording: it has no manifest.json"]);
}

#[test]
fn links_folders_and_pipes_are_not_followed() {
    for file in ["manifest.json", "stream", "rounds", "ram-00"] {
        let folder = usual();
        let (path, other) = (folder.path().join(file), folder.path().join("other"));
        fs::rename(&path, &other).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert_refused(&folder, &[&format!("/{file}: is a symbolic link")]);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_refused(&folder, &[&format!("/{file}: is a folder")]);
        fs::remove_dir(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        assert_refused(&folder, &[&format!("/{file}: is a device or a pipe")]);
    }
}

#[test]
fn a_manifest_edited_by_hand_is_found() {
    for (pointer, value) in [
        ("/machine", json!("pc-q35-10.0")),
        ("/pin_all", json!(true)),
        ("/complete", json!(false)),
        ("/chunk_bytes", json!(2 << 20)),
        ("/blocks/0/name", json!("pc.rom")),
        ("/stream/messages", json!(1)),
        ("/written_by", json!("somebody else")),
    ] {
        let folder = usual();
        edit(&folder, pointer, value);
        assert_refused(&folder, &["/manifest.json: was changed: its SHA-256 is"]);
    }
}

#[test]
fn a_manifest_that_is_none_is_refused_with_line_and_column() {
    let folder = usual();
    let path = folder.path().join("manifest.json");
    for (text, part) in [
        ("", "EOF while parsing"),
        ("{\"format\": 1", "line 1 column 12"),
        ("[]", "invalid"),
        ("{\"format\": 2, \"news\": []}", "format: format 2, this program reads format 1"),
        ("{\"format\": 1, \"news\": []}", "unknown field `news`"),
        ("{\"format\": -1}", "invalid value"),
        ("\u{0}\u{1}", "expected value"),
    ] {
        fs::write(&path, text).unwrap();
        assert_refused(&folder, &["/manifest.json: ", part]);
    }
    fs::write(&path, [[b'['; 1000].as_slice(), &[b']'; 1000]].concat()).unwrap();
    assert_refused(&folder, &["/manifest.json: "]);
}

#[test]
fn forged_numbers_and_names_do_not_fit_the_stream() {
    let digest = "0".repeat(64);
    for (pointer, value, parts) in [
        ("/machine", json!("pc-q35-10.0"), ["machine: ", "expected \"pc-i440fx-7.2\""]),
        ("/machine", json!(null), ["machine: \"null\"", "expected \"pc-i440fx-7.2\""]),
        ("/blocks/1/name", json!("../bios"), ["blocks[1].name: \"../bios\"", "pc.bios"]),
        ("/blocks/1/file", json!("../../ram-01"), ["blocks[1].file: ", "expected \"ram-01\""]),
        ("/blocks/1/file", json!("ram-00"), ["blocks[1].file: ", "expected \"ram-01\""]),
        ("/blocks/1/bytes", json!(0), ["blocks[1].bytes: 0", "expected 12288"]),
        ("/blocks/1/bytes", json!(u64::MAX), ["blocks[1].bytes: ", "expected 12288"]),
        ("/blocks", json!([]), ["blocks: 0", "expected 4"]),
        ("/stream/file", json!("/etc/passwd"), ["stream.file: ", "expected \"stream\""]),
        ("/stream/bytes", json!(u64::MAX), ["stream.bytes: ", "are taken at the most"]),
        ("/stream/bytes", json!(7), ["/stream: has", "the manifest says 7"]),
        ("/rounds/count", json!(4_000_000_000_u64), ["rounds.count: 4000000000", "expected 3"]),
        ("/rounds/bytes", json!(u64::MAX), ["/rounds: has", "the manifest says"]),
        ("/rounds/file", json!("stream"), ["rounds.file: ", "expected \"rounds\""]),
        ("/version", json!(2), ["version: 2", "expected 1"]),
        ("/chunk_bytes", json!(12345), ["chunk_bytes: 12345", "no chunk size"]),
        ("/complete", json!(false), ["complete: ", "or it says why it is not"]),
        ("/reason", json!("a reason"), ["complete: ", "or it says why it is not"]),
        ("/blocks/0/sha256", json!(digest), ["/ram-00: was changed", "recorded was 0000"]),
    ] {
        let folder = usual();
        forge(&folder, &[(pointer, value)]);
        assert_refused(&folder, &parts);
    }
}

#[test]
fn a_forged_stream_has_to_make_sense() {
    let folder = usual();
    let stream = fs::read(folder.path().join("stream")).unwrap();
    let setup = usize::try_from(open(folder.path()).rounds()[0].stream_bytes).unwrap();
    let forged = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut stream = stream.clone();
        change(&mut stream);
        forge_file(&folder, "stream", "/stream", &stream);
        refusal(&folder)
    };
    let cut = forged(&|stream| stream.truncate(stream.len() - 1));
    assert!(cut.contains("/stream: byte") && cut.contains("does not end with its end"), "{cut}");
    let short = forged(&|stream| stream.truncate(setup));
    assert!(short.contains("/rounds: round 1: lies at byte"), "{short}");
    let other = forged(&|stream| stream[0] = b'X');
    assert!(other.contains("/stream: byte 0: ") && other.contains("no migration"), "{other}");
    let no_hook = forged(&|stream| stream[setup - 1] = 0);
    assert!(
        no_hook.contains("/stream: byte") && no_hook.contains("expected the hook"),
        "{no_hook}"
    );
    let machine = forged(&|stream| stream[13] = b'q');
    assert!(machine.contains("machine: \"pc-i440fx-7.2\", expected \"qc-"), "{machine}");
    let empty = forged(&|stream| stream.clear());
    assert!(empty.contains("/stream: byte 0: "), "{empty}");
    // OPEN_RETURN_PATH in the place of the start of the RAM section is a longer stream.
    let command = forged(&|stream| {
        stream.splice(26..26, [8, 0, 1, 0, 0]);
    });
    assert!(command.contains("hook"), "{command}");
}

/// Bytes of the stream before a round, and its runs as block, offset and length.
type Forged<'a> = (u64, &'a [(u32, u64, u64)]);

/// Replaces the rounds' file, and forges what the manifest says of it.
fn forge_rounds(folder: &TempDir, rounds: &[Forged<'_>]) {
    let mut bytes = Vec::new();
    for (stream_bytes, runs) in rounds {
        bytes.extend(stream_bytes.to_be_bytes());
        bytes.extend(u32::try_from(runs.len()).unwrap().to_be_bytes());
        bytes.extend(1_u32.to_be_bytes());
        for (block, offset, length) in *runs {
            bytes.extend(block.to_be_bytes());
            bytes.extend(0_u32.to_be_bytes());
            bytes.extend(offset.to_be_bytes());
            bytes.extend(length.to_be_bytes());
        }
    }
    fs::write(folder.path().join("rounds"), &bytes).unwrap();
    forge(
        folder,
        &[
            ("/rounds/bytes", json!(bytes.len())),
            ("/rounds/sha256", json!(hexadecimal(&bytes))),
            ("/rounds/count", json!(rounds.len())),
        ],
    );
}

#[test]
fn forged_rounds_have_to_make_sense() {
    let folder = usual();
    let at: Vec<_> = open(folder.path()).rounds().iter().map(|round| round.stream_bytes).collect();
    let all: &[_] = &[(0, 0, 4 << 20), (1, 0, 0x3000), (2, 0, 5000), (3, 0, 3192)];
    let refused = |rounds: &[Forged<'_>]| {
        forge_rounds(&folder, rounds);
        refusal(&folder)
    };
    let check = |refusal: String, part: &str| {
        assert!(refusal.contains("/rounds: ") && refusal.contains(part), "{part}: {refusal}");
    };
    check(refused(&[]), "has no round in which");
    check(refused(&[(at[0], &[]), (at[1], &all[..2])]), "RAM block 2 at 0x0 is in no round");
    check(refused(&[(at[0], &[]), (at[0], all)]), "round 1: lies at byte");
    check(refused(&[(at[0], &[]), (at[1] + 1, all)]), "round 1: ends before byte");
    check(refused(&[(at[0], &[]), (u64::MAX, all)]), "round 1: lies at byte");
    check(refused(&[(at[0], &[]), (at[1], &[(0, 1, 4 << 20)])]), "round 1, run 0: 4194304 bytes");
    check(refused(&[(at[0], &[]), (at[1], &[(u32::MAX, 0, 1)])]), "RAM block 4294967295");
    check(refused(&[(at[0], &[]), (at[1], &[(0, u64::MAX, u64::MAX)])]), "not inside RAM block 0");
    check(refused(&[(at[0], &[]), (at[1], &[(1, 0, 1), (0, 0, 1)])]), "round 1, run 1: starts");
    forge_rounds(&folder, &[(at[0], &[]), (at[1], all), (at[2], &[])]);
    assert_eq!(prepare(folder.path(), &Limits::default()), Ok(()));
}

#[test]
fn a_recording_larger_than_the_limits_is_refused_before_it_is_read() {
    let folder = usual();
    let limits = Limits { ram_bytes_max: 1 << 20, ..Limits::default() };
    let refusal = prepare(folder.path(), &limits).unwrap_err();
    assert!(refusal.contains("/manifest.json: blocks: RAM of"), "{refusal}");
    let limits = Limits { stream_bytes_max: 100, ..Limits::default() };
    let refusal = prepare(folder.path(), &limits).unwrap_err();
    assert!(refusal.contains("stream.bytes: has"), "{refusal}");
}

#[test]
fn a_recording_of_another_machine_is_refused() {
    let folder = usual();
    let recording = open(folder.path());
    recording.require_machine("pc-i440fx-7.2").unwrap();
    let refusal = recording.require_machine("pc-q35-7.2").unwrap_err().to_string();
    assert!(refusal.ends_with("machine: \"pc-i440fx-7.2\", expected \"pc-q35-7.2\""), "{refusal}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_rounds_and_streams_never_panic(
        rounds in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..60_000,
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let folder = usual();
        let mut stream = fs::read(folder.path().join("stream")).unwrap();
        stream.truncate(cut);
        for (index, byte) in noise {
            if !stream.is_empty() {
                let at = index.index(stream.len());
                stream[at] = byte;
            }
        }
        forge_file(&folder, "stream", "/stream", &stream);
        forge_file(&folder, "rounds", "/rounds", &rounds);
        prop_assert!(prepare(folder.path(), &Limits::default()).is_err());
    }
}
