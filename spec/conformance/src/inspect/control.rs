//! Who may send what on the control channel, and when.

use super::deviation::{Act, Deviation};
use super::entry::Role;
use crate::codec::{Header, Kind, REPEAT_MAX, RegisterResult};

/// The control channel as an observer knows it.
///
/// Whatever the capture does not show is unknown, and nothing is held against either side for it.
#[derive(Clone, Debug)]
pub(super) struct Control {
    ready: Ready,
    reply: Reply,
    window: Window,
    blocks_requested: bool,
    last_command: Option<Kind>,
    source_failed: bool,
    destination_failed: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ready {
    Unknown,
    Absent,
    Present,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reply {
    Unknown,
    NotDue,
    Due { kind: Kind, repeat: u32 },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Window {
    Unknown,
    Closed,
    Open,
}

impl Control {
    /// A channel of which the beginning is in the capture, or not.
    pub(super) fn new(from_the_beginning: bool) -> Self {
        let (ready, reply, window) = if from_the_beginning {
            (Ready::Absent, Reply::NotDue, Window::Closed)
        } else {
            (Ready::Unknown, Reply::Unknown, Window::Unknown)
        };
        Self {
            ready,
            reply,
            window,
            blocks_requested: false,
            last_command: None,
            source_failed: false,
            destination_failed: false,
        }
    }

    /// Packets are missing from the capture: forgets what they may have changed.
    pub(super) fn lose_track(&mut self) {
        self.ready = Ready::Unknown;
        self.reply = Reply::Unknown;
        self.window = Window::Unknown;
    }

    /// Judges a message of this side; `at_hook` says whether the stream has just reached a hook,
    /// which opens a registration window.
    pub(super) fn take(
        &mut self,
        from: Role,
        header: Header,
        at_hook: Option<bool>,
    ) -> Vec<Deviation> {
        let kind = header.kind;
        let mut deviations = Vec::new();
        let failed = match from {
            Role::Source => &mut self.source_failed,
            Role::Destination => &mut self.destination_failed,
        };
        if *failed {
            deviations.push(Deviation::AfterError { kind, from });
        }
        match (kind, from) {
            (Kind::Error, _) => *failed = true,
            (Kind::Ready, Role::Destination) => self.ready(&mut deviations),
            (
                Kind::RamBlocksResult | Kind::RegisterResult | Kind::UnregisterFinished,
                Role::Destination,
            ) => self.reply(header, &mut deviations),
            (
                Kind::QemuFile
                | Kind::RamBlocksRequest
                | Kind::Compress
                | Kind::RegisterRequest
                | Kind::RegisterFinished
                | Kind::UnregisterRequest,
                Role::Source,
            ) => {
                self.command(header, &mut deviations);
                self.last_command = Some(kind);
                self.command_in_window(kind, at_hook, &mut deviations);
            }
            (Kind::None | Kind::Unknown(_), _) => {
                deviations.push(Deviation::UnknownKind { number: kind.number() });
            }
            (_, from) => deviations.push(Deviation::WrongDirection { kind, from }),
        }
        deviations
    }

    /// Judges the moment of an RDMA WRITE of the source.
    pub(super) fn take_write(&mut self, at_hook: Option<bool>) -> Option<Deviation> {
        self.enter_window(Act::Write, at_hook)
    }

    /// Judges a WRITE that was acknowledged only after a later message had left.
    pub(super) fn take_late_acknowledgement(&self) -> Option<Deviation> {
        let finished = self.last_command == Some(Kind::RegisterFinished);
        finished.then_some(Deviation::FinishedBeforeWrites)
    }

    fn ready(&mut self, deviations: &mut Vec<Deviation>) {
        if let Reply::Due { kind, .. } = self.reply {
            deviations.push(Deviation::ReadyBeforeReply { reply: kind });
        }
        if self.ready == Ready::Present {
            deviations.push(Deviation::SecondReady);
        }
        self.ready = Ready::Present;
    }

    fn reply(&mut self, header: Header, deviations: &mut Vec<Deviation>) {
        let kind = header.kind;
        match self.reply {
            Reply::Unknown => {}
            Reply::NotDue => deviations.push(Deviation::ReplyWithoutRequest { kind }),
            Reply::Due { kind: expected, .. } if kind != expected => {
                deviations.push(Deviation::WrongReply { kind, expected });
            }
            Reply::Due { repeat: requested, .. } => {
                // The list of blocks counts its elements by length alone.
                let repeat = header.repeat;
                if kind != Kind::RamBlocksResult && repeat != requested {
                    deviations.push(Deviation::ReplyRepeat { kind, repeat, requested });
                }
            }
        }
        self.reply = Reply::NotDue;
    }

    fn command(&mut self, header: Header, deviations: &mut Vec<Deviation>) {
        let kind = header.kind;
        if let Reply::Due { kind: reply, .. } = self.reply {
            deviations.push(Deviation::CommandBeforeReply { kind, reply });
        } else if self.ready == Ready::Absent {
            deviations.push(Deviation::CommandWithoutReady { kind });
        }
        self.ready = Ready::Absent;
        self.reply = match kind.reply() {
            Some(reply) => Reply::Due { kind: reply, repeat: header.repeat },
            None => Reply::NotDue,
        };
    }

    fn command_in_window(
        &mut self,
        kind: Kind,
        at_hook: Option<bool>,
        deviations: &mut Vec<Deviation>,
    ) {
        match kind {
            Kind::QemuFile => {
                if self.window == Window::Open {
                    deviations.push(Deviation::StreamInWindow);
                } else {
                    self.window = Window::Closed;
                }
            }
            Kind::RegisterFinished => {
                deviations.extend(self.enter_window(Act::Message(kind), at_hook));
                self.window = Window::Closed;
            }
            _ => {
                deviations.extend(self.enter_window(Act::Message(kind), at_hook));
                if kind == Kind::RamBlocksRequest && self.blocks_requested {
                    deviations.push(Deviation::BlocksRequestedAgain);
                }
                self.blocks_requested |= kind == Kind::RamBlocksRequest;
            }
        }
    }

    fn enter_window(&mut self, act: Act, at_hook: Option<bool>) -> Option<Deviation> {
        let outside = self.window == Window::Closed && at_hook == Some(false);
        self.window = Window::Open;
        outside.then_some(Deviation::OutsideWindow { act })
    }
}

/// Judges the lengths of a message of which `carried` bytes followed the header.
pub(super) fn judge_lengths(header: Header, carried: u64) -> Vec<Deviation> {
    let Header { length, kind, repeat } = header;
    let mut deviations = Vec::new();
    if u64::from(length) != carried {
        deviations.push(Deviation::LengthMismatch { kind, declared: length, carried });
        return deviations;
    }
    match kind {
        Kind::QemuFile if length == 0 => deviations.push(Deviation::EmptyStream),
        Kind::Unknown(_) | Kind::QemuFile => {}
        Kind::Compress | Kind::RegisterRequest | Kind::UnregisterRequest
            if !(1..=REPEAT_MAX).contains(&repeat) =>
        {
            deviations.push(Deviation::RepeatOutOfRange { kind, repeat });
        }
        _ => {
            let expected = payload_bytes(header);
            if u64::from(length) != expected {
                deviations.push(Deviation::PayloadLength { kind, length, expected });
            }
        }
    }
    deviations
}

/// How long the payload of this message has to be.
fn payload_bytes(header: Header) -> u64 {
    let length = u64::from(header.length);
    let command_bytes = |kind: Kind| kind.command_bytes().and_then(|n| u64::try_from(n).ok());
    let Some(bytes) = command_bytes(header.kind) else { return 0 };
    match header.kind {
        // The number of blocks is whatever fits the length.
        Kind::RamBlocksResult => (length - length % bytes).max(bytes),
        // Every deployed destination sends one result, however many chunks were asked for.
        Kind::RegisterResult if header.length == SINGLE_RESULT_BYTES => length,
        _ => bytes * u64::from(header.repeat),
    }
}

const SINGLE_RESULT_BYTES: u32 = 16;
const _: () = assert!(RegisterResult::BYTES == 16);

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Destination, Source};

    const IN_WINDOW: Option<bool> = Some(true);
    const OUTSIDE: Option<bool> = Some(false);

    fn header(kind: Kind, length: u32) -> Header {
        Header { length, kind, repeat: 1 }
    }

    fn dialogue(messages: &[(Role, Kind)]) -> Vec<Deviation> {
        let mut control = Control::new(true);
        messages
            .iter()
            .flat_map(|(from, kind)| control.take(*from, header(*kind, 0), IN_WINDOW))
            .collect()
    }

    #[test]
    fn one_ready_pays_for_one_command() {
        assert_eq!(dialogue(&[(Destination, Kind::Ready), (Source, Kind::QemuFile)]), []);
        assert_eq!(
            dialogue(&[
                (Destination, Kind::Ready),
                (Source, Kind::QemuFile),
                (Source, Kind::QemuFile)
            ]),
            [Deviation::CommandWithoutReady { kind: Kind::QemuFile }]
        );
        assert_eq!(
            dialogue(&[(Destination, Kind::Ready), (Destination, Kind::Ready)]),
            [Deviation::SecondReady]
        );
    }

    #[test]
    fn the_reply_comes_before_the_next_ready() {
        let asked = [(Destination, Kind::Ready), (Source, Kind::RamBlocksRequest)];
        let after = |message| dialogue(&[asked.as_slice(), &[message]].concat());
        assert_eq!(after((Destination, Kind::RamBlocksResult)), []);
        assert_eq!(
            after((Destination, Kind::Ready)),
            [Deviation::ReadyBeforeReply { reply: Kind::RamBlocksResult }]
        );
        assert_eq!(
            after((Destination, Kind::RegisterResult)),
            [Deviation::WrongReply { kind: Kind::RegisterResult, expected: Kind::RamBlocksResult }]
        );
        assert_eq!(
            after((Source, Kind::Compress)),
            [Deviation::CommandBeforeReply { kind: Kind::Compress, reply: Kind::RamBlocksResult }]
        );
    }

    #[test]
    fn an_error_needs_no_ready_and_ends_what_its_sender_says() {
        assert_eq!(dialogue(&[(Source, Kind::Error)]), []);
        assert_eq!(
            dialogue(&[(Destination, Kind::Error), (Destination, Kind::Ready)]),
            [Deviation::AfterError { kind: Kind::Ready, from: Destination }]
        );
    }

    #[test]
    fn each_side_sends_its_own_kinds_only() {
        assert_eq!(
            dialogue(&[(Source, Kind::Ready)]),
            [Deviation::WrongDirection { kind: Kind::Ready, from: Source }]
        );
        assert_eq!(
            dialogue(&[(Destination, Kind::Compress)]),
            [Deviation::WrongDirection { kind: Kind::Compress, from: Destination }]
        );
        assert_eq!(dialogue(&[(Source, Kind::None)]), [Deviation::UnknownKind { number: 0 }]);
    }

    #[test]
    fn registration_belongs_between_the_hook_and_register_finished() {
        let mut control = Control::new(true);
        let mut send = |kind, at_hook| {
            control.take(Destination, header(Kind::Ready, 0), at_hook);
            control.take(Source, header(kind, 24), at_hook)
        };
        assert_eq!(
            send(Kind::Compress, OUTSIDE),
            [Deviation::OutsideWindow { act: Act::Message(Kind::Compress) }]
        );
        assert_eq!(send(Kind::RegisterFinished, IN_WINDOW), []);
        assert_eq!(send(Kind::Compress, IN_WINDOW), []);
        assert_eq!(send(Kind::QemuFile, IN_WINDOW), [Deviation::StreamInWindow]);
        assert_eq!(send(Kind::RegisterFinished, IN_WINDOW), []);
        assert_eq!(
            control.take_write(Some(false)),
            Some(Deviation::OutsideWindow { act: Act::Write })
        );
        assert_eq!(control.take_late_acknowledgement(), Some(Deviation::FinishedBeforeWrites));
    }

    #[test]
    fn nothing_is_held_against_either_side_for_what_the_capture_does_not_show() {
        let mut control = Control::new(false);
        assert_eq!(control.take(Source, header(Kind::RegisterFinished, 0), OUTSIDE), []);
        let mut control = Control::new(true);
        control.lose_track();
        assert_eq!(control.take(Destination, header(Kind::RegisterResult, 16), OUTSIDE), []);
    }

    #[test]
    fn lengths_follow_from_kind_and_repeat() {
        assert_eq!(judge_lengths(header(Kind::Compress, 24), 24), []);
        assert_eq!(judge_lengths(header(Kind::RamBlocksResult, 192), 192), []);
        assert_eq!(judge_lengths(header(Kind::QemuFile, 32768), 32768), []);
        let two_requests = Header { length: 48, kind: Kind::RegisterRequest, repeat: 2 };
        assert_eq!(judge_lengths(two_requests, 48), []);
        let one_result_for_two = Header { length: 16, kind: Kind::RegisterResult, repeat: 2 };
        assert_eq!(judge_lengths(one_result_for_two, 16), []);
        assert_eq!(
            judge_lengths(header(Kind::Compress, 24), 20),
            [Deviation::LengthMismatch { kind: Kind::Compress, declared: 24, carried: 20 }]
        );
        assert_eq!(
            judge_lengths(header(Kind::Ready, 1), 1),
            [Deviation::PayloadLength { kind: Kind::Ready, length: 1, expected: 0 }]
        );
        assert_eq!(
            judge_lengths(header(Kind::RamBlocksResult, 33), 33),
            [Deviation::PayloadLength { kind: Kind::RamBlocksResult, length: 33, expected: 32 }]
        );
        let too_often = Header { length: 24, kind: Kind::Compress, repeat: 4097 };
        assert_eq!(
            judge_lengths(too_often, 24),
            [Deviation::RepeatOutOfRange { kind: Kind::Compress, repeat: 4097 }]
        );
        assert_eq!(judge_lengths(header(Kind::QemuFile, 0), 0), [Deviation::EmptyStream]);
    }
}
