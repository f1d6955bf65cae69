//! Evidence that somebody has made up, with digests that fit.

use std::collections::BTreeMap;

use rdma_migration_conformance::suite::cases;
use rdma_migration_conformance::suite::evidence::{Dialogue, capture};
use rdma_migration_conformance::suite::peers::Reference;
use rdma_migration_conformance::suite::transcript::Event;
use rdma_migration_conformance::suite::{Action, Bytes, Entry, Observation};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::{Folder, case, judged, session};

const CASE: &str = "S-REG-001";

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Puts a dialogue in the place of the one of a case, and makes all digests good.
fn forge(folder: &Folder, id: &str, change: impl FnOnce(&mut Dialogue)) {
    let name = |file: &str| format!("{id}/{file}");
    let old = folder.read(&name("dialogue.json"));
    let old_packets = folder.read(&name("dialogue.pcapng"));
    let mut dialogue: Dialogue = serde_json::from_slice(&old).unwrap();
    change(&mut dialogue);
    let new = dialogue.to_bytes().unwrap();
    let packets = capture(case(id).role, &dialogue.entries).unwrap_or_default();
    folder.write(&name("dialogue.json"), &new);
    folder.write(&name("dialogue.pcapng"), &packets);
    replace(folder, id, &[(digest(&old), digest(&new)), (digest(&old_packets), digest(&packets))]);
}

/// Changes the text of a verdict, and makes the digest of it good.
fn replace(folder: &Folder, id: &str, changes: &[(String, String)]) {
    let name = format!("{id}/verdict.json");
    let old = folder.read(&name);
    let mut text = String::from_utf8(old.clone()).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from.as_str()), "{from}");
        text = text.replace(from, to);
    }
    let new = text.into_bytes();
    folder.write(&name, &new);
    let manifest = String::from_utf8(folder.read("manifest.json")).unwrap();
    folder.write("manifest.json", manifest.replace(&digest(&old), &digest(&new)).as_bytes());
}

#[test]
fn a_verdict_that_does_not_follow_is_found() {
    let folder = Folder::of(&[judged(CASE)]);
    let change = |from: &str, to: &str| [(from.to_owned(), to.to_owned())];
    replace(&folder, CASE, &change("\"outcome\": \"pass\"", "\"outcome\": \"fail\""));
    assert_eq!(
        folder.disagreements(),
        ["S-REG-001/verdict.json: it says fail, and pass follows from the dialogue"]
    );
}

#[test]
fn a_dialogue_that_the_case_does_not_play_is_found() {
    let change = |change: fn(&mut Vec<Entry>)| {
        let folder = Folder::of(&[judged(CASE)]);
        forge(&folder, CASE, |dialogue| change(&mut dialogue.entries.0));
        let lines = folder.disagreements();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("S-REG-001/dialogue.json: the case does not play so: "));
        lines[0].clone()
    };
    assert!(change(|entries| drop(entries.pop())).contains("what has become of the peer"));
    let line = change(|entries| entries.push(entries[0].clone()));
    assert!(line.contains("1 entries are left"), "{line}");
    change(|entries| entries.truncate(10));
    change(|entries| entries.clear());
    change(|entries| {
        let sends = entries.iter_mut().find_map(|entry| match &mut entry.event {
            Event::Did(Action::Send { message }) => Some(message),
            _ => None,
        });
        sends.unwrap().0.push(0);
    });
}

#[test]
fn a_dialogue_of_something_else_is_found() {
    let forged = |change: fn(&mut Dialogue)| {
        let folder = Folder::of(&[judged("D-CON-010"), judged(CASE)]);
        forge(&folder, CASE, change);
        folder.disagreements().join("\n")
    };
    assert_eq!(forged(|_| {}), "");
    assert!(forged(|it| it.header.case = "S-REG-002".into()).contains("of something else"));
    assert!(forged(|it| it.header.format = 2).contains("of something else"));
    assert!(forged(|it| it.header.peer = "another".into()).contains("of another run"));
    assert!(forged(|it| it.header.guest_sha256.clear()).contains("about another guest"));
    assert!(forged(|it| it.header.patience_us = u64::MAX).contains("nobody waits so long"));
}

