//! `guest.json`: the guest that was moved to destinations under test.

use serde::{Deserialize, Serialize};

use crate::codec::NamedBlock;
use crate::suite::{Bytes, Guest};

/// A guest, as a file has it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GuestFile {
    blocks: Vec<Block>,
    set_up: Bytes,
    between_rounds: Bytes,
    before_last_round: Bytes,
    end: Bytes,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Block {
    name: String,
    length: u64,
}

impl From<&Guest> for GuestFile {
    fn from(guest: &Guest) -> Self {
        let block = |block: &NamedBlock| Block { name: block.name.clone(), length: block.length };
        Self {
            blocks: guest.blocks.iter().map(block).collect(),
            set_up: Bytes(guest.set_up.clone()),
            between_rounds: Bytes(guest.between_rounds.clone()),
            before_last_round: Bytes(guest.before_last_round.clone()),
            end: Bytes(guest.end.clone()),
        }
    }
}

impl From<GuestFile> for Guest {
    fn from(file: GuestFile) -> Self {
        let block = |block: Block| NamedBlock { name: block.name, length: block.length };
        Self {
            blocks: file.blocks.into_iter().map(block).collect(),
            set_up: file.set_up.0,
            between_rounds: file.between_rounds.0,
            before_last_round: file.before_last_round.0,
            end: file.end.0,
        }
    }
}
