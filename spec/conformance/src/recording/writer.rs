//! Writes a recording, so that whoever reads it later can tell whether it is whole.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::wire::PROTOCOL_VERSION;
use sha2::{Digest, Sha256};

use super::error::RecordingError;
use super::manifest::{
    BlockEntry, FORMAT, MANIFEST_FILE, Manifest, ROUNDS_FILE, RoundsEntry, STREAM_FILE,
    StreamEntry, UNFINISHED_FILE, block_file, hexadecimal, sha256,
};
use super::rounds::{self, Round};
use super::setup::{Block, Layout};
use super::{RecordingError as Error, file};
use crate::guest_memory::GuestMemory;
use crate::page::{PAGE, PIECE, for_each_piece, is_zero};

const NOTE: &[u8] = b"This recording is being written, or its writer was interrupted: it is not \
    complete.\nWhen it is, this file goes and manifest.json is there.\n";

/// What a migration has brought, but for the RAM.
#[derive(Clone, Copy, Debug)]
pub struct Migration<'a> {
    /// All of the stream.
    pub stream: &'a [u8],
    /// Messages in which it came.
    pub messages: u64,
    /// What the stream says of the guest, if the list of RAM blocks came.
    pub layout: Option<&'a Layout>,
    /// The rounds.
    pub rounds: &'a [Round],
    /// Whether all RAM was pinned.
    pub pin_all: bool,
    /// The chunk size in bytes.
    pub chunk_bytes: u64,
    /// Whether the stream ends with a description of the device state.
    pub vm_description: bool,
    /// Why the migration is not complete, if it is not.
    pub reason: Option<&'a str>,
}

/// A folder that a recording is being made in.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    created: bool,
}

