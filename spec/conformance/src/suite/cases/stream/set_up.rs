//! The stream up to the first hook word, taken apart so that one thing in it can be wrong.

use crate::codec::Kind;
use crate::suite::{Guest, Play, Stop};

/// The low bits of the word with the total.
const MEM_SIZE: u64 = 0x004;
const HOOK: u64 = 0x080;
/// Start byte, number, name behind its length, instance, version.
const SECTION_BYTES: usize = 17;
/// Magic word and version.
const MAGIC_BYTES: usize = 8;

/// A RAM block in the list.
#[derive(Clone, Debug)]
pub(in crate::suite::cases) struct Entry {
    /// Its name.
    pub(in crate::suite::cases) name: Vec<u8>,
    /// Its length.
    pub(in crate::suite::cases) length: u64,
    /// What follows the length.
    pub(in crate::suite::cases) more: Vec<u8>,
}

/// The parts of the stream, in order.
#[derive(Clone, Debug)]
pub(in crate::suite::cases) struct SetUp {
    /// The magic word and the version.
    pub(in crate::suite::cases) magic: Vec<u8>,
    /// From the configuration on, up to the RAM section.
    pub(in crate::suite::cases) front: Vec<u8>,
    /// The start of the RAM section, without the total.
    pub(in crate::suite::cases) section: Vec<u8>,
    /// The total and its flags.
    pub(in crate::suite::cases) total: u64,
    /// The RAM blocks.
    pub(in crate::suite::cases) list: Vec<Entry>,
    /// Between the list and the hook word.
    pub(in crate::suite::cases) behind: Vec<u8>,
    /// The hook word.
    pub(in crate::suite::cases) hook: Vec<u8>,
}

impl SetUp {
    /// The guest's own.
    pub(in crate::suite::cases) fn of(guest: &Guest) -> Result<Self, Stop> {
        let list: Vec<_> = guest
            .blocks
            .iter()
            .map(|block| Entry {
                name: block.name.clone().into_bytes(),
                length: block.length,
                more: Vec::new(),
            })
            .collect();
        let list_bytes: usize = list.iter().map(|entry| 1 + entry.name.len() + 8).sum();
        let no_list = || Stop::Unsupported { what: "a guest whose list ends its stream".into() };
        let front_bytes = guest.set_up.len().checked_sub(list_bytes + 16).ok_or_else(no_list)?;
        let (front, _) = guest.set_up.split_at(front_bytes);
        let before = front_bytes.checked_sub(SECTION_BYTES).ok_or_else(no_list)?;
        let (front, section) = front.split_at(before);
        let (magic, front) = front.split_at_checked(MAGIC_BYTES).ok_or_else(no_list)?;
        let total: u64 = list.iter().map(|entry| entry.length).sum();
        let parts = Self {
            magic: magic.to_vec(),
            front: front.to_vec(),
            section: section.to_vec(),
            total: total | MEM_SIZE,
            list,
            behind: Vec::new(),
            hook: HOOK.to_be_bytes().to_vec(),
        };
        (parts.bytes() == guest.set_up).then_some(parts).ok_or_else(no_list)
    }

    /// All of it.
    pub(in crate::suite::cases) fn bytes(&self) -> Vec<u8> {
        let list = self.list.iter().flat_map(|Entry { name, length, more }| {
            let name_bytes = u8::try_from(name.len()).unwrap_or(u8::MAX);
            [&[name_bytes][..], name, &length.to_be_bytes(), more].concat()
        });
        let list: Vec<_> = list.collect();
        let total = self.total.to_be_bytes();
        [&self.magic[..], &self.front, &self.section, &total, &list, &self.behind, &self.hook]
            .concat()
    }

    /// A command in front of the sections.
    pub(in crate::suite::cases) fn command(&mut self, number: u16, data: &[u8]) {
        let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
        self.front.push(0x08);
        self.front.extend_from_slice(&number.to_be_bytes());
        self.front.extend_from_slice(&length.to_be_bytes());
        self.front.extend_from_slice(data);
    }

    /// A part of the configuration that names capabilities, in front of the sections.
    pub(in crate::suite::cases) fn capabilities(&mut self, names: &[&str]) {
        const NAME: &[u8] = b"configuration/capabilities";
        self.front.push(0x05);
        self.front.push(u8::try_from(NAME.len()).unwrap_or(u8::MAX));
        self.front.extend_from_slice(NAME);
        self.front.extend_from_slice(&1_u32.to_be_bytes());
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        self.front.extend_from_slice(&count.to_be_bytes());
        for name in names {
            self.front.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            self.front.extend_from_slice(name.as_bytes());
        }
    }

    /// Eight bytes more behind each RAM block.
    pub(in crate::suite::cases) fn more(&mut self, word: u64) {
        for entry in &mut self.list {
            entry.more.extend_from_slice(&word.to_be_bytes());
        }
    }
}

/// A destination that is sent this does not answer with RAM blocks: it ends the migration, when it
/// reads the stream or when it is asked for its RAM blocks.
pub(in crate::suite::cases) fn rejects(
    play: &mut Play<'_>,
    requirement: &str,
    spoil: impl FnOnce(&mut SetUp),
) -> Result<(), Stop> {
    let mut set_up = SetUp::of(play.guest())?;
    spoil(&mut set_up);
    rejects_bytes(play, requirement, &set_up.bytes())
}

/// The same for any bytes.
pub(in crate::suite::cases) fn rejects_bytes(
    play: &mut Play<'_>,
    requirement: &str,
    bytes: &[u8],
) -> Result<(), Stop> {
    play.reach_connected(0)?;
    if !play.stream_is_taken(bytes)? {
        return Ok(());
    }
    play.send(Kind::RamBlocksRequest, &[]);
    play.expect_end(requirement)
}
