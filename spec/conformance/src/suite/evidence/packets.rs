//! `dialogue.pcapng`: a dialogue as packets that Wireshark opens.

use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, Write};

use rdma_migration_protocol::time::Instant;
use rdma_migration_transport_sim::{DialogueTrace, Side};

use super::FILE_BYTES_MAX;
use crate::suite::transcript::Event;
use crate::suite::{Action, Observation, Role, Transcript};

const COMMENT: &str = "rdma-migration conformance; what the suite's side did and saw, as packets";

/// The messages and writes of a dialogue as packets of RoCE version 2, the same for equal
/// dialogues. Writes are without the bytes that they carry; what the peer writes is not seen, and
/// not in it.
///
/// # Errors
/// If there would be more than 32 MiB: a forged dialogue may name writes of any length.
pub fn capture(under_test: Role, dialogue: &Transcript) -> io::Result<Vec<u8>> {
    let mut bytes = Limited(Vec::new());
    let mut packets = Packets {
        trace: DialogueTrace::new(&mut bytes, COMMENT)?,
        suite: match under_test {
            Role::Destination => Side::Source,
            Role::Source => Side::Destination,
        },
        messages: VecDeque::new(),
        writes: VecDeque::new(),
    };
    for entry in &dialogue.0 {
        let at = Instant::ORIGIN.after(Duration::from_micros(entry.time_us));
        match &entry.event {
            Event::Did(action) => packets.did(at, action)?,
            Event::Saw(seen) => packets.saw(at, seen)?,
        }
    }
    packets.trace.finish()?;
    Ok(bytes.0)
}

struct Packets<'b> {
    trace: DialogueTrace<&'b mut Limited>,
    /// The side that the suite plays.
    suite: Side,
    /// The last packets of messages that the peer's adapter has not acknowledged.
    messages: VecDeque<u32>,
    /// The last packets of writes that it has not acknowledged.
    writes: VecDeque<u32>,
}

impl Packets<'_> {
    fn did(&mut self, at: Instant, action: &Action) -> io::Result<()> {
        match action {
            Action::Connect { private_data } => self.trace.request(at, &private_data.0),
            Action::Accept { private_data } => self.trace.reply(at, &private_data.0),
            Action::Reject => self.trace.reject(at),
            Action::Disconnect => self.trace.disconnect(self.suite, at),
            Action::Send { message } => {
                self.messages.push_back(self.trace.send(self.suite, at, &message.0)?);
                Ok(())
            }
            Action::Write { remote_address, rkey, length, .. } => {
                let last = self.trace.write_ram(self.suite, at, *remote_address, *rkey, *length)?;
                self.writes.push_back(last);
                Ok(())
            }
            Action::WithholdReceives
            | Action::Allocate { .. }
            | Action::Fill { .. }
            | Action::Zero { .. }
            | Action::Look { .. }
            | Action::Register { .. }
            | Action::Deregister { .. } => Ok(()),
        }
    }

    fn saw(&mut self, at: Instant, seen: &Observation) -> io::Result<()> {
        let peer = self.suite.peer();
        match seen {
            Observation::Requested { private_data } => self.trace.request(at, &private_data.0),
            Observation::Established { private_data } => {
                if self.suite == Side::Source {
                    self.trace.reply(at, &private_data.0)?;
                }
                self.trace.ready_to_use(at)
            }
            Observation::Rejected => self.trace.reject(at),
            Observation::Disconnected => self.trace.disconnect(peer, at),
            Observation::Closed => self.trace.disconnected(peer, at),
            Observation::Received { message } => {
                let last = self.trace.send(peer, at, &message.0)?;
                self.trace.acknowledge(self.suite, at, last)
            }
            Observation::Sent => match self.messages.pop_front() {
                Some(last) => self.trace.acknowledge(peer, at, last),
                None => Ok(()),
            },
            Observation::Written => match self.writes.pop_front() {
                Some(last) => self.trace.acknowledge(peer, at, last),
                None => Ok(()),
            },
            Observation::ConnectionFailed { .. }
            | Observation::Failed { .. }
            | Observation::Allocated { .. }
            | Observation::Ram { .. }
            | Observation::Registered { .. }
            | Observation::Deregistered { .. }
            | Observation::Nothing
            | Observation::Aftermath(_) => Ok(()),
        }
    }
}

/// Bytes that do not become more than [`FILE_BYTES_MAX`].
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > FILE_BYTES_MAX {
            return Err(io::Error::other("the packets of the dialogue are too many for a capture"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Entry;

    #[test]
    fn a_write_of_any_length_ends_at_the_limit() {
        let write = Action::Write {
            region: 0,
            block: 0,
            offset: 0,
            length: u64::MAX,
            remote_address: 0,
            rkey: 0,
        };
        let entry = Entry { time_us: u64::MAX, event: Event::Did(write) };
        let error = capture(Role::Destination, &Transcript(vec![entry])).unwrap_err();
        assert!(error.to_string().contains("too many"), "{error}");
    }
}