/// What a forger may put in the place of what a peer sent: the most of everything, and nonsense.
fn nonsense() -> Vec<Observation> {
    let message = |bytes: &[u8]| Observation::Received { message: Bytes(bytes.to_vec()) };
    let mut blocks = vec![0, 0, 0, 32, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0];
    blocks.extend_from_slice(&[0xff; 32]);
    vec![
        message(&[]),
        message(&[0xff; 16]),
        message(&blocks),
        Observation::Allocated { block: u32::MAX, address: u64::MAX },
        Observation::Registered { region: u32::MAX, rkey: u32::MAX },
        Observation::Established { private_data: Bytes(Vec::new()) },
        Observation::Nothing,
    ]
}

#[test]
fn nonsense_is_told_and_does_no_harm() {
    for id in ["D-REG-001", "S-RND-001"] {
        let played = session().judge(&mut Reference, case(id));
        let entries = played.transcript.as_ref().unwrap().0.len();
        let folder = Folder::of(&[played]);
        let name = format!("{id}/dialogue.json");
        let good = [name.as_str(), "manifest.json"].map(|name| folder.read(name));
        let others = ["dialogue.pcapng", "verdict.json"].map(|file| format!("{id}/{file}"));
        let more = [&others[0], &others[1]].map(|name| folder.read(name));
        for at in (0..entries).step_by(2) {
            for seen in nonsense() {
                forge(&folder, id, |dialogue| {
                    dialogue.entries.0[at].event = Event::Saw(seen);
                });
                // Whatever it is, it comes to an end; most of it does not fit the case.
                let _ = folder.verify();
                folder.write(&name, &good[0]);
                folder.write("manifest.json", &good[1]);
                folder.write(&others[0], &more[0]);
                folder.write(&others[1], &more[1]);
            }
        }
        assert_eq!(folder.disagreements(), [""; 0]);
    }
}

#[test]
fn a_manifest_cannot_lead_out_of_the_folder() {
    let folder = Folder::of(&[judged(CASE)]);
    let manifest: Value = serde_json::from_slice(&folder.read("manifest.json")).unwrap();
    let text = String::from_utf8(folder.read("manifest.json")).unwrap();
    assert_eq!(manifest["cases"][0]["id"], CASE);
    folder.write("manifest.json", text.replace(CASE, "../S-REG-001").as_bytes());
    let lines = folder.disagreements();
    assert_eq!(
        lines,
        [
            "manifest.json: the suite has no case \"../S-REG-001\"",
            "S-REG-001: the manifest does not name it"
        ]
    );
}

#[test]
fn a_pipe_and_a_folder_are_no_files() {
    let folder = Folder::of(&[judged(CASE)]);
    let name = "S-REG-001/dialogue.pcapng";
    std::fs::remove_file(folder.file(name)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.file(name)).unwrap();
    assert_eq!(folder.disagreements(), ["S-REG-001/dialogue.pcapng: it is no file"]);
    std::fs::remove_file(folder.file(name)).unwrap();
    std::fs::create_dir(folder.file(name)).unwrap();
    assert_eq!(folder.disagreements(), ["S-REG-001/dialogue.pcapng: it is no file"]);
}

#[test]
fn every_case_survives_a_dialogue_that_ends_anywhere() {
    let mut ends = BTreeMap::new();
    for case in cases::all().step_by(9) {
        let played = session().judge(&mut Reference, case);
        let entries = played.transcript.as_ref().unwrap().0.len();
        let folder = Folder::of(&[played]);
        forge(&folder, case.id, |dialogue| dialogue.entries.0.truncate(entries / 2));
        ends.insert(case.id, folder.verify().agrees());
    }
    assert!(ends.len() > 40);
    assert!(ends.values().all(|agrees| !agrees), "{ends:?}");
}
