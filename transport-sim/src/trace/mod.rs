//! What crosses the link: counted always, written as pcapng where asked for.

mod dialogue;
mod frame;
mod management;
mod opcode;
mod pcapng;
mod recorder;

pub use dialogue::DialogueTrace;
pub use opcode::Opcode;
pub(crate) use recorder::{Answer, Seen};
pub use recorder::{Recorder, WireCounters};
