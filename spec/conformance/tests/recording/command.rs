//! `rdma-migration inspect` of a recording, as a command.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{Guest, recorded, usual};
use rdma_migration_conformance::receive::Wishes;
use rdma_migration_protocol::connection::PinAllOffer;
use serde_json::Value;

fn inspect(arguments: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rdma-migration"));
    command.arg("inspect").args(arguments).arg(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_complete_recording_is_shown_and_ends_with_0() {
    let folder = usual();
    let output = inspect(&[], folder.path());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for part in
        ["pc-i440fx-7.2", "dynamic registration", "pc.bios", "timer", "complete: every file"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn it_is_one_json_object_for_programs() {
    let folder = usual();
    let output = inspect(&["--format", "json"], folder.path());
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["complete"], true);
    assert_eq!(shown["blocks"][1]["name"], "pc.bios");
    assert_eq!(shown["rounds"].as_array().unwrap().len(), 3);
}

#[test]
fn an_incomplete_recording_is_shown_and_ends_with_1() {
    let mut guest = Guest::default();
    guest.tail.pop();
    let (folder, _) = recorded(&guest, PinAllOffer::Required, Wishes::default());
    let output = inspect(&[], folder.path());
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(shown.contains("INCOMPLETE: the source left after"), "{shown}");
    assert!(shown.contains("all RAM pinned"), "{shown}");
}

#[test]
fn a_damaged_recording_or_none_ends_with_2_and_the_reason() {
    let folder = usual();
    fs::remove_file(folder.path().join("ram-02")).unwrap();
    let output = inspect(&[], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("ram-02: cannot read"), "{}", text(&output.stderr));
    let empty = tempfile::tempdir().unwrap();
    let output = inspect(&[], empty.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no recording"), "{}", text(&output.stderr));
}

#[test]
fn a_hostile_name_cannot_move_the_cursor() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("manifest.json"), "{\"format\": 1, \"\u{1b}[2J\": 1}").unwrap();
    let output = inspect(&[], folder.path());
    assert_eq!(output.status.code(), Some(2));
    assert!(!output.stderr.contains(&0x1b), "{}", text(&output.stderr));
}
