//! One connection of the capture, read as a migration.

use std::net::IpAddr;
use std::num::NonZeroU64;

use super::control::{Control, judge_lengths};
use super::deviation::Deviation;
use super::entry::{Body, Content, DescribedCommand, Entry, MessageEntry, Role};
use super::memory::{Memory, Place};
use super::stream::Stream;
use super::tally::Tally;
use crate::capture::assembly::Message;
use crate::capture::event::{Event, Happening};
use crate::capture::infiniband::RemoteRange;
use crate::capture::{End, Ends};
use crate::codec::{Capabilities, Command, Header, Kind, MESSAGE_BYTES_MAX, RamBlock};

/// What is known of a connection before anything has happened on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// Number of the connection; the first is 1.
    pub(super) number: usize,
    /// The addresses of both ends.
    pub(super) ends: Option<Ends<IpAddr>>,
    /// Whether the packets that made the connection are in the capture.
    pub(super) managed: bool,
    /// Whether it belongs to a migration that is already under way.
    pub(super) return_path: bool,
}

/// A connection and everything that has been learnt from it.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) opening: Opening,
    pub(super) port: Option<u16>,
    pub(super) requested: Option<Capabilities>,
    pub(super) granted: Option<Capabilities>,
    pub(super) memory: Memory,
    pub(super) tally: Tally,
    /// The end where the guest runs before the migration.
    pub(super) source: Option<End>,
    /// The first message was none of this protocol.
    pub(super) foreign: bool,
    pub(super) ended: bool,
    control: Control,
    stream: Stream,
}

impl Conversation {
    pub(super) fn new(opening: Opening, chunk_bytes: NonZeroU64) -> Self {
        // On the return path messages flow the other way, and the first is free.
        let judged = opening.managed && !opening.return_path;
        Self {
            opening,
            port: None,
            requested: None,
            granted: None,
            memory: Memory::new(chunk_bytes, judged),
            tally: Tally::default(),
            source: opening.managed.then_some(End::A),
            foreign: false,
            ended: false,
            control: Control::new(judged),
            stream: Stream::new(judged),
        }
    }

    /// Whether a second connection may follow, on which the destination answers.
    pub(super) fn awaits_return_path(&self) -> bool {
        let connected = self.granted.is_some() && !self.ended && !self.opening.return_path;
        connected && self.tally.count(Kind::QemuFile) == 0
    }

    /// Reads what has happened next, and reports it.
    pub(super) fn take(&mut self, happening: Happening) -> Vec<Entry> {
        let Happening { stamp, from, event, .. } = happening;
        let (body, deviations) = self.read(from, event);
        let number = self.opening.number;
        let entry = |role, body| Entry { stamp, connection: number, from: role, body };
        if self.foreign {
            return Vec::new();
        }
        let by = self.role(from);
        let mut entries: Vec<_> = body.map(|body| entry(by, body)).into_iter().collect();
        for deviation in deviations {
            self.tally.deviations += 1;
            let guilty = match deviation {
                // The side that refuses only says what the other side did.
                Deviation::Refused { .. } => self.role(from.peer()),
                _ => by,
            };
            entries.push(entry(guilty, Body::Deviation(deviation)));
        }
        entries
    }

    fn role(&self, end: End) -> Option<Role> {
        let source = self.source?;
        Some(if end == source { Role::Source } else { Role::Destination })
    }

