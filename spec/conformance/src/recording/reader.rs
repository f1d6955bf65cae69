//! Reads a recording, and refuses whatever is not as it was written.

use std::io::{ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::ram::ChunkSize;
use rdma_migration_protocol::stream::{end, words};
use rdma_migration_protocol::wire::PROTOCOL_VERSION;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::{Fault, Place, RecordingError};
use super::manifest::{
    FORMAT, MANIFEST_FILE, Manifest, ROUNDS_FILE, STREAM_FILE, UNFINISHED_FILE, block_file,
    hexadecimal, sha256,
};
use super::rounds::{self, Round};
use super::setup::Layout;
use super::{Limits, RecordingError as Error, file};
use crate::guest_memory::GuestMemory;
use crate::page::{PAGE, PIECE, for_each_piece, is_zero};

/// Bytes of the longest manifest: as many RAM blocks as there can be, with the longest names.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// The end marker of a stream without a description of the device state.
const END_OF_STREAM: u8 = 0x00;

/// A recording whose manifest, stream and rounds fit together. Its RAM is read block by block.
#[derive(Debug)]
pub struct Recording {
    folder: PathBuf,
    manifest: Manifest,
    layout: Option<Layout>,
    stream: Vec<u8>,
    rounds: Vec<Round>,
}

/// What was found in a RAM block.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    /// Bytes in pages that are zero throughout.
    pub zero_bytes: u64,
}

impl Recording {
    /// Reads and checks everything but the RAM. A recording that is not complete is opened like any
    /// other; [`Self::require_complete`] tells.
    ///
    /// # Errors
    /// [`RecordingError`] with the file, the place and what is wrong there.
    pub fn open(folder: &Path, limits: &Limits) -> Result<Self, RecordingError> {
        let manifest = read_manifest(folder)?;
        let path = folder.join(MANIFEST_FILE);
        check_manifest(&manifest, limits, &path)?;
        let stream = read_entry(
            &folder.join(STREAM_FILE),
            manifest.stream.bytes,
            &manifest.stream.sha256,
            limits.stream_bytes_max,
        )?;
        let rounds_path = folder.join(ROUNDS_FILE);
        let rounds_max = u64::try_from(rounds::FILE_BYTES_MAX).unwrap_or(u64::MAX);
        let entry = &manifest.rounds;
        let bytes = read_entry(&rounds_path, entry.bytes, &entry.sha256, rounds_max)?;
        let rounds = rounds::decode(&bytes, &rounds_path)?;
        let field = |name: &str| Place::Field(name.to_owned());
        number(&path, field("rounds.count"), entry.count, as_u64(rounds.len()))?;
        if manifest.complete && rounds.is_empty() {
            return Err(Error::damaged(&rounds_path, Place::Whole, Fault::NoRounds));
        }
        let layout = read_layout(&manifest, &stream, &rounds, &folder.join(STREAM_FILE))?;
        let recording = Self { folder: folder.to_owned(), manifest, layout, stream, rounds };
        recording.check_layout(limits)?;
        recording.check_rounds()?;
        if recording.manifest.complete {
            recording.check_complete()?;
        }
        Ok(recording)
    }

    /// Refuses a recording of a migration that did not come to its end.
    ///
    /// # Errors
    /// [`RecordingError::Incomplete`].
    pub fn require_complete(&self) -> Result<(), RecordingError> {
        match &self.manifest.reason {
            None => Ok(()),
            Some(reason) => {
                let reason = crate::inspect::printable(reason);
                Err(Error::Incomplete { path: self.folder.clone(), reason })
            }
        }
    }

