//! What happens to the machine: messages, answers, and news of its connection.

use rdma_migration_protocol::transport::{
    Completion, ConnectionEvent, FailedOperation, Operation, TransportError,
};
use rdma_migration_protocol::wire::{Header, Kind};

use super::{Driver, ORDERS_MAX, Subject};
use crate::answers::{self, ERRORS, badly, well};
use crate::script::Script;

impl<M: Subject> Driver<'_, M> {
    pub(super) fn receive_due(&mut self, honest: bool, script: &mut Script<'_>) {
        self.poll();
        let waits =
            if M::SENDS_COMMANDS { self.reply.is_some() || !self.ready } else { self.ready };
        if waits {
            let bytes = M::due(&mut self.made_up, self.reply, honest, script);
            self.receive(&bytes);
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        if self.posted.is_empty() || self.broken {
            return;
        }
        let buffer = self.posted.remove(0);
        self.note_received(bytes);
        self.complete(Completion::Received { buffer, bytes });
    }

    fn note_received(&mut self, bytes: &[u8]) {
        match Header::parse(bytes).map(|header| header.kind) {
            Ok(Kind::Ready) if M::SENDS_COMMANDS => self.ready = true,
            Ok(kind) if Some(kind) == self.reply => self.reply = None,
            Ok(_) if !M::SENDS_COMMANDS => self.ready = false,
            Ok(_) | Err(_) => {}
        }
    }

    pub(super) fn answer_one(&mut self, which: usize, error: Option<TransportError>) {
        if !self.open.is_empty() {
            let at = which % self.open.len();
            self.answer(at, error, which % 4 == 3);
        }
    }

    pub(super) fn cooperate(&mut self, zero: bool) {
        self.poll();
        for _ in 0..ORDERS_MAX {
            if self.open.is_empty() {
                return;
            }
            self.answer(0, None, zero);
            self.poll();
        }
        panic!("no end of work");
    }

    fn answer(&mut self, at: usize, error: Option<TransportError>, zero: bool) {
        let operation = self.open.remove(at);
        if operation == Operation::Disconnect {
            self.flush();
        }
        let on_queue_pair = matches!(operation, Operation::Send { .. } | Operation::WriteRam(_));
        let error = match error {
            None if on_queue_pair && self.broken => Some(TransportError::Flushed),
            error => error,
        };
        let completion = match error {
            None => well(operation, zero),
            Some(error) => badly(operation, error).or(well(operation, zero)),
        };
        self.broken |= on_queue_pair && error.is_some();
        let kept = matches!(operation, Operation::DeregisterMemory { .. }) && error.is_some();
        self.left_behind |= kept;
        if let Some(
            Completion::MemoryDeregistered { region }
            | Completion::Failed { operation: FailedOperation::RegisterMemory { region }, .. },
        ) = completion
        {
            self.regions.retain(|(held, _)| *held != region);
        }
        if let Some(completion) = completion {
            self.complete(completion);
        }
    }

    fn flush(&mut self) {
        while let Some(buffer) = (!self.posted.is_empty()).then(|| self.posted.remove(0)) {
            let operation = FailedOperation::Receive { buffer };
            self.complete(Completion::Failed { operation, error: TransportError::Flushed });
        }
        let on_queue_pair =
            |open: &Operation| matches!(open, Operation::Send { .. } | Operation::WriteRam(_));
        while let Some(at) = self.open.iter().position(on_queue_pair) {
            let flushed = badly(self.open.remove(at), TransportError::Flushed);
            self.complete(flushed.expect("it can fail"));
        }
    }

    pub(super) fn fail_receive(&mut self, error: TransportError) {
        if !self.posted.is_empty() {
            let operation = FailedOperation::Receive { buffer: self.posted.remove(0) };
            self.broken = true;
            self.complete(Completion::Failed { operation, error });
        }
    }

    pub(super) fn stray(&mut self, script: &mut Script<'_>) {
        if self.manner.faithful {
            return;
        }
        self.strayed = true;
        if script.yes() {
            let buffer = answers::buffer(script);
            self.posted.retain(|posted| *posted != buffer);
            let bytes = self.made_up.any(script).to_vec();
            // The machine cannot tell that the peer has sent no such thing.
            self.note_received(&bytes);
            self.complete(Completion::Received { buffer, bytes: &bytes });
        } else {
            let completion = answers::any(script);
            // What answers an open operation by chance counts as its answer.
            let answers_one = |open: &Operation| match completion {
                Completion::Sent | Completion::Failed { operation: FailedOperation::Send, .. } => {
                    matches!(open, Operation::Send { .. })
                }
                _ => false,
            };
            if let Some(at) = self.open.iter().position(answers_one) {
                self.open.remove(at);
            }
            if let Completion::Failed { operation: FailedOperation::Receive { buffer }, .. } =
                completion
            {
                self.posted.retain(|posted| *posted != buffer);
            }
            self.complete(completion);
        }
    }

    pub(super) fn connection(&mut self, which: u8, script: &mut Script<'_>) {
        const PINNED: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
        const PLAIN: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 0];
        let (event, fits) = match which {
            0 => (ConnectionEvent::Established { private_data: &PLAIN }, self.connecting),
            1 => (ConnectionEvent::Established { private_data: &PINNED }, self.connecting),
            2 => (ConnectionEvent::Established { private_data: script.short() }, self.connecting),
            3 => (ConnectionEvent::Rejected, self.connecting && M::SENDS_COMMANDS),
            4 => {
                let error = script.pick(&ERRORS);
                (ConnectionEvent::Failed { error }, self.connecting)
            }
            5 => {
                let private_data = script.pick(&[&PLAIN, &PINNED]);
                let fits = !M::SENDS_COMMANDS && !self.requested;
                (ConnectionEvent::Requested { private_data }, fits)
            }
            6 => {
                let private_data = script.short();
                let fits = !M::SENDS_COMMANDS && !self.requested;
                (ConnectionEvent::Requested { private_data }, fits)
            }
            _ => (ConnectionEvent::Disconnected, true),
        };
        if !fits && self.manner.faithful {
            return;
        }
        self.strayed |= !fits;
        match event {
            ConnectionEvent::Requested { .. } => self.requested = true,
            ConnectionEvent::Disconnected => self.lost = true,
            _ => self.connecting = false,
        }
        self.event(event);
        self.poll();
    }
}
