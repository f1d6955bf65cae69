//! A control message as the suite reads and writes it.

use super::{Stop, breach};
use crate::codec::{Command, Header, Kind};

/// A message with its header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The header.
    pub header: Header,
    /// What follows it.
    pub payload: Vec<u8>,
}

impl Message {
    /// Reads a message, and checks of it what holds for every kind.
    ///
    /// # Errors
    /// A finding if its length is not what its header says.
    pub fn decode(bytes: &[u8]) -> Result<Self, Stop> {
        let (header, payload) = Header::decode(bytes).map_err(|short| {
            breach("CTL-1", format!("it sent {} bytes as a message", short.present))
        })?;
        let payload = payload.to_vec();
        if usize::try_from(header.length) != Ok(payload.len()) {
            let (says, follow) = (header.length, payload.len());
            let says = format!("the header announces {says} bytes, and {follow} follow");
            return Err(breach("CTL-1", says));
        }
        Ok(Self { header, payload })
    }

    /// The bytes of a message whose header fits its payload.
    #[must_use]
    pub fn encode(kind: Kind, repeat: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        Self::with_header(Header { length, kind, repeat }, payload)
    }

    /// The bytes of a message with any header.
    #[must_use]
    pub fn with_header(header: Header, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Header::BYTES + payload.len());
        header.encode(&mut bytes);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// The bytes of a message of commands.
    #[must_use]
    pub fn of_commands(kind: Kind, commands: &[Command]) -> Vec<u8> {
        let mut payload = Vec::new();
        for command in commands {
            command.encode(&mut payload);
        }
        Self::encode(kind, u32::try_from(commands.len()).unwrap_or(u32::MAX), &payload)
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.header.kind
    }

    /// The commands that it carries.
    #[must_use]
    pub fn commands(&self) -> Vec<Command> {
        Command::decode_all(self.kind(), &self.payload)
    }
}
