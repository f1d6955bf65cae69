//! The control channel: SENDs in both directions under the READY credit.
//!
//! The destination says READY; the source may then send one command; the destination answers with a
//! reply, if the command has one, and says READY again. ERROR may come at any time.

mod exchange;
mod receives;
mod sends;
mod serve;

pub(crate) use exchange::Exchange;
pub(crate) use receives::Receives;
pub(crate) use sends::{SendPurpose, Sends};
pub(crate) use serve::Serve;