    /// Refuses a recording of another machine type.
    ///
    /// # Errors
    /// [`RecordingError::Damaged`] at the machine's place in the manifest.
    pub fn require_machine(&self, expected: &str) -> Result<(), RecordingError> {
        let found = self.manifest.machine.as_deref().unwrap_or("none in the stream");
        text(&self.manifest_path(), "machine", found, expected)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the stream says of the guest. There in every complete recording.
    #[must_use]
    pub const fn layout(&self) -> Option<&Layout> {
        self.layout.as_ref()
    }

    /// All of the stream.
    #[must_use]
    pub fn stream(&self) -> &[u8] {
        &self.stream
    }

    /// The rounds, in order. The first is the one in which the RAM blocks were exchanged.
    #[must_use]
    pub fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    /// Reads a RAM block piece by piece, and shows `sink` each piece with its offset, which may end
    /// it. What was shown must not be used before this has returned: only then the digest is known.
    ///
    /// # Errors
    /// [`RecordingError`] if the file is not what was written, and if `sink` has ended it.
    pub fn read_block(
        &self,
        index: usize,
        mut sink: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<Contents, RecordingError> {
        let Some(entry) = self.manifest.blocks.get(index) else { return Ok(Contents::default()) };
        let path = self.folder.join(block_file(index));
        let (mut file, found) = file::open(&path)?;
        length(&path, found, entry.bytes)?;
        let mut hash = Sha256::new();
        let mut contents = Contents::default();
        let mut buffer = vec![0; PIECE];
        for_each_piece(entry.bytes, |offset, length| {
            let bytes = buffer.get_mut(..length).unwrap_or_default();
            file.read_exact(bytes).map_err(Error::system(&path, "read"))?;
            hash.update(&*bytes);
            let zero = bytes.chunks(PAGE).filter(|page| is_zero(page));
            contents.zero_bytes += zero.map(|page| as_u64(page.len())).sum::<u64>();
            match sink(offset, bytes) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::Interrupted { path: self.folder.clone() }),
            }
        })?;
        digest(&path, hexadecimal(hash), &entry.sha256)?;
        Ok(contents)
    }

    /// Puts all RAM into the memory of a host, which has none yet. Zero pages are not touched.
    /// `progress` is told the length of each piece and may end it.
    ///
    /// # Errors
    /// [`RecordingError`] if there is no memory, a file is not what was written, or `progress` has ended
    /// it.
    pub fn load(
        &self,
        memory: &mut impl GuestMemory,
        mut progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), RecordingError> {
        for (index, entry) in self.manifest.blocks.iter().enumerate() {
            let path = self.folder.join(block_file(index));
            let place = |error| Error::system(&path, "get memory for it")(error);
            let block = memory.allocate(entry.bytes).map_err(place)?;
            let expected = u32::try_from(index).map(BlockIndex::new);
            let mut written = expected == Ok(block);
            self.read_block(index, |offset, bytes| {
                let pages = (offset..).step_by(PAGE).zip(bytes.chunks(PAGE));
                for (at, page) in pages.filter(|(_, page)| !is_zero(page)) {
                    written &= memory.write(block, at, page);
                }
                progress(as_u64(bytes.len()))
            })?;
            if !written {
                return Err(place(std::io::Error::other("the host gave another block")));
            }
        }
        Ok(())
    }

    fn manifest_path(&self) -> PathBuf {
        self.folder.join(MANIFEST_FILE)
    }