    fn read(&mut self, from: End, event: Event) -> (Option<Body>, Vec<Deviation>) {
        let by_itself = |body| (Some(body), Vec::new());
        match event {
            Event::ConnectRequest(private_data, port) => self.connect_request(&private_data, port),
            Event::ConnectReply(private_data) => self.connect_reply(&private_data),
            Event::ReadyToUse => by_itself(Body::ReadyToUse),
            Event::Reject(reason) => {
                self.ended = true;
                by_itself(Body::Reject(reason))
            }
            Event::DisconnectRequest => {
                self.ended = true;
                by_itself(Body::DisconnectRequest)
            }
            Event::DisconnectReply => by_itself(Body::DisconnectReply),
            Event::Message { message } => self.message(from, message),
            Event::Write(range) => self.write(from, range),
            Event::WrongWriteLength(wrong) => {
                let (declared, carried) = (wrong.declared, wrong.carried);
                (None, vec![Deviation::WriteLength { declared, carried }])
            }
            Event::LateAcknowledgement => {
                (None, self.control.take_late_acknowledgement().into_iter().collect())
            }
            Event::OtherOperation(operation) => {
                (None, vec![Deviation::OtherOperation { operation }])
            }
            Event::Refused(answer) => (None, vec![Deviation::Refused { answer }]),
            Event::Retransmission(what) => {
                self.tally.retransmitted_packets += 1;
                by_itself(Body::Retransmission(what))
            }
            Event::Missing(count) => {
                self.tally.missing_packets += u64::from(count);
                self.lose_track();
                by_itself(Body::Missing(count))
            }
            Event::IncompleteMessage => {
                self.lose_track();
                by_itself(Body::IncompleteMessage)
            }
        }
    }

    fn lose_track(&mut self) {
        self.control.lose_track();
        self.stream.lose_track();
        self.memory.lose_track();
    }

    fn connect_request(
        &mut self,
        private_data: &[u8],
        port: Option<u16>,
    ) -> (Option<Body>, Vec<Deviation>) {
        self.port = port;
        self.requested = Capabilities::decode(private_data).ok();
        let body = Body::ConnectRequest {
            capabilities: self.requested,
            ends: self.opening.ends,
            port,
            return_path: self.opening.return_path,
        };
        let zero = self.requested.is_some_and(|requested| requested.version == 0);
        (Some(body), zero.then_some(Deviation::VersionZero).into_iter().collect())
    }

    fn connect_reply(&mut self, private_data: &[u8]) -> (Option<Body>, Vec<Deviation>) {
        self.granted = Capabilities::decode(private_data).ok();
        let mut deviations = Vec::new();
        if let Some(Capabilities { version, flags }) = self.granted {
            if version != 1 {
                deviations.push(Deviation::ReplyVersion { version });
            }
            let asked = self.requested.map_or(u32::MAX, |requested| requested.flags);
            let unmasked = flags & !(asked & Capabilities::PIN_ALL);
            if unmasked != 0 {
                deviations.push(Deviation::UnmaskedFlags { flags: unmasked });
            }
        }
        (Some(Body::ConnectReply(self.granted)), deviations)
    }

    fn write(&mut self, from: End, range: Option<RemoteRange>) -> (Option<Body>, Vec<Deviation>) {
        self.source.get_or_insert(from);
        self.tally.writes += 1;
        self.tally.written_bytes += range.map_or(0, |range| u64::from(range.length));
        if self.role(from) == Some(Role::Destination) {
            let body = Body::Write { range, place: None };
            return (Some(body), vec![Deviation::WriteByDestination]);
        }
        let outside = self.control.take_write(self.stream.at_hook());
        self.stream.use_hook();
        let (place, wrong) = match &range {
            Some(range) => self.memory.write(range),
            None => (None, None),
        };
        (Some(Body::Write { range, place }), outside.into_iter().chain(wrong).collect())
    }

