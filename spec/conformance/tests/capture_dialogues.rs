//! The captures of real migrations as dialogues: our machines in the place of either QEMU process say
//! the same, byte for byte but for padding.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

use rdma_migration_conformance::capture::connections::Connections;
use rdma_migration_conformance::capture::datagram::read_datagram;
use rdma_migration_conformance::capture::event::Event;
use rdma_migration_conformance::capture::file::{CaptureError, read_packets};
use rdma_migration_conformance::capture::infiniband::RemoteRange;
use rdma_migration_conformance::capture::{End, Stamp};
use rdma_migration_protocol::address::{BlockIndex, BlockOffset, Rkey};
use rdma_migration_protocol::connection::{GuestOwner, PinAllOffer};
use rdma_migration_protocol::destination::{
    Destination, DestinationConfig, DestinationEvent, PlacedBlock,
};
use rdma_migration_protocol::limits::CONTROL_BUFFER_BYTES;
use rdma_migration_protocol::source::{Source, SourceConfig, SourceEvent};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, Machine, Operation, ReceiveBuffer, WriteRam,
};
use rdma_migration_protocol::wire::{Kind, Message, RamBlock, RegisterResult};

const DYNAMIC: &str = "qemu-7.2-dynamic.pcap";
const PIN_ALL: &str = "qemu-7.2-pin-all.pcap";
const NOW: Instant = Instant::ORIGIN;

/// What happened on the connection of a capture, in order.
fn happenings(name: &str) -> Vec<(End, Event)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures").join(name);
    let mut connections = Connections::default();
    let mut happenings = Vec::new();
    read_packets(File::open(path).unwrap(), |record| -> Result<(), CaptureError> {
        let stamp = Stamp { packet: record.number, time_us: None };
        if let Ok(datagram) = read_datagram(record.data) {
            happenings.extend(connections.take(stamp, &datagram));
        }
        Ok(())
    })
    .unwrap();
    happenings.extend(connections.end());
    happenings.into_iter().map(|happening| (happening.from, happening.event)).collect()
}

/// The messages that one end sent.
fn messages(happenings: &[(End, Event)], end: End) -> Vec<&[u8]> {
    let messages = happenings.iter().filter_map(|(from, event)| match event {
        Event::Message { message, .. } if *from == end => Some(message.bytes.as_slice()),
        _ => None,
    });
    messages.collect()
}

fn private_data(happenings: &[(End, Event)]) -> (&[u8], &[u8]) {
    let mut request = None;
    let mut reply = None;
    for (_, event) in happenings {
        match event {
            Event::ConnectRequest(bytes, _) => request = Some(bytes.as_slice()),
            Event::ConnectReply(bytes) => reply = Some(bytes.as_slice()),
            _ => {}
        }
    }
    (request.unwrap(), reply.unwrap())
}

fn ram_blocks(messages: &[&[u8]]) -> Vec<RamBlock> {
    let found = messages.iter().find_map(|bytes| match Message::parse(bytes) {
        Ok(Message::RamBlocksResult(blocks)) => Some(blocks.iter().collect()),
        _ => None,
    });
    found.unwrap()
}

/// A message with everything that a receiver must ignore set to zero.
fn without_padding(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[12..16].fill(0);
    let kind = Message::parse(&bytes).unwrap().kind();
    let (entry_bytes, padding) = match kind {
        Kind::RamBlocksResult => (32, 28..32),
        Kind::RegisterRequest => (24, 12..16),
        Kind::RegisterResult => (16, 4..8),
        Kind::QemuFile => {
            bytes[8..12].fill(0);
            return bytes;
        }
        _ => return bytes,
    };
    for entry in bytes[16..].chunks_mut(entry_bytes) {
        entry[padding.clone()].fill(0);
    }
    bytes
}

