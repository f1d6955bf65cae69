//! Judges evidence again, without the peer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use super::guest::GuestFile;
use super::manifest::{Listed, Manifest};
use super::verdict::VerdictFile;
use super::{
    CAPTURE, DIALOGUE, Dialogue, FORMAT, GUEST, Header, MANIFEST, VERDICT, canonical, capture,
    digest, read, replayed,
};
use crate::inspect::printable;
use crate::suite::{Case, Guest, Outcome, cases};

/// The longest that a peer may have been waited for: a day.
const PATIENCE_US_MAX: u64 = 86_400_000_000;

/// Something in a folder of evidence that does not fit the rest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Disagreement {
    /// The file or folder, as seen from the folder of evidence.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What came of judging again.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// All that does not fit.
    pub disagreements: Vec<Disagreement>,
    /// How many verdicts were found again, by how the case ended.
    pub found_again: BTreeMap<Outcome, usize>,
    /// How many cases the folder has.
    pub cases: usize,
    /// The version of the suite that made it, if it is another.
    pub made_by: Option<String>,
    /// What all cases share, from the first of them.
    shared: Option<Header>,
}

/// Checks that a folder of evidence is whole and unchanged, and that every verdict follows from its
/// dialogue.
///
/// # Errors
/// If the folder cannot be read at all.
pub fn verify(folder: &Path) -> io::Result<Verified> {
    let present = names(folder)?;
    if !present.contains(MANIFEST) && !present.contains(GUEST) {
        let error = format!("it is no evidence: it has neither {MANIFEST} nor {GUEST}");
        return Err(io::Error::new(io::ErrorKind::NotFound, error));
    }
    let mut verified = Verified::default();
    let manifest = verified.manifest(folder);
    let guest = verified.guest(folder, manifest.as_ref());
    let listed = match manifest {
        Some(manifest) => manifest.cases,
        None => Vec::new(),
    };
    let mut seen: BTreeSet<&str> = BTreeSet::from([MANIFEST, GUEST]);
    for case in &listed {
        if !seen.insert(&case.id) {
            verified.disagree(MANIFEST, format!("it names {:?} twice", case.id));
            continue;
        }
        verified.case(folder, case, guest.as_ref());
    }
    for name in present.iter().filter(|name| !seen.contains(name.as_str())) {
        verified.disagree(name, "the manifest does not name it".to_owned());
    }
    Ok(verified)
}