    /// The blocks are those of the stream, with files of the right lengths.
    fn check_layout(&self, limits: &Limits) -> Result<(), RecordingError> {
        let path = self.manifest_path();
        let field = |name: String| Place::Field(name);
        let machine = self.layout.as_ref().and_then(|layout| layout.machine.as_ref());
        let shown = |name: Option<&String>| name.cloned().unwrap_or_else(|| "null".to_owned());
        text(&path, "machine", &shown(self.manifest.machine.as_ref()), &shown(machine))?;
        let blocks = self.layout.as_ref().map_or(&[][..], |layout| &layout.blocks);
        let entries = &self.manifest.blocks;
        // Of an incomplete recording the RAM may be missing; of no recording, part of it.
        if self.manifest.complete || !entries.is_empty() {
            let place = field("blocks".to_owned());
            number(&path, place, as_u64(entries.len()), as_u64(blocks.len()))?;
        }
        let mut sum = 0_u64;
        for (index, (entry, block)) in entries.iter().zip(blocks).enumerate() {
            text(&path, &format!("blocks[{index}].name"), &entry.name, &block.name)?;
            text(&path, &format!("blocks[{index}].file"), &entry.file, &block_file(index))?;
            number(&path, field(format!("blocks[{index}].bytes")), entry.bytes, block.length)?;
            sum = sum.saturating_add(entry.bytes);
        }
        if sum > limits.ram_bytes_max {
            let fault = Fault::TooMuchRam { found: sum, max: limits.ram_bytes_max };
            return Err(Error::damaged(&path, field("blocks".to_owned()), fault));
        }
        for (index, entry) in entries.iter().enumerate() {
            let path = self.folder.join(block_file(index));
            let (_, found) = file::open(&path)?;
            length(&path, found, entry.bytes)?;
        }
        Ok(())
    }

    /// Each round lies behind the one before, and behind a hook word.
    fn check_rounds(&self) -> Result<(), RecordingError> {
        let path = self.folder.join(ROUNDS_FILE);
        let max = as_u64(self.stream.len());
        let mut min = as_u64(size_of_val(&words::HOOK));
        for (index, round) in self.rounds.iter().enumerate() {
            let found = round.stream_bytes;
            let refuse = |fault| Err(Error::damaged(&path, Place::Round(index), fault));
            if found < min || found > max {
                return refuse(Fault::RoundOrder { found, min, max });
            }
            let before = usize::try_from(found).ok().and_then(|end| self.stream.get(..end));
            let last = before.and_then(|before| before.last_chunk());
            if last.map(|word| u64::from_be_bytes(*word)) != Some(words::HOOK) {
                return refuse(Fault::NoHook { stream_bytes: found });
            }
            min = found.saturating_add(1);
        }
        let blocks = self.layout.as_ref().map_or(&[][..], |layout| &layout.blocks);
        rounds::check_runs(&self.rounds, blocks, &path)
    }

    /// What has to hold of a recording that can be played.
    fn check_complete(&self) -> Result<(), RecordingError> {
        let rounds_path = self.folder.join(ROUNDS_FILE);
        let stream_path = self.folder.join(STREAM_FILE);
        let (Some(layout), Some(last)) = (&self.layout, self.rounds.last()) else {
            return Err(Error::damaged(&rounds_path, Place::Whole, Fault::NoRounds));
        };
        if !layout.unsupported.is_empty() {
            let fault = Fault::Unsupported(layout.unsupported.join(", "));
            return Err(Error::damaged(&stream_path, Place::Whole, fault));
        }
        if let Some((block, offset)) = rounds::first_gap(&self.rounds, &layout.blocks) {
            let fault = Fault::NotCovered { block, offset };
            return Err(Error::damaged(&rounds_path, Place::Whole, fault));
        }
        let description = self.manifest.vm_description;
        let after = usize::try_from(last.stream_bytes).ok().and_then(|end| self.stream.get(end..));
        let ends = match after {
            Some([.., last]) if !description => *last == END_OF_STREAM,
            Some(after) if description => end::vm_description(after).is_some(),
            _ => false,
        };
        if !ends {
            let place = Place::Byte(as_u64(self.stream.len()));
            return Err(Error::damaged(&stream_path, place, Fault::NoEnd { description }));
        }
        Ok(())
    }
}

/// As much of a manifest as every format has.
#[derive(Deserialize)]
struct Version {
    format: u64,
}