fn assert_same_messages(ours: &[Vec<u8>], theirs: &[&[u8]]) {
    for (position, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let kinds = (Message::parse(ours).unwrap().kind(), Message::parse(theirs).unwrap().kind());
        assert_eq!(kinds.0, kinds.1, "kind of message {position}");
        assert_eq!(without_padding(ours), without_padding(theirs), "message {position}");
    }
}

/// Everything that a machine orders is done at once; this is what is left to look at.
struct Performed {
    send_buffer: Vec<u8>,
    posted: VecDeque<ReceiveBuffer>,
    sent: Vec<Vec<u8>>,
    writes: Vec<WriteRam>,
    private_data: Option<[u8; 8]>,
    registered: usize,
}

impl Performed {
    fn new() -> Self {
        Self {
            send_buffer: vec![0; CONTROL_BUFFER_BYTES],
            posted: VecDeque::new(),
            sent: Vec::new(),
            writes: Vec::new(),
            private_data: None,
            registered: 0,
        }
    }

    fn perform<M: Machine>(
        &mut self,
        machine: &mut M,
        mut rkey: impl FnMut(BlockIndex) -> Rkey,
        zero: impl Fn(BlockIndex, BlockOffset) -> bool,
    ) {
        while let Some(operation) = machine.poll_operation(&mut self.send_buffer, NOW) {
            let completion = match operation {
                Operation::Connect { private_data } | Operation::Accept { private_data } => {
                    self.private_data = Some(private_data);
                    continue;
                }
                Operation::PostReceive { buffer } => {
                    self.posted.push_back(buffer);
                    continue;
                }
                Operation::Send { length } => {
                    self.sent.push(self.send_buffer[..length].to_vec());
                    Completion::Sent
                }
                Operation::WriteRam(write) => {
                    self.writes.push(write);
                    if !write.signaled {
                        continue;
                    }
                    Completion::RamWritten
                }
                Operation::ScanRam { block, offset, .. } => {
                    Completion::RamScanned { block, offset, zero: zero(block, offset) }
                }
                Operation::ZeroRam { block, offset, .. } => Completion::RamZeroed { block, offset },
                Operation::RegisterMemory { region, block, .. } => {
                    self.registered += 1;
                    Completion::MemoryRegistered { region, rkey: rkey(block) }
                }
                Operation::DeregisterMemory { region } => {
                    self.registered -= 1;
                    Completion::MemoryDeregistered { region }
                }
                Operation::Disconnect => Completion::Disconnected,
                Operation::Reject => panic!("the connection is refused"),
            };
            machine.handle_completion(completion, NOW);
        }
    }

    fn receive<M: Machine>(&mut self, machine: &mut M, bytes: &[u8]) {
        let buffer = self.posted.pop_front().expect("a receive is posted");
        machine.handle_completion(Completion::Received { buffer, bytes }, NOW);
    }
}

