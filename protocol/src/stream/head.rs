//! What a migration stream says before its first section: the configuration and the commands.

use super::name::Name;
use super::reader::Reader;
use super::setup_error::{SetupError, SetupFault};
use super::words;
use crate::limits::STREAM_REQUESTS_MAX;
use alloc::vec::Vec;
use core::fmt;

const CONFIGURATION: u8 = 0x07;
const SUBSECTION: u8 = 0x05;
const COMMAND: u8 = 0x08;

const OPEN_RETURN_PATH: u16 = 1;
const PING: u16 = 2;
const POSTCOPY_ADVISE: u16 = 3;
const SWITCHOVER_START: u16 = 11;

const UUID_BYTES: usize = 16;
const TARGET_PAGE_BITS_BYTES: usize = 4;

/// Something that a stream asks for, and that this protocol version does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unsupported<'a> {
    /// The command `OPEN_RETURN_PATH`: a second connection follows, for messages to the source.
    ReturnPath,
    /// The command `POSTCOPY_ADVISE`, or a page size in the RAM block list.
    Postcopy,
    /// The capability `x-ignore-shared`: RAM that both sides can see is not sent.
    IgnoreShared,
    /// Another capability, by its name.
    Capability(Name<'a>),
    /// Another command, by its number.
    Command(u16),
}

impl fmt::Display for Unsupported<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReturnPath => f.write_str("return path (command OPEN_RETURN_PATH)"),
            Self::Postcopy => f.write_str("postcopy (command POSTCOPY_ADVISE)"),
            Self::IgnoreShared => f.write_str("ignored shared RAM (capability x-ignore-shared)"),
            Self::Capability(name) => write!(f, "capability {name}"),
            Self::Command(number) => write!(f, "command {number}"),
        }
    }
}

/// The front of a stream, as far as it can be understood.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) machine: Option<Name<'a>>,
    pub(super) unsupported: Vec<Unsupported<'a>>,
    pub(super) unread: Option<Name<'a>>,
}

impl<'a> Head<'a> {
    pub(super) fn ask(&mut self, request: Unsupported<'a>) {
        if !self.unsupported.contains(&request) {
            self.unsupported.push(request);
        }
    }

    /// Reads the configuration and the commands, which end where the first section starts.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, SetupError> {
        let mut head = Self { machine: None, unsupported: Vec::new(), unread: None };
        if reader.is_at(CONFIGURATION) {
            head.read_configuration(reader)?;
        }
        // Nothing says how long an unknown subsection is, so what follows it cannot be found.
        if head.unread.is_none() {
            head.read_commands(reader)?;
        }
        Ok(head)
    }

    fn read_configuration(&mut self, reader: &mut Reader<'a>) -> Result<(), SetupError> {
        reader.u8("configuration")?;
        let length = reader.u32("length of the machine name")?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.machine = Some(Name::new(reader.take(length, "machine name")?));
        while self.unread.is_none() && reader.is_at(SUBSECTION) {
            self.read_subsection(reader)?;
        }
        Ok(())
    }

    fn read_subsection(&mut self, reader: &mut Reader<'a>) -> Result<(), SetupError> {
        reader.u8("subsection")?;
        let name = reader.short_string("name of a subsection")?;
        let version = reader.u32("version of a subsection")?;
        match (name, version) {
            (b"configuration/capabilities", 1) => self.read_capabilities(reader)?,
            (b"configuration/uuid", 1) => {
                reader.take(UUID_BYTES, "uuid")?;
            }
            (b"configuration/target-page-bits", 1) => {
                reader.take(TARGET_PAGE_BITS_BYTES, "target page bits")?;
            }
            _ => self.unread = Some(Name::new(name)),
        }
        Ok(())
    }

    fn read_capabilities(&mut self, reader: &mut Reader<'a>) -> Result<(), SetupError> {
        let offset = reader.offset();
        let count = reader.u32("number of capabilities")?;
        //= spec/text/11-limits.md#stream
        //# [LIM-4] A destination MUST reject a stream that names more than 64 capabilities.
        if !usize::try_from(count).is_ok_and(|count| count <= STREAM_REQUESTS_MAX) {
            let fault = SetupFault::TooManyCapabilities { found: count };
            return Err(SetupError { offset, fault });
        }
        //= spec/text/08-stream.md#ram-block-list
        //# [STR-32] A destination MUST recognise every capability that the configuration names.
        for _ in 0..count {
            self.ask(match reader.short_string("name of a capability")? {
                b"x-ignore-shared" => Unsupported::IgnoreShared,
                name => Unsupported::Capability(Name::new(name)),
            });
        }
        Ok(())
    }

    //= spec/text/08-stream.md#ram-block-list
    //# [STR-31] A destination MUST recognise the return path and postcopy by the commands before
    //# the first section.
    fn read_commands(&mut self, reader: &mut Reader<'a>) -> Result<(), SetupError> {
        let mut count = 0;
        while reader.is_at(COMMAND) {
            //= spec/text/11-limits.md#stream
            //# [LIM-5] A destination MUST reject a stream that sends more than 64 commands before
            //# its first section.
            if count == STREAM_REQUESTS_MAX {
                let fault = SetupFault::TooManyCommands;
                return Err(SetupError { offset: reader.offset(), fault });
            }
            count += 1;
            reader.u8("command")?;
            let number = reader.u16("number of a command")?;
            let length = reader.u16("length of a command")?;
            reader.take(length.into(), "data of a command")?;
            match number {
                PING | SWITCHOVER_START => {}
                OPEN_RETURN_PATH => self.ask(Unsupported::ReturnPath),
                POSTCOPY_ADVISE => self.ask(Unsupported::Postcopy),
                number => self.ask(Unsupported::Command(number)),
            }
        }
        Ok(())
    }
}

/// Checks that the stream is a migration stream of the known version.
pub(super) fn read_magic(reader: &mut Reader<'_>) -> Result<(), SetupError> {
    let offset = reader.offset();
    let found = reader.u32("start of the stream")?;
    //= spec/text/08-stream.md#ram-block-list
    //# [STR-20] A destination MUST reject a stream that does not start with `QEVM` and version 3.
    if found != words::MAGIC {
        return Err(SetupError { offset, fault: SetupFault::Magic { found } });
    }
    let offset = reader.offset();
    let found = reader.u32("version of the stream")?;
    if found != words::VERSION {
        return Err(SetupError { offset, fault: SetupFault::Version { found } });
    }
    Ok(())
}