impl Verified {
    /// Whether everything fits.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.disagreements.is_empty()
    }

    fn disagree(&mut self, place: &str, what: String) {
        let (place, what) = (printable(place), printable(&what));
        self.disagreements.push(Disagreement { place, what });
    }

    /// Keeps what is wrong with a file; gives what is right.
    fn take<T>(&mut self, place: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|what| self.disagree(place, what)).ok()
    }

    fn manifest(&mut self, folder: &Path) -> Option<Manifest> {
        let bytes = self.take(MANIFEST, read::bytes(&folder.join(MANIFEST)))?;
        let manifest: Manifest = self.take(MANIFEST, read::parsed(&bytes, canonical))?;
        if manifest.format != FORMAT {
            self.disagree(MANIFEST, format!("its format is {}, not {FORMAT}", manifest.format));
            return None;
        }
        Some(manifest)
    }

    fn guest(&mut self, folder: &Path, manifest: Option<&Manifest>) -> Option<(Guest, String)> {
        let bytes = self.take(GUEST, read::bytes(&folder.join(GUEST)))?;
        let found = digest(&bytes);
        if manifest.is_some_and(|manifest| manifest.guest_sha256 != found) {
            self.disagree(GUEST, "its SHA-256 is not the one in the manifest".to_owned());
        }
        let file: GuestFile = self.take(GUEST, read::parsed(&bytes, canonical))?;
        Some((file.into(), found))
    }

    fn case(&mut self, folder: &Path, listed: &Listed, guest: Option<&(Guest, String)>) {
        let id = &listed.id;
        let Some(case) = cases::all().find(|case| case.id == id.as_str()) else {
            return self.disagree(MANIFEST, format!("the suite has no case {id:?}"));
        };
        self.cases += 1;
        // The name is one of ours from here on, and so fit to be a part of a path.
        let folder = folder.join(case.id);
        match names(&folder) {
            Ok(names) => {
                for name in names.iter().filter(|name| !FILES.contains(&name.as_str())) {
                    self.disagree(&format!("{id}/{name}"), "nothing speaks of it".to_owned());
                }
            }
            Err(_) => return self.disagree(id, "the folder is missing".to_owned()),
        }
        let verdict = self.verdict(&folder, listed);
        let dialogue = self.dialogue(&folder, case, verdict.as_ref(), guest);
        self.packets(&folder, case, verdict.as_ref(), dialogue.as_ref());
        let (Some(verdict), Some(dialogue), Some((guest, _))) = (verdict, dialogue, guest) else {
            return;
        };
        let place = format!("{id}/{DIALOGUE}");
        let found = replayed::verdict(case, &dialogue, guest)
            .map_err(|what| format!("the case does not play so: {what}"));
        let Some(found) = self.take(&place, found) else { return };
        if found == verdict.verdict {
            *self.found_again.entry(found.outcome).or_default() += 1;
        } else {
            let what = format!(
                "it says {}, and {} follows from the dialogue",
                spoken(&verdict.verdict),
                spoken(&found)
            );
            self.disagree(&format!("{id}/{VERDICT}"), what);
        }
    }

    fn verdict(&mut self, folder: &Path, listed: &Listed) -> Option<VerdictFile> {
        let place = format!("{}/{VERDICT}", listed.id);
        let bytes = self.take(&place, read::bytes(&folder.join(VERDICT)))?;
        if digest(&bytes) != listed.verdict_sha256 {
            self.disagree(&place, "its SHA-256 is not the one in the manifest".to_owned());
        }
        let verdict: VerdictFile = self.take(&place, read::parsed(&bytes, canonical))?;
        if (verdict.format, &verdict.case) != (FORMAT, &listed.id) {
            self.disagree(&place, "it is the verdict of something else".to_owned());
        }
        Some(verdict)
    }

    fn dialogue(
        &mut self,
        folder: &Path,
        case: &Case,
        verdict: Option<&VerdictFile>,
        guest: Option<&(Guest, String)>,
    ) -> Option<Dialogue> {
        let place = format!("{}/{DIALOGUE}", case.id);
        let bytes = self.take(&place, read::bytes(&folder.join(DIALOGUE)))?;
        if verdict.is_some_and(|verdict| verdict.dialogue_sha256 != digest(&bytes)) {
            self.disagree(&place, "its SHA-256 is not the one in the verdict".to_owned());
        }
        let dialogue: Dialogue = self.take(&place, read::parsed(&bytes, Dialogue::to_bytes))?;
        let header = &dialogue.header;
        if (header.format, header.case.as_str()) != (FORMAT, case.id) {
            self.disagree(&place, "it is the dialogue of something else".to_owned());
            return None;
        }
        if header.patience_us > PATIENCE_US_MAX {
            self.disagree(&place, "nobody waits so long for a peer".to_owned());
            return None;
        }
        if guest.is_some_and(|(_, found)| *found != header.guest_sha256) {
            self.disagree(&place, "it is about another guest".to_owned());
        }
        self.compare_with_others(&place, header);
        Some(dialogue)
    }

    /// What is not of the case is the same in all cases of a run.
    fn compare_with_others(&mut self, place: &str, header: &Header) {
        let shared = Header { case: String::new(), ..header.clone() };
        if shared.suite_version != env!("CARGO_PKG_VERSION") {
            self.made_by.get_or_insert_with(|| shared.suite_version.clone());
        }
        if *self.shared.get_or_insert_with(|| shared.clone()) != shared {
            self.disagree(place, "it is of another run than the cases before".to_owned());
        }
    }

    fn packets(
        &mut self,
        folder: &Path,
        case: &Case,
        verdict: Option<&VerdictFile>,
        dialogue: Option<&Dialogue>,
    ) {
        let place = format!("{}/{CAPTURE}", case.id);
        let Some(bytes) = self.take(&place, read::bytes(&folder.join(CAPTURE))) else { return };
        if verdict.is_some_and(|verdict| verdict.capture_sha256 != digest(&bytes)) {
            self.disagree(&place, "its SHA-256 is not the one in the verdict".to_owned());
        }
        let Some(dialogue) = dialogue else { return };
        match capture(case.role, &dialogue.entries) {
            Ok(again) if again == bytes => {}
            Ok(_) => self.disagree(&place, "its packets are not those of the dialogue".to_owned()),
            Err(error) => self.disagree(&place, error.to_string()),
        }
    }
}

/// The files of a case.
const FILES: [&str; 3] = [DIALOGUE, CAPTURE, VERDICT];

/// A verdict in a few words.
fn spoken(verdict: &crate::suite::Verdict) -> String {
    let findings: Vec<_> = verdict.findings.iter().map(|found| &*found.requirement).collect();
    let mut words = verdict.outcome.to_string();
    if !findings.is_empty() {
        words.push_str(&format!(" by {}", printable(&findings.join(", "))));
    }
    words
}

/// The names in a folder. One that is no text is shown as well as it can be.
fn names(folder: &Path) -> io::Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