fn destination_answers_as_qemu_did(name: &str) {
    let happenings = happenings(name);
    let (request, reply) = private_data(&happenings);
    let theirs = messages(&happenings, End::B);
    let blocks = ram_blocks(&theirs);
    let mut keys: VecDeque<RegisterResult> = theirs
        .iter()
        .filter_map(|bytes| match Message::parse(bytes) {
            Ok(Message::RegisterResult { results, .. }) => results.first(),
            _ => None,
        })
        .collect();
    let pin_all = reply[7] == 1;
    let placed: Vec<_> = blocks
        .iter()
        .map(|block| PlacedBlock {
            host_address: block.remote_address,
            ram_address: block.offset,
            length: block.length,
        })
        .collect();

    let mut destination = Destination::new(DestinationConfig::default());
    let mut performed = Performed::new();
    let mut rkey = |block: BlockIndex| {
        if pin_all {
            blocks[usize::try_from(block.get()).unwrap()].rkey
        } else {
            keys.pop_front().unwrap().rkey
        }
    };
    destination.handle_connection(ConnectionEvent::Requested { private_data: request }, NOW);
    performed.perform(&mut destination, &mut rkey, |_, _| false);
    assert_eq!(performed.private_data.unwrap(), reply[..8]);
    destination.handle_connection(ConnectionEvent::Established { private_data: &[] }, NOW);
    for message in messages(&happenings, End::A) {
        performed.perform(&mut destination, &mut rkey, |_, _| false);
        performed.receive(&mut destination, message);
        while let Some(event) = destination.poll_event() {
            match event {
                DestinationEvent::StreamReadable => {
                    let held = destination.held_stream().unwrap().range.len();
                    destination.take_stream(held).unwrap();
                }
                DestinationEvent::BlocksRequested => destination.place_blocks(&placed).unwrap(),
                DestinationEvent::Connected(negotiated) => assert_eq!(negotiated.pin_all, pin_all),
                DestinationEvent::RoundFinished => {}
                unexpected => panic!("{unexpected:?}"),
            }
        }
    }
    performed.perform(&mut destination, &mut rkey, |_, _| false);
    destination.handle_connection(ConnectionEvent::Disconnected, NOW);
    assert_eq!(destination.poll_event(), Some(DestinationEvent::StreamEnded));
    destination.finish().unwrap();
    performed.perform(&mut destination, &mut rkey, |_, _| false);
    assert_eq!(destination.poll_event(), Some(DestinationEvent::GuestReleased));
    let Some(DestinationEvent::Closed(closed)) = destination.poll_event() else { panic!() };
    assert_eq!((closed.result, closed.guest), (Ok(()), GuestOwner::Destination));
    assert_eq!(performed.registered, 0);

    assert_same_messages(&performed.sent, &theirs);
    let ready = Message::Ready.encoded_len();
    let surplus = &performed.sent[theirs.len()..];
    assert!(surplus.len() <= 1 && surplus.iter().all(|message| message.len() == ready));
}

#[test]
fn our_destination_answers_a_real_dynamic_source_as_the_real_destination_did() {
    destination_answers_as_qemu_did(DYNAMIC);
}

#[test]
fn our_destination_answers_a_real_pin_all_source_as_the_real_destination_did() {
    destination_answers_as_qemu_did(PIN_ALL);
}

/// What the owner of the source did, read off the capture.
enum Call<'a> {
    Stream(&'a [u8]),
    ExchangeBlocks,
    Ram(BlockIndex, BlockOffset, u64),
    FinishRound,
}

/// The owner's calls, and the runs among them that were zero.
fn calls<'a>(
    happenings: &'a [(End, Event)],
    blocks: &[RamBlock],
) -> (Vec<Call<'a>>, Vec<(BlockIndex, BlockOffset)>) {
    let mut calls = Vec::new();
    let mut zero = Vec::new();
    for (_, event) in happenings.iter().filter(|(from, _)| *from == End::A) {
        match event {
            Event::Write(Some(range)) => {
                let (block, offset) = place(blocks, range);
                calls.push(Call::Ram(block, offset, range.length.into()));
            }
            Event::Message { message, .. } => match Message::parse(&message.bytes).unwrap() {
                Message::QemuFile(stream) => calls.push(Call::Stream(stream)),
                Message::RamBlocksRequest => calls.push(Call::ExchangeBlocks),
                Message::RegisterFinished => calls.push(Call::FinishRound),
                Message::Compress(runs) => {
                    let run = runs.first().unwrap();
                    let start = blocks[usize::try_from(run.block.get()).unwrap()].offset.get();
                    let offset = BlockOffset::new(run.offset.get() - start);
                    zero.push((run.block, offset));
                    calls.push(Call::Ram(run.block, offset, run.length));
                }
                Message::RegisterRequest(_) => {}
                unexpected => panic!("{unexpected:?}"),
            },
            _ => {}
        }
    }
    (calls, zero)
}

fn place(blocks: &[RamBlock], range: &RemoteRange) -> (BlockIndex, BlockOffset) {
    let inside = |block: &RamBlock| {
        let offset = range.address.checked_sub(block.remote_address.get())?;
        (offset < block.length).then_some(BlockOffset::new(offset))
    };
    let mut numbered = (0..).map(BlockIndex::new).zip(blocks);
    numbered.find_map(|(index, block)| Some((index, inside(block)?))).unwrap()
}

