//! Writes evidence.

use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::guest::GuestFile;
use super::manifest::{Listed, Manifest};
use super::verdict::VerdictFile;
use super::{
    CAPTURE, DIALOGUE, Dialogue, FILE_BYTES_MAX, FORMAT, GUEST, Header, MANIFEST, PROTOCOL_VERSION,
    VERDICT, canonical, capture, digest, read, replayed,
};
use crate::suite::session::{Judged, Session};
use crate::suite::{Case, Guest};

/// A folder of evidence that is being written.
#[derive(Debug)]
pub struct Evidence {
    folder: PathBuf,
    session: Session,
    peer: String,
    guest_sha256: String,
    cases: Vec<Listed>,
}

impl Evidence {
    /// Begins a folder, which must not exist or be empty.
    ///
    /// # Errors
    /// If it has something in it, and what the operating system says.
    pub fn begin(folder: &Path, session: Session, peer: &str, guest: &Guest) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        if fs::read_dir(folder)?.next().is_some() {
            let error = "it is not empty, and evidence of two runs does not mix";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, error));
        }
        let bytes = canonical(&GuestFile::from(guest))?;
        fs::write(folder.join(GUEST), &bytes)?;
        Ok(Self::of(folder, session, peer, &bytes))
    }

    /// Goes on with a folder that a run of the same session against the same peers has left, whole or
    /// not. Where there is none, one is begun.
    ///
    /// # Errors
    /// If the run moved another guest, and what the operating system says.
    pub fn resume(folder: &Path, session: Session, peer: &str, guest: &Guest) -> io::Result<Self> {
        if !folder.join(GUEST).exists() {
            return Self::begin(folder, session, peer, guest);
        }
        let bytes = canonical(&GuestFile::from(guest))?;
        if fs::read(folder.join(GUEST))? != bytes {
            let error = "it is of a run that moved another guest";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, error));
        }
        match fs::remove_file(folder.join(MANIFEST)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(Self::of(folder, session, peer, &bytes)),
        }
    }

    fn of(folder: &Path, session: Session, peer: &str, guest: &[u8]) -> Self {
        Self {
            folder: folder.to_owned(),
            session,
            peer: peer.to_owned(),
            guest_sha256: digest(guest),
            cases: Vec::new(),
        }
    }

    /// A case that the folder has already, judged again from its dialogue. `None` if it has to be
    /// played: it is not there, or not of this session, or does not lead to a verdict any more.
    ///
    /// # Errors
    /// What the operating system says when remains are removed.
    pub fn take_up(&mut self, case: &'static Case, guest: &Guest) -> io::Result<Option<Judged>> {
        let folder = self.folder.join(case.id);
        let header = self.header(case.id);
        let kept = read::bytes(&folder.join(DIALOGUE))
            .and_then(|bytes| read::parsed(&bytes, Dialogue::to_bytes))
            .ok()
            .filter(|dialogue| dialogue.header == header);
        let judged = kept.and_then(|dialogue| {
            let verdict = replayed::verdict(case, &dialogue, guest).ok()?;
            Some(Judged { case, transcript: Some(dialogue.entries), verdict, took: Duration::ZERO })
        });
        for remains in [folder, self.folder.join(format!("{}.partial", case.id))] {
            if remains.exists() {
                fs::remove_dir_all(remains)?;
            }
        }
        Ok(judged)
    }

    /// Adds a case, if it was played. Its folder appears with all of its files, or not at all.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn add(&mut self, judged: &Judged) -> io::Result<()> {
        let Some(transcript) = &judged.transcript else { return Ok(()) };
        let id = judged.case.id;
        let dialogue = Dialogue { header: self.header(id), entries: transcript.clone() };
        let dialogue = dialogue.to_bytes()?;
        if dialogue.len() > FILE_BYTES_MAX {
            let error = format!("the dialogue of {id} is longer than {FILE_BYTES_MAX} bytes");
            return Err(io::Error::other(error));
        }
        let packets = capture(judged.case.role, transcript)?;
        let verdict = canonical(&VerdictFile {
            format: FORMAT,
            case: id.to_owned(),
            dialogue_sha256: digest(&dialogue),
            capture_sha256: digest(&packets),
            verdict: judged.verdict.clone(),
        })?;
        let partial = self.folder.join(format!("{id}.partial"));
        fs::create_dir(&partial)?;
        for (name, bytes) in [(DIALOGUE, &dialogue), (CAPTURE, &packets), (VERDICT, &verdict)] {
            fs::write(partial.join(name), bytes)?;
        }
        fs::rename(&partial, self.folder.join(id))?;
        self.cases.push(Listed { id: id.to_owned(), verdict_sha256: digest(&verdict) });
        Ok(())
    }

    /// Ends the folder: only now does it look whole.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn finish(self) -> io::Result<()> {
        let Self { folder, guest_sha256, cases, .. } = self;
        let manifest = canonical(&Manifest { format: FORMAT, guest_sha256, cases })?;
        let partial = folder.join(format!("{MANIFEST}.partial"));
        fs::write(&partial, manifest)?;
        fs::rename(&partial, folder.join(MANIFEST))
    }

    fn header(&self, case: &str) -> Header {
        Header {
            format: FORMAT,
            suite_version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_version: PROTOCOL_VERSION,
            case: case.to_owned(),
            peer: self.peer.clone(),
            seed: self.session.seed,
            patience_us: u64::try_from(self.session.patience.as_micros()).unwrap_or(u64::MAX),
            guest_sha256: self.guest_sha256.clone(),
        }
    }
}
