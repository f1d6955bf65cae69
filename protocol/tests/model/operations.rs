//! What the model's transport does with the operations of a machine, and the rules that it watches.

use rdma_migration_protocol::transport::{Access, Operation, RegionId, WriteRam};
use rdma_migration_protocol::wire::{Kind, Message};
use rdma_migration_transport_sim::Side;

use crate::bugs::Bug;
use crate::dialogue::{Log, order};
use crate::guest::Cells;
use crate::link::{Arrival, Landing, News, QueuePair, Request, RequestKind};
use crate::memory::{Chore, Region};
use crate::owners::host_address;
use crate::rules::{Rule, Violation};
use crate::world::{LastSend, World};

impl World {
    /// Carries out an operation, or does to it what a seeded bug does.
    pub(crate) fn carry_out(
        &mut self,
        side: Side,
        operation: Operation,
        message: &[u8],
        bug: Option<Bug>,
        log: &mut Log,
    ) {
        log.say(|| format!("  {side}: {}", order(&operation, message)));
        match bug {
            Some(bug) => bug.carry_out(self, side, operation, message),
            None => self.issue(side, operation, message),
        }
    }

    /// Carries out an operation.
    pub(crate) fn issue(&mut self, side: Side, operation: Operation, message: &[u8]) {
        match operation {
            Operation::Connect { private_data } => {
                self.link.end_mut(Side::Source).queue_pair = QueuePair::Open;
                let news = News::Requested(private_data);
                self.link.end_mut(Side::Destination).news.push_back(news);
            }
            Operation::Accept { private_data } => {
                self.link.end_mut(Side::Destination).queue_pair = QueuePair::Open;
                self.tell_source(News::Established(private_data));
            }
            Operation::Reject => self.tell_source(News::Rejected),
            Operation::Disconnect => {
                let end = self.link.end_mut(side);
                let broken = end.queue_pair == QueuePair::Broken;
                end.queue_pair = QueuePair::Disconnecting { broken };
                if broken {
                    end.news.clear();
                }
            }
            Operation::PostReceive { buffer } => {
                self.link.end_mut(side).receives.push_back(buffer);
            }
            Operation::Send { .. } => self.send(side, message, false),
            Operation::WriteRam(write) => self.write(write),
            Operation::ScanRam { block, offset, length } => {
                self.begin(side, Chore::Scan(Cells::of(block, offset, length)));
            }
            Operation::ZeroRam { block, offset, length } => {
                self.begin(side, Chore::Zero(Cells::of(block, offset, length)));
            }
            Operation::RegisterMemory { region, block, offset, length, access } => {
                let cells = Cells::of(block, offset, length);
                let remote = access == Access::RemoteWrite;
                self.begin(side, Chore::Register { region, cells, remote });
            }
            Operation::DeregisterMemory { region } => {
                self.take_back(side, region);
                self.begin(side, Chore::Deregister { region });
            }
        }
    }

    fn tell_source(&mut self, news: News) {
        let source = self.link.end_mut(Side::Source);
        if source.queue_pair.works() {
            source.news.push_back(news);
        }
    }

    fn begin(&mut self, side: Side, chore: Chore) {
        let new = self.memory.of_mut(side).chores.insert(chore);
        self.require(new, Rule::Contract, "the same work on memory was ordered twice at once");
    }

    /// Posts a send. `injected`: by a seeded bug.
    pub(crate) fn send(&mut self, side: Side, message: &[u8], injected: bool) {
        let kind = Message::parse(message).expect("machines send valid messages").kind();
        let writes = |request: &Request| matches!(request.kind, RequestKind::Write { .. });
        let writing = self.link.end(side).requests.iter().any(writes);
        self.require(
            kind != Kind::RegisterFinished || !writing,
            Rule::WritesComplete,
            "REGISTER_FINISHED before the completion of a write",
        );
        if let Err(violation) = self.channel.sent(side, kind) {
            self.violate(violation);
        }
        let peer = self.link.end(side.peer());
        // The strictest reading: a message that arrives at once must find a receive, whatever is on
        // its way before it.
        let ready = !peer.queue_pair.works() || peer.messages() < peer.receives.len();
        self.require(ready, Rule::Credit, "a SEND without a receive");
        let last_of_stream = kind == Kind::QemuFile && self.source_owner.finishing;
        if last_of_stream {
            self.last_send = LastSend::Posted;
        }
        let request = RequestKind::Send { last_of_stream, injected };
        self.link.post(side, request, Arrival::Message(message.to_vec()));
    }

    /// Posts a write, if it is one that both adapters let pass.
    pub(crate) fn write(&mut self, write: WriteRam) {
        let cells = Cells::of(write.block, write.offset, write.length);
        let broken = |how| Violation { rule: Rule::Keys, how };
        let local = self.memory.source.regions.get(&write.region);
        if !local.is_some_and(|region| !region.taken_back && region.covers(cells)) {
            return self.violate(broken("a write from memory that is not registered"));
        }
        // Behind a queue pair that is gone no key can be reached, whatever it once stood for.
        let reachable = self.link.end(Side::Destination).queue_pair != QueuePair::Gone;
        let granted = self.memory.destination.granted(write.rkey);
        let region = match granted {
            None if reachable => {
                return self.violate(broken("a write with a key that is not granted"));
            }
            Some((_, region)) if !inside(&write, &region) => {
                return self.violate(broken("a write outside the window of its key"));
            }
            granted => granted.map(|(id, _)| id),
        };
        let versions = cells.slice(&self.memory.source.ram).to_vec();
        let landing = Landing { cells, versions, region };
        let request = RequestKind::Write { signaled: write.signaled, from: write.region };
        self.link.post(Side::Source, request, Arrival::Write(landing));
    }

    /// From the order to deregister on, nobody may use a region.
    fn take_back(&mut self, side: Side, region: RegionId) {
        let end = self.link.end(side);
        let end_is_gone = end.queue_pair == QueuePair::Gone;
        let into_it = |arrival: &Arrival| match arrival {
            Arrival::Write(landing) => landing.region == Some(region),
            Arrival::Message(_) => false,
        };
        let written = end.queue_pair.works() && end.inbound.iter().any(|i| into_it(&i.what));
        let reads_it = |request: &Request| {
            let RequestKind::Write { from, .. } = request.kind else { return false };
            from == region
        };
        let read = side == Side::Source && end.requests.iter().any(reads_it);
        self.require(!written, Rule::Keys, "a key was taken back under a write in flight");
        self.require(!read, Rule::Keys, "a region was taken back under a write that reads from it");
        let may =
            side == Side::Source || end_is_gone || self.channel.owes(Kind::UnregisterFinished);
        self.require(may, Rule::Keys, "a key was taken back that the source did not give up");
        match self.memory.of_mut(side).regions.get_mut(&region) {
            Some(region) => region.taken_back = true,
            None => self.require(false, Rule::Contract, "a region that does not exist is released"),
        }
    }
}

/// Whether a write goes to the place in its block that it names, and that its key is for.
fn inside(write: &WriteRam, region: &Region) -> bool {
    let base = host_address(write.block.get()).get();
    let start = base + region.cells.offset().get();
    let end = start + region.cells.bytes();
    let address = write.remote_address.get();
    region.cells.block() == write.block
        && address == base + write.offset.get()
        && (start..=end).contains(&address)
        && address + write.length <= end
}
