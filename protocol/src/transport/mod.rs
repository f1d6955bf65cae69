//! The seam between the machines and whatever moves their bytes.
//!
//! A machine ([`Source`](crate::source::Source), [`Destination`](crate::destination::Destination))
//! says what to do as one ordered stream of [`Operation`]s and is told what came of it as
//! [`Completion`]s and [`ConnectionEvent`]s. A [`Transport`] does the operations: the simulator in
//! virtual time, verbs on real hardware. [`turn`] is the one loop that joins the two.
//!
//! # Contract
//!
//! 1. **Order.** Operations are issued in the order in which they were polled. A transport may chain
//!    consecutive ones into one post. Receives are filled first in, first out.
//! 2. **Drain.** After each batch of inputs the caller polls operations until there are none, then
//!    events until there are none.
//! 3. **Sends.** At most [`SENDS_OUTSTANDING_MAX`](crate::limits::SENDS_OUTSTANDING_MAX) sends are
//!    outstanding. Each is encoded into a registered buffer that the transport lends
//!    ([`Transport::send_buffer`]) and gets back with [`Completion::Sent`].
//! 4. **Closing.** After an error the machine still yields its closing operations: ERROR where the
//!    peer has to be told, then `Disconnect`, then one `DeregisterMemory` a region.
//! 5. **Answers.** Every operation is answered exactly once, by its completion or by
//!    [`Completion::Failed`]; only a write that did not ask to be signaled is answered by the next
//!    signaled one. A completion that answers no operation ends the migration with an error, it
//!    never panics.
//! 6. **The last word.** [`Completion::Disconnected`] comes after the answer to every posted receive,
//!    send and write (flushed, if nothing else), unsignaled writes included. From then on the
//!    queue pair is gone and no key can be reached through it. Registrations, scans and fills
//!    that still run are answered in their own time.
//! 7. **Idle timeouts.** A call of `handle_timeout` before the deadline does nothing.

mod completion;
mod drive;
mod operation;
mod statistics;

pub use completion::{Completion, ConnectionEvent, FailedOperation, TransportError};
pub use drive::{BlockingTransport, Input, Machine, Owner, Transport, drive, turn};
pub use operation::{Access, Operation, ReceiveBuffer, RegionId, WriteRam};
pub use statistics::Statistics;
