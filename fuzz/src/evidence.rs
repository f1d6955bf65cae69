//! Folders of evidence, which a forger may have made so that every digest fits.

use std::sync::OnceLock;
use std::time::Duration;

use rdma_migration_conformance::suite::evidence::{Dialogue, Evidence, capture, verify};
use rdma_migration_conformance::suite::peers::{Peers, Reference};
use rdma_migration_conformance::suite::session::Session;
use rdma_migration_conformance::suite::transcript::Event;
use rdma_migration_conformance::suite::{Bytes, Case, Entry, Guest, Link, Observation, cases};
use sha2::{Digest, Sha256};

use crate::capture::assert_harmless;
use crate::folder::Folder;
use crate::made_up::MadeUp;
use crate::script::Script;

/// Cases of both roles, short enough to be judged again many times a second.
const CASES: [&str; 4] = ["D-CON-001", "S-CON-001", "D-CON-010", "S-CON-003"];
/// Changes that a forger makes at most.
const CHANGES_MAX: usize = 8;

/// The evidence of one case, as it was made.
struct Genuine {
    case: &'static Case,
    folder: Folder,
    dialogue: Dialogue,
    dialogue_bytes: Vec<u8>,
    packets: Vec<u8>,
    verdict: String,
    manifest: String,
}

/// The reference, which destinations under test are judged with by a smaller guest: its file is read
/// again in each execution.
struct Small(Reference);

impl Peers for Small {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn expendable(&self) -> bool {
        self.0.expendable()
    }

    fn arguments(&self) -> Vec<String> {
        self.0.arguments()
    }

    fn patience(&self) -> Duration {
        self.0.patience()
    }

    fn guest(&self) -> Guest {
        small_guest()
    }

    fn cannot(&self, case: &Case) -> Option<String> {
        self.0.cannot(case)
    }

    fn link(&mut self, case: &Case, seed: u64) -> Result<Box<dyn Link + '_>, String> {
        self.0.link(case, seed)
    }
}

/// The guest of the reference, with less device state.
fn small_guest() -> Guest {
    let guest = Guest::synthetic();
    let end = guest.end[guest.end.len().saturating_sub(100)..].to_vec();
    Guest { end, ..guest }
}

/// Puts a dialogue that was changed, or made up, in the place of the one of a case, and judges again.
///
/// # Panics
///
/// If what was not changed is not found again, or a disagreement could move a terminal's cursor.
pub fn drive(bytes: &[u8]) {
    thread_local! {
        static GENUINE: OnceLock<Vec<Genuine>> = const { OnceLock::new() };
    }
    let mut script = Script::new(bytes);
    let which = script.byte();
    GENUINE.with(|genuine| {
        let genuine = genuine.get_or_init(|| CASES.map(Genuine::new).into());
        let genuine = &genuine[usize::from(which) % CASES.len()];
        if which & 0x80 == 0 {
            genuine.forge(&mut script);
        } else {
            let dialogue = script.rest();
            if let Ok(parsed) = serde_json::from_slice::<Dialogue>(dialogue) {
                let again = parsed.to_bytes().expect("memory takes all");
                assert_eq!(serde_json::from_slice::<Dialogue>(&again).ok(), Some(parsed));
            }
            genuine.judge(dialogue, &genuine.packets, false);
        }
    });
}

impl Genuine {
    fn new(id: &str) -> Self {
        let case = cases::all().find(|case| case.id == id).expect("a case of the suite");
        let folder = Folder::new(id);
        let session = Session { seed: 1, patience: Reference.patience() };
        let judged = session.judge(&mut Small(Reference), case);
        let guest = small_guest();
        let begun = Evidence::begin(folder.path(), session, "reference", &guest);
        let mut evidence = begun.expect("room for evidence");
        evidence.add(&judged).expect("room for evidence");
        evidence.finish().expect("room for evidence");
        let read = |name: &str| std::fs::read(folder.path().join(name)).expect("it was written");
        let text = |name: &str| String::from_utf8(read(name)).expect("it is text");
        let dialogue_bytes = read(&format!("{id}/dialogue.json"));
        Self {
            case,
            dialogue: serde_json::from_slice(&dialogue_bytes).expect("it is a dialogue"),
            dialogue_bytes,
            packets: read(&format!("{id}/dialogue.pcapng")),
            verdict: text(&format!("{id}/verdict.json")),
            manifest: text("manifest.json"),
            folder,
        }
    }

    fn forge(&self, script: &mut Script<'_>) {
        let mut dialogue = self.dialogue.clone();
        let mut made_up = MadeUp::default();
        for _ in 0..CHANGES_MAX {
            let Some(change) = script.step() else { break };
            self::change(&mut dialogue.entries.0, change, &mut made_up, script);
        }
        let unchanged = dialogue == self.dialogue;
        let bytes = dialogue.to_bytes().expect("memory takes all");
        let packets = capture(self.case.role, &dialogue.entries).unwrap_or_default();
        self.judge(&bytes, &packets, unchanged);
    }

    /// Judges the case by this dialogue, with digests that fit.
    fn judge(&self, dialogue: &[u8], packets: &[u8], unchanged: bool) {
        let id = self.case.id;
        let verdict = self
            .verdict
            .replace(&digest(&self.dialogue_bytes), &digest(dialogue))
            .replace(&digest(&self.packets), &digest(packets));
        let (before, after) = (digest(self.verdict.as_bytes()), digest(verdict.as_bytes()));
        self.folder.write(&format!("{id}/dialogue.json"), dialogue);
        self.folder.write(&format!("{id}/dialogue.pcapng"), packets);
        self.folder.write(&format!("{id}/verdict.json"), verdict.as_bytes());
        self.folder.write("manifest.json", self.manifest.replace(&before, &after).as_bytes());
        let verified = verify(self.folder.path()).expect("the folder can be read");
        assert!(verified.agrees() || !unchanged, "{:?}", verified.disagreements);
        for disagreement in verified.disagreements {
            assert_harmless(&disagreement.to_string());
        }
    }
}

/// Changes one thing of a dialogue.
fn change(entries: &mut Vec<Entry>, change: u8, made_up: &mut MadeUp, script: &mut Script<'_>) {
    if entries.is_empty() {
        return;
    }
    let at = usize::from(script.byte()) % entries.len();
    match change % 8 {
        0 => drop(entries.remove(at)),
        1 => entries.insert(at, entries[at].clone()),
        2 => {
            let other = usize::from(script.byte()) % entries.len();
            entries.swap(at, other);
        }
        3 => entries.truncate(at),
        4 => entries[at].time_us = script.u64(),
        5 | 6 => {
            let message = Bytes(made_up.any(script).to_vec());
            entries[at].event = Event::Saw(Observation::Received { message });
        }
        _ => entries[at].event = Event::Saw(nonsense(script)),
    }
}

fn nonsense(script: &mut Script<'_>) -> Observation {
    match script.byte() % 4 {
        0 => Observation::Sent,
        1 => Observation::Allocated { block: script.u32(), address: script.u64() },
        2 => Observation::Registered { region: script.u32(), rkey: script.u32() },
        _ => Observation::Received { message: Bytes(script.short().to_vec()) },
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