impl Writer {
    /// Makes the folder, or takes an empty one, and marks it as unfinished.
    ///
    /// # Errors
    /// [`RecordingError::NotEmpty`], and what the system says.
    pub fn create(folder: &Path) -> Result<Self, RecordingError> {
        let created = match fs::create_dir(folder) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let mut entries =
                    fs::read_dir(folder).map_err(Error::system(folder, "look into the folder"))?;
                if entries.next().is_some() {
                    return Err(Error::NotEmpty { path: folder.to_owned() });
                }
                false
            }
            Err(error) => return Err(Error::system(folder, "make the folder")(error)),
        };
        let writer = Self { folder: folder.to_owned(), created };
        file::write(&writer.path(UNFINISHED_FILE), NOTE)?;
        file::sync_folder(folder)?;
        Ok(writer)
    }

    /// Takes the folder back: there is nothing to record.
    ///
    /// # Errors
    /// What the system says.
    pub fn withdraw(self) -> Result<(), RecordingError> {
        let unfinished = self.path(UNFINISHED_FILE);
        fs::remove_file(&unfinished).map_err(Error::system(&unfinished, "remove"))?;
        if self.created {
            fs::remove_dir(&self.folder).map_err(Error::system(&self.folder, "remove"))?;
        }
        Ok(())
    }

    /// Writes everything and then the manifest. `progress` is told the length of each piece of RAM and
    /// may end it.
    ///
    /// # Errors
    /// What the system says, and [`RecordingError::Interrupted`]; the folder then stays marked as
    /// unfinished.
    pub fn write(
        self,
        migration: &Migration<'_>,
        memory: &impl GuestMemory,
        mut progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Manifest, RecordingError> {
        file::write(&self.path(STREAM_FILE), migration.stream)?;
        let rounds = rounds::encode(migration.rounds);
        file::write(&self.path(ROUNDS_FILE), &rounds)?;
        let mut blocks = Vec::new();
        let listed = migration.layout.map_or(&[][..], |layout| &layout.blocks);
        for (block, index) in listed.iter().zip(0..) {
            // A source that left before its RAM was asked for has named blocks that there are not.
            if memory.address(BlockIndex::new(index)).is_none() {
                break;
            }
            blocks.push(self.write_block(block, index, memory, &mut progress)?);
        }
        let manifest = manifest(migration, &rounds, blocks).sealed();
        self.publish(&manifest)?;
        Ok(manifest)
    }

    fn write_block(
        &self,
        block: &Block,
        index: u32,
        memory: &impl GuestMemory,
        progress: &mut impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<BlockEntry, RecordingError> {
        let name = block_file(usize::try_from(index).unwrap_or(usize::MAX));
        let path = self.path(&name);
        let mut file = file::create(&path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; PIECE];
        for_each_piece(block.length, |offset, length| {
            let bytes = buffer.get_mut(..length).unwrap_or_default();
            if !memory.read(BlockIndex::new(index), offset, bytes) {
                let error = std::io::Error::other("the RAM block is shorter than the stream says");
                return Err(Error::system(&path, "read the RAM for it")(error));
            }
            hash.update(&*bytes);
            write_sparse(&mut file, offset, bytes).map_err(Error::system(&path, "write"))?;
            match progress(u64::try_from(length).unwrap_or(u64::MAX)) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::Interrupted { path: self.folder.clone() }),
            }
        })?;
        file.set_len(block.length).map_err(Error::system(&path, "set the length"))?;
        file::sync(&path, &file)?;
        Ok(BlockEntry {
            name: block.name.clone(),
            file: name,
            bytes: block.length,
            sha256: hexadecimal(hash),
        })
    }

    /// Puts the manifest in its place once everything else is on disk.
    fn publish(&self, manifest: &Manifest) -> Result<(), RecordingError> {
        let path = self.path(MANIFEST_FILE);
        let fresh = self.path("manifest.json.new");
        let mut text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| Error::system(&path, "write")(error.into()))?;
        text.push(b'\n');
        file::write(&fresh, &text)?;
        file::sync_folder(&self.folder)?;
        fs::rename(&fresh, &path).map_err(Error::system(&path, "rename"))?;
        file::sync_folder(&self.folder)?;
        let unfinished = self.path(UNFINISHED_FILE);
        fs::remove_file(&unfinished).map_err(Error::system(&unfinished, "remove"))?;
        file::sync_folder(&self.folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Writes the pages that are not zero, and leaves holes for the others.
fn write_sparse(file: &mut File, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
    let mut at = offset;
    // Runs of pages that are alike go together, so that a full block is written in large pieces.
    for run in bytes.chunks(PAGE).collect::<Vec<_>>().chunk_by(|a, b| is_zero(a) == is_zero(b)) {
        let length: usize = run.iter().map(|page| page.len()).sum();
        if run.first().is_some_and(|page| !is_zero(page)) {
            file.seek(SeekFrom::Start(at))?;
            let start = usize::try_from(at - offset).unwrap_or(usize::MAX);
            file.write_all(bytes.get(start..start + length).unwrap_or_default())?;
        }
        at += u64::try_from(length).unwrap_or(u64::MAX);
    }
    Ok(())
}

fn manifest(migration: &Migration<'_>, rounds: &[u8], blocks: Vec<BlockEntry>) -> Manifest {
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Manifest {
        format: FORMAT,
        written_by: concat!("rdma-migration ", env!("CARGO_PKG_VERSION")).to_owned(),
        complete: migration.reason.is_none(),
        reason: migration.reason.map(ToOwned::to_owned),
        machine: migration.layout.and_then(|layout| layout.machine.clone()),
        version: PROTOCOL_VERSION,
        pin_all: migration.pin_all,
        chunk_bytes: migration.chunk_bytes,
        vm_description: migration.vm_description,
        stream: StreamEntry {
            file: STREAM_FILE.to_owned(),
            messages: migration.messages,
            bytes: length(migration.stream),
            sha256: sha256(migration.stream),
        },
        rounds: RoundsEntry {
            file: ROUNDS_FILE.to_owned(),
            count: u64::try_from(migration.rounds.len()).unwrap_or(u64::MAX),
            bytes: length(rounds),
            sha256: sha256(rounds),
        },
        blocks,
        sha256: String::new(),
    }
}
