//! What a migration has cost, folded from the operations of one side and their answers.

use alloc::collections::BTreeMap;

use super::{Completion, Operation, RegionId};
use crate::wire::{Kind, Message};

/// Figures of one side of one migration.
///
/// They live outside the machines: whoever runs a machine shows its operations and completions to
/// [`Self::operation`] and [`Self::completion`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// Control messages sent, by the number of their kind.
    pub messages_sent: [u64; Kind::ALL.len()],
    /// Control messages received, by the number of their kind. Malformed ones are not counted.
    pub messages_received: [u64; Kind::ALL.len()],
    /// Stream bytes sent or received.
    pub stream_bytes: u64,
    /// RDMA WRITEs ordered.
    pub writes: u64,
    /// Bytes of guest RAM in them.
    pub bytes_written: u64,
    /// Bytes of guest RAM that travelled as zero runs.
    pub bytes_zero: u64,
    /// Regions registered.
    pub registrations: u64,
    /// Bytes of guest RAM registered now.
    pub registered_bytes: u64,
    /// The most bytes of guest RAM that were registered at any one time.
    pub registered_bytes_peak: u64,
    /// Lengths in bytes of the regions whose registration was ordered.
    regions: BTreeMap<RegionId, u64>,
}

impl Statistics {
    /// Counts an operation. `message` is what a `Send` sends.
    pub fn operation(&mut self, operation: &Operation, message: &[u8]) {
        match *operation {
            Operation::Send { length } => {
                if let Some(Ok(message)) = message.get(..length).map(Message::parse) {
                    count(&mut self.messages_sent, message.kind());
                    self.contents(&message);
                }
            }
            Operation::WriteRam(write) => {
                self.writes += 1;
                self.bytes_written += write.length;
            }
            Operation::RegisterMemory { region, length, .. } => {
                self.regions.insert(region, length);
            }
            Operation::Connect { .. }
            | Operation::Accept { .. }
            | Operation::Reject
            | Operation::Disconnect
            | Operation::PostReceive { .. }
            | Operation::ScanRam { .. }
            | Operation::ZeroRam { .. }
            | Operation::DeregisterMemory { .. } => {}
        }
    }

    /// Counts an answer.
    pub fn completion(&mut self, completion: &Completion<'_>) {
        match *completion {
            Completion::Received { bytes, .. } => {
                if let Ok(message) = Message::parse(bytes) {
                    count(&mut self.messages_received, message.kind());
                    self.contents(&message);
                }
            }
            Completion::MemoryRegistered { region, .. } => {
                self.registrations += 1;
                self.registered_bytes += self.regions.get(&region).copied().unwrap_or_default();
                self.registered_bytes_peak = self.registered_bytes_peak.max(self.registered_bytes);
            }
            Completion::MemoryDeregistered { region } => {
                self.registered_bytes -= self.regions.remove(&region).unwrap_or_default();
            }
            Completion::Sent
            | Completion::RamWritten
            | Completion::RamScanned { .. }
            | Completion::RamZeroed { .. }
            | Completion::Disconnected
            | Completion::Failed { .. } => {}
        }
    }

    fn contents(&mut self, message: &Message<'_>) {
        match message {
            Message::QemuFile(stream) => {
                self.stream_bytes += u64::try_from(stream.len()).unwrap_or(u64::MAX);
            }
            Message::Compress(runs) => {
                self.bytes_zero = runs.iter().fold(self.bytes_zero, |sum, run| {
                    // What a peer says is summed up without trust.
                    sum.saturating_add(run.length)
                });
            }
            _ => {}
        }
    }
}

fn count(counts: &mut [u64; Kind::ALL.len()], kind: Kind) {
    for (count, each) in counts.iter_mut().zip(Kind::ALL) {
        *count += u64::from(each == kind);
    }
}
