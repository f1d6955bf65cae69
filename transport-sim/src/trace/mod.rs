//! What crosses the link: counted always, written as pcapng where asked for.

mod frame;
mod management;
mod opcode;
mod pcapng;
mod recorder;

pub use opcode::Opcode;
pub(crate) use recorder::{Answer, Seen};
pub use recorder::{Recorder, WireCounters};