fn read_manifest(folder: &Path) -> Result<Manifest, RecordingError> {
    if folder.join(UNFINISHED_FILE).symlink_metadata().is_ok() {
        return Err(Error::Unfinished { path: folder.to_owned() });
    }
    let path = folder.join(MANIFEST_FILE);
    let bytes = match file::read(&path, MANIFEST_BYTES_MAX) {
        Err(Error::System { error, .. })
            if error.kind() == ErrorKind::NotFound && folder.is_dir() =>
        {
            return Err(Error::NoRecording { path: folder.to_owned() });
        }
        other => other?,
    };
    let json = |error| Error::damaged(&path, Place::Whole, Fault::Json(error));
    let Version { format } = serde_json::from_slice(&bytes).map_err(json)?;
    if format != u64::from(FORMAT) {
        let fault = Fault::Format { found: format, expected: FORMAT };
        return Err(Error::damaged(&path, Place::Field("format".to_owned()), fault));
    }
    serde_json::from_slice(&bytes).map_err(json)
}

/// What a manifest can be asked without the other files.
fn check_manifest(manifest: &Manifest, limits: &Limits, path: &Path) -> Result<(), RecordingError> {
    digest(path, manifest.digest(), &manifest.sha256)?;
    let field = |name: &str| Place::Field(name.to_owned());
    let version = u64::from(manifest.version);
    number(path, field("version"), version, PROTOCOL_VERSION.into())?;
    if ChunkSize::new(manifest.chunk_bytes).is_err() {
        let fault = Fault::ChunkBytes(manifest.chunk_bytes);
        return Err(Error::damaged(path, field("chunk_bytes"), fault));
    }
    if manifest.complete != manifest.reason.is_none() {
        return Err(Error::damaged(path, field("complete"), Fault::Reason));
    }
    text(path, "stream.file", &manifest.stream.file, STREAM_FILE)?;
    text(path, "rounds.file", &manifest.rounds.file, ROUNDS_FILE)?;
    let (found, max) = (manifest.stream.bytes, limits.stream_bytes_max);
    if found > max {
        return Err(Error::damaged(path, field("stream.bytes"), Fault::TooLong { found, max }));
    }
    Ok(())
}

/// What the stream says of the guest, up to the first round. A source that left before may have sent
/// that much and no more, or less, and then there is no RAM.
fn read_layout(
    manifest: &Manifest,
    stream: &[u8],
    rounds: &[Round],
    path: &Path,
) -> Result<Option<Layout>, RecordingError> {
    let end = match rounds.first() {
        Some(first) => usize::try_from(first.stream_bytes).unwrap_or(usize::MAX),
        None if manifest.blocks.is_empty() => return Ok(None),
        None => stream.len(),
    };
    let setup = stream.get(..end).unwrap_or(stream);
    let layout = Layout::read(setup).map_err(|error| {
        let place = Place::Byte(as_u64(error.offset));
        Error::damaged(path, place, Fault::Setup(error))
    })?;
    Ok(Some(layout))
}

/// Reads a file of which the manifest gives the length and the digest.
fn read_entry(
    path: &Path,
    expected: u64,
    expected_digest: &str,
    max: u64,
) -> Result<Vec<u8>, RecordingError> {
    let bytes = file::read(path, max)?;
    length(path, as_u64(bytes.len()), expected)?;
    digest(path, sha256(&bytes), expected_digest)?;
    Ok(bytes)
}

fn length(path: &Path, found: u64, expected: u64) -> Result<(), RecordingError> {
    if found == expected {
        return Ok(());
    }
    Err(Error::damaged(path, Place::Whole, Fault::Length { found, expected }))
}

fn digest(path: &Path, found: String, expected: &str) -> Result<(), RecordingError> {
    if found == expected {
        return Ok(());
    }
    let expected = crate::inspect::printable(expected);
    Err(Error::damaged(path, Place::Whole, Fault::Digest { found, expected }))
}

fn number(path: &Path, place: Place, found: u64, expected: u64) -> Result<(), RecordingError> {
    if found == expected {
        return Ok(());
    }
    Err(Error::damaged(path, place, Fault::Number { found, expected }))
}

fn text(path: &Path, field: &str, found: &str, expected: &str) -> Result<(), RecordingError> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (found.to_owned(), expected.to_owned());
    let place = Place::Field(field.to_owned());
    Err(Error::damaged(path, place, Fault::Text { found, expected }))
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
