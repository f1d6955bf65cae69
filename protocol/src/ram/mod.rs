//! Guest RAM: blocks and chunks, the runs that are merged from pages, the keys for them, the writes
//! in flight.

mod block;
mod chunk;
mod grants;
mod keys;
mod ledger;
mod pinning;
mod queue;
mod recency;
mod writes;
mod zero;

pub(crate) use block::Blocks;
pub use chunk::ChunkSize;
pub(crate) use grants::{Grants, Wanted};
pub(crate) use keys::{Keys, Local, Remote};
pub(crate) use ledger::Ledger;
pub(crate) use pinning::{Bounded, Room};
pub(crate) use queue::{Queue, Run, Scan, SpanSoFar, Work};
pub(crate) use writes::Writes;
pub use zero::is_zero;
