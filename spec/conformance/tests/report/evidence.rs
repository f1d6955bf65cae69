//! Evidence is whole, and any change of it is found.

use std::fs;

use rdma_migration_conformance::suite::evidence::{Evidence, verify};
use rdma_migration_conformance::suite::peers::{Peers, Reference};
use rdma_migration_conformance::suite::session::Session;
use rdma_migration_conformance::suite::{Guest, Outcome, cases};
use tempfile::TempDir;

use crate::support::{Folder, case, judged, session};

/// A case whose evidence is small.
const SMALL: &str = "D-CON-010";

#[test]
fn every_verdict_of_the_suite_follows_from_its_evidence() {
    let judged: Vec<_> = cases::all().map(|case| session().judge(&mut Reference, case)).collect();
    let folder = Folder::of(&judged);
    let verified = folder.verify();
    assert!(verified.agrees(), "{:?}", verified.disagreements);
    assert_eq!(verified.cases, cases::all().count());
    for outcome in Outcome::ALL {
        let ended = judged.iter().filter(|judged| judged.verdict.outcome == outcome).count();
        assert_eq!(verified.found_again.get(&outcome).copied().unwrap_or_default(), ended);
    }
}

#[test]
fn equal_runs_have_equal_evidence() {
    let [one, other] = [(); 2].map(|()| Folder::of(&[judged("S-REG-001")]));
    for name in ["manifest.json", "guest.json", "S-REG-001/dialogue.json"] {
        assert_eq!(one.read(name), other.read(name), "{name}");
    }
}

#[test]
fn any_single_changed_byte_is_found() {
    let folder = Folder::of(&[judged(SMALL)]);
    assert_eq!(folder.disagreements(), [""; 0]);
    for file in ["dialogue.json", "dialogue.pcapng", "verdict.json"] {
        every_byte_counts(&folder, &format!("{SMALL}/{file}"), 1);
    }
    every_byte_counts(&folder, "manifest.json", 1);
    // The guest is long, and guarded by two digests.
    every_byte_counts(&folder, "guest.json", 997);
    assert_eq!(folder.disagreements(), [""; 0]);
}

fn every_byte_counts(folder: &Folder, name: &str, step: usize) {
    let bytes = folder.read(name);
    assert!(bytes.len() > 100);
    let mut changed = bytes.clone();
    for at in (0..bytes.len()).step_by(step) {
        changed[at] ^= 1;
        folder.write(name, &changed);
        assert!(!folder.verify().agrees(), "byte {at} of {name}");
        changed[at] = bytes[at];
    }
    for wrong in [&bytes[..bytes.len() - 1], &[&bytes[..], b"\n"].concat(), b""] {
        folder.write(name, wrong);
        assert!(!folder.verify().agrees(), "{} bytes of {name}", wrong.len());
    }
    folder.write(name, &bytes);
}

#[test]
fn what_is_missing_or_added_is_named() {
    let folder = Folder::of(&[judged(SMALL), judged("S-CON-001")]);
    for name in ["dialogue.json", "dialogue.pcapng", "verdict.json"] {
        let name = format!("{SMALL}/{name}");
        let bytes = folder.read(&name);
        fs::remove_file(folder.file(&name)).unwrap();
        assert_eq!(folder.disagreements(), [format!("{name}: it is missing")]);
        folder.write(&name, &bytes);
    }
    folder.write("notes.txt", b"");
    folder.write(&format!("{SMALL}/more.txt"), b"");
    assert_eq!(
        folder.disagreements(),
        ["D-CON-010/more.txt: nothing speaks of it", "notes.txt: the manifest does not name it"]
    );
    fs::remove_file(folder.file("notes.txt")).unwrap();
    fs::remove_dir_all(folder.file(SMALL)).unwrap();
    assert_eq!(folder.disagreements(), ["D-CON-010: the folder is missing"]);
}

#[test]
fn a_run_that_did_not_end_leaves_nothing_that_looks_whole() {
    let folder = TempDir::new().unwrap();
    let begin = || Evidence::begin(folder.path(), session(), "reference", &Reference.guest());
    let mut evidence = begin().unwrap();
    evidence.add(&judged(SMALL)).unwrap();
    drop(evidence);
    let verified = verify(folder.path()).unwrap();
    let lines: Vec<_> = verified.disagreements.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["manifest.json: it is missing", "D-CON-010: the manifest does not name it"]);
    // Nor is it mixed with the evidence of another run.
    assert!(begin().is_err());
}

#[test]
fn a_folder_that_is_not_there_is_no_evidence() {
    let folder = TempDir::new().unwrap();
    assert!(verify(&folder.path().join("none")).is_err());
    fs::write(folder.path().join("notes.txt"), b"").unwrap();
    let error = verify(folder.path()).unwrap_err();
    assert_eq!(error.to_string(), "it is no evidence: it has neither manifest.json nor guest.json");
}

#[test]
fn a_run_goes_on_where_an_earlier_one_was_left() {
    let (folder, other) = (TempDir::new().unwrap(), Session { seed: 2, ..session() });
    let resume = |session: Session, guest: &Guest| {
        Evidence::resume(folder.path(), session, "reference", guest)
    };
    let guest = Reference.guest();
    let played = judged(SMALL);
    resume(session(), &guest).unwrap().add(&played).unwrap();

    let mut evidence = resume(session(), &guest).unwrap();
    assert_eq!(evidence.take_up(case("S-CON-001"), &guest).unwrap().map(|_| ()), None);
    let again = evidence.take_up(case(SMALL), &guest).unwrap().unwrap();
    assert_eq!((&again.transcript, &again.verdict), (&played.transcript, &played.verdict));
    evidence.add(&again).unwrap();
    // A second seed is another session, and the case has to be played again.
    let mut evidence = resume(other, &guest).unwrap();
    assert_eq!(evidence.take_up(case(SMALL), &guest).unwrap().map(|_| ()), None);
    evidence.finish().unwrap();

    let moved = Guest { end: Vec::new(), ..guest };
    let error = resume(session(), &moved).unwrap_err();
    assert_eq!(error.to_string(), "it is of a run that moved another guest");
}

#[test]
fn a_file_that_is_too_long_is_not_read() {
    let folder = Folder::of(&[judged(SMALL)]);
    let name = format!("{SMALL}/dialogue.json");
    let file = fs::OpenOptions::new().write(true).open(folder.file(&name)).unwrap();
    file.set_len(1 << 40).unwrap();
    let lines = folder.disagreements();
    assert_eq!(lines, [format!("{name}: it is longer than 33554432 bytes")]);
}