    fn message(&mut self, from: End, message: Message) -> (Option<Body>, Vec<Deviation>) {
        let entry = |header, content| {
            let (packets, missing_bytes) = (message.packets, message.missing_bytes());
            Body::Message(MessageEntry { header, packets, missing_bytes, content })
        };
        let Ok((header, payload)) = Header::decode(&message.bytes) else {
            if message.is_cut() {
                self.lose_track();
                return (Some(entry(None, Content::Nothing)), Vec::new());
            }
            let bytes = message.length;
            return (
                Some(entry(None, Content::Nothing)),
                vec![Deviation::ShorterThanHeader { bytes }],
            );
        };
        let header_bytes = u64::try_from(Header::BYTES).unwrap_or_default();
        let carried = message.length.saturating_sub(header_bytes);
        if self.is_first_of_something_else(header, carried) {
            self.foreign = true;
            return (None, Vec::new());
        }
        self.infer_source(from, header.kind);
        let Some(role) = self.role(from) else {
            return (Some(entry(Some(header), Content::Nothing)), judge_lengths(header, carried));
        };
        self.tally.add(role, header);
        let mut deviations = Vec::new();
        if message.length > u64::try_from(MESSAGE_BYTES_MAX).unwrap_or(u64::MAX) {
            deviations.push(Deviation::MessageTooLong { bytes: message.length });
        }
        deviations.extend(judge_lengths(header, carried));
        if !self.opening.return_path {
            deviations.extend(self.control.take(role, header, self.stream.at_hook()));
            if header.kind != Kind::QemuFile && role == Role::Source {
                self.stream.use_hook();
            }
        }
        let content = self.content(role, header, payload, message.is_cut(), &mut deviations);
        (Some(entry(Some(header), content)), deviations)
    }

    /// Other protocols run over RDMA too; a header that makes no sense at all is none of ours.
    fn is_first_of_something_else(&self, header: Header, carried: u64) -> bool {
        let nothing_yet = self.tally.messages() == 0;
        let unknown = matches!(header.kind, Kind::Unknown(_));
        nothing_yet && unknown && u64::from(header.length) != carried
    }

    /// Without the packets that made the connection, the first message tells who is who.
    fn infer_source(&mut self, from: End, kind: Kind) {
        let source = match kind {
            Kind::Ready
            | Kind::RamBlocksResult
            | Kind::RegisterResult
            | Kind::UnregisterFinished => from.peer(),
            Kind::QemuFile
            | Kind::RamBlocksRequest
            | Kind::Compress
            | Kind::RegisterRequest
            | Kind::RegisterFinished
            | Kind::UnregisterRequest => from,
            Kind::None | Kind::Error | Kind::Unknown(_) => return,
        };
        self.source.get_or_insert(source);
    }

    fn content(
        &mut self,
        role: Role,
        header: Header,
        payload: &[u8],
        is_cut: bool,
        deviations: &mut Vec<Deviation>,
    ) -> Content {
        if header.kind == Kind::QemuFile {
            let piece = self.stream.append(payload, header.length);
            if let Some(named) = &piece.blocks {
                self.memory.take_names(named);
            }
            return Content::Stream(piece);
        }
        let commands = Command::decode_all(header.kind, payload);
        if is_cut {
            // What was asked for or granted in the missing part is not known.
            self.memory.lose_track();
        }
        if header.kind == Kind::RegisterRequest && role == Role::Source {
            self.memory.begin_requests();
        }
        if header.kind == Kind::RamBlocksResult && role == Role::Destination && !is_cut {
            let blocks: Vec<_> = commands.iter().filter_map(ram_block).collect();
            let pin_all = self.granted.is_some_and(Capabilities::pin_all);
            deviations.extend(self.memory.take_blocks(&blocks, pin_all));
        }
        let mut described = Vec::with_capacity(commands.len());
        for (index, command) in commands.into_iter().enumerate() {
            let (place, deviation) = self.describe(index, &command);
            deviations.extend(deviation);
            let is_block = matches!(command, Command::RamBlock(_));
            let name = self.memory.name(index).filter(|_| is_block).map(str::to_owned);
            described.push(DescribedCommand { command, place, name });
        }
        if header.kind.command_bytes().is_some() {
            Content::Commands(described)
        } else {
            Content::Nothing
        }
    }

    fn describe(&mut self, index: usize, command: &Command) -> (Option<Place>, Option<Deviation>) {
        match command {
            Command::RamBlock(_) => (None, None),
            Command::Compress(run) => self.memory.compress(run),
            Command::RegisterRequest(request) => self.memory.request(request),
            Command::RegisterResult(result) => self.memory.result(index, result),
            Command::UnregisterRequest(request) => self.memory.unregister(request),
        }
    }
}

fn ram_block(command: &Command) -> Option<RamBlock> {
    match command {
        Command::RamBlock(block) => Some(*block),
        _ => None,
    }
}
