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

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::address::{BlockIndex, BlockOffset, HostAddress, RamAddress, Rkey};
    use crate::transport::{Access, ReceiveBuffer, WriteRam};
    use crate::wire::{Compress, Entries};

    const BLOCK: BlockIndex = BlockIndex::new(0);
    const OFFSET: BlockOffset = BlockOffset::new(0);

    fn encoded(message: &Message<'_>) -> Vec<u8> {
        let mut bytes = vec![0; message.encoded_len()];
        message.encode(&mut bytes).unwrap();
        bytes
    }

    fn runs(lengths: &[u64]) -> Vec<Compress> {
        let offset = RamAddress::new(0);
        let run = |&length| Compress { value: 0, block: BLOCK, offset, length };
        lengths.iter().map(run).collect()
    }

    fn counted(counts: &[u64]) -> Vec<(Kind, u64)> {
        let counts = Kind::ALL.into_iter().zip(counts.iter().copied());
        counts.filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn messages_are_counted_by_kind_and_direction_with_what_they_carry() {
        let mut statistics = Statistics::default();
        for stream in [b"abc", b"def"] {
            let mut bytes = encoded(&Message::QemuFile(stream));
            let length = bytes.len();
            bytes.push(0);
            statistics.operation(&Operation::Send { length }, &bytes);
        }
        let zero = runs(&[0x1000, 0x2000]);
        let zero = encoded(&Message::Compress(Entries::new(&zero)));
        let endless = runs(&[u64::MAX]);
        let endless = encoded(&Message::Compress(Entries::new(&endless)));
        for (bytes, sum) in [(&zero, 0x3000), (&zero, 0x6000), (&endless, u64::MAX)] {
            let buffer = ReceiveBuffer(0);
            statistics.completion(&Completion::Received { buffer, bytes });
            assert_eq!(statistics.bytes_zero, sum);
        }
        assert_eq!(counted(&statistics.messages_sent), [(Kind::QemuFile, 2)]);
        assert_eq!(counted(&statistics.messages_received), [(Kind::Compress, 3)]);
        assert_eq!(statistics.stream_bytes, 6);
    }

    #[test]
    fn writes_are_counted_with_their_bytes() {
        let mut statistics = Statistics::default();
        for length in [0x1000, 0x3000] {
            let write = WriteRam {
                region: RegionId(0),
                block: BLOCK,
                offset: OFFSET,
                length,
                remote_address: HostAddress::new(0),
                rkey: Rkey::new(7),
                signaled: true,
            };
            statistics.operation(&Operation::WriteRam(write), &[]);
        }
        assert_eq!((statistics.writes, statistics.bytes_written), (2, 0x4000));
    }

    #[test]
    fn the_peak_of_registered_memory_outlasts_it() {
        let mut statistics = Statistics::default();
        let regions = [(RegionId(0), 0x1000), (RegionId(1), 0x4000), (RegionId(2), 0x2000)];
        for (region, length) in regions {
            let (block, offset, access) = (BLOCK, OFFSET, Access::RemoteWrite);
            let register = Operation::RegisterMemory { region, block, offset, length, access };
            statistics.operation(&register, &[]);
            assert_eq!(statistics.registered_bytes, 0);
        }
        for region in [RegionId(0), RegionId(1)] {
            statistics.completion(&Completion::MemoryRegistered { region, rkey: Rkey::new(7) });
        }
        statistics.completion(&Completion::MemoryDeregistered { region: RegionId(0) });
        let region = RegionId(2);
        statistics.completion(&Completion::MemoryRegistered { region, rkey: Rkey::new(7) });
        let figures = (statistics.registrations, statistics.registered_bytes);
        assert_eq!((figures, statistics.registered_bytes_peak), ((3, 0x6000), 0x6000));
        statistics.completion(&Completion::MemoryDeregistered { region: RegionId(1) });
        assert_eq!(
            (statistics.registered_bytes, statistics.registered_bytes_peak),
            (0x2000, 0x6000)
        );
    }
}
