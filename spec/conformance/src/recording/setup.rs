//! What the stream says of the guest before its RAM comes.

use rdma_migration_protocol::stream::setup::{self, SetupError};

/// A RAM block, as the stream names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    /// Its name; what is not plain text is escaped.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
}

/// What the stream says of the guest up to the end of its RAM block list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layout {
    /// The machine type, unless the machine is too old to send it; what is not plain text is escaped.
    pub machine: Option<String>,
    /// The RAM blocks, in the order of their indices.
    pub blocks: Vec<Block>,
    /// What the stream asks for and this version does not have, in words.
    pub unsupported: Vec<String>,
    /// The first part of the configuration that is not known: what follows it was not read, so
    /// `unsupported` may lack something.
    pub unread: Option<String>,
}

impl Layout {
    /// Reads the start of a stream, up to the hook word after the list of RAM blocks.
    ///
    /// # Errors
    /// [`SetupError`] if there is no such list.
    pub fn read(stream: &[u8]) -> Result<Self, SetupError> {
        let setup = setup::ram_blocks(stream)?;
        let blocks = setup.blocks.iter();
        Ok(Self {
            machine: setup.machine.map(|name| name.to_string()),
            blocks: blocks
                .map(|block| Block { name: block.name.to_string(), length: block.length })
                .collect(),
            unsupported: setup.unsupported.iter().map(ToString::to_string).collect(),
            unread: setup.unread.map(|name| name.to_string()),
        })
    }

    /// Bytes of all blocks together, `None` if that is more than 64 bits hold.
    #[must_use]
    pub fn ram_bytes(&self) -> Option<u64> {
        self.blocks.iter().try_fold(0_u64, |sum, block| sum.checked_add(block.length))
    }

    /// The lengths of the blocks, in bytes.
    #[must_use]
    pub fn lengths(&self) -> Vec<u64> {
        self.blocks.iter().map(|block| block.length).collect()
    }
}