fn source_asks_as_qemu_did(name: &str) {
    let happenings = happenings(name);
    let (request, reply) = private_data(&happenings);
    let theirs = messages(&happenings, End::A);
    let blocks = ram_blocks(&messages(&happenings, End::B));
    let lengths: Vec<_> = blocks.iter().map(|block| block.length).collect();
    let (calls, zero) = calls(&happenings, &blocks);
    let last = calls.len() - 1;

    let pin_all = if request[7] == 1 { PinAllOffer::Required } else { PinAllOffer::Never };
    let config = SourceConfig { pin_all, ..SourceConfig::default() };
    let mut source = Source::new(config).unwrap();
    let mut performed = Performed::new();
    let rkey = |_| Rkey::new(1);
    let is_zero = |block, offset| zero.contains(&(block, offset));
    source.connect().unwrap();
    performed.perform(&mut source, rkey, is_zero);
    assert_eq!(performed.private_data.unwrap(), request[..8]);
    source.handle_connection(ConnectionEvent::Established { private_data: reply }, NOW);

    // Each message of the real destination is fed once ours has sent as many as it had been sent.
    let mut answers = VecDeque::new();
    let mut sent = 0;
    for (from, event) in &happenings {
        let Event::Message { message, .. } = event else { continue };
        match from {
            End::A => sent += 1,
            End::B => answers.push_back((sent, message.bytes.as_slice())),
        }
    }
    let mut calls = calls.into_iter().enumerate().peekable();
    loop {
        performed.perform(&mut source, rkey, is_zero);
        if let Some((_, answer)) = answers.pop_front_if(|(after, _)| *after <= performed.sent.len())
        {
            performed.receive(&mut source, answer);
            continue;
        }
        let Some((position, call)) = calls.peek() else { break };
        let done = match call {
            Call::Stream(stream) => source.write_stream(stream).is_ok_and(|taken| {
                assert_eq!(taken, stream.len());
                if *position == last { source.finish() } else { source.flush_stream() }.is_ok()
            }),
            Call::ExchangeBlocks => source.exchange_blocks(&lengths).is_ok(),
            Call::Ram(block, offset, length) => source.write_ram(*block, *offset, *length).is_ok(),
            Call::FinishRound => source.finish_round().is_ok(),
        };
        assert!(done, "call {position} in {source:?}");
        calls.next();
    }
    assert!(answers.is_empty());
    assert_eq!(source.guest_owner(), GuestOwner::Destination);
    source.handle_connection(ConnectionEvent::Disconnected, NOW);
    performed.perform(&mut source, rkey, is_zero);
    let closed = core::iter::from_fn(|| source.poll_event()).last();
    let Some(SourceEvent::Closed(closed)) = closed else { panic!("{closed:?}") };
    assert_eq!((closed.result, closed.guest), (Ok(()), GuestOwner::Destination));
    assert_eq!(performed.registered, 0);

    assert_same_messages(&performed.sent, &theirs);
    assert_eq!(performed.sent.len(), theirs.len());
    let ours = performed
        .writes
        .iter()
        .map(|write| (write.remote_address.get(), write.rkey.get(), write.length));
    let theirs = happenings.iter().filter_map(|(_, event)| match event {
        Event::Write(Some(range)) => Some((range.address, range.rkey, u64::from(range.length))),
        _ => None,
    });
    assert_eq!(ours.collect::<Vec<_>>(), theirs.collect::<Vec<_>>());
}

#[test]
fn our_source_asks_a_real_dynamic_destination_as_the_real_source_did() {
    source_asks_as_qemu_did(DYNAMIC);
}

#[test]
fn our_source_asks_a_real_pin_all_destination_as_the_real_source_did() {
    source_asks_as_qemu_did(PIN_ALL);
}
