//! The bytes of a message, each with the name of its field.

use core::ops::Range;

use crate::codec::{Header, Kind};

/// Some bytes of a message that belong together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Field {
    /// Where they are in the message.
    pub(super) bytes: Range<usize>,
    /// What they are.
    pub(super) name: &'static str,
    /// The number that they say, or what it stands for.
    pub(super) value: String,
}

/// The header, in the order of its fields.
const HEADER: [(&str, usize); 4] = [("length", 4), ("type", 4), ("repeat", 4), (PADDING, 4)];

const PADDING: &str = "padding";

/// The fields of a command of each kind, in their order, and their bytes.
const fn layout(kind: Kind) -> &'static [(&'static str, usize)] {
    match kind {
        Kind::RamBlocksResult => {
            &[("address", 8), ("RAM address", 8), ("length", 8), ("rkey", 4), (PADDING, 4)]
        }
        Kind::Compress => &[("value", 4), ("block", 4), ("RAM address", 8), ("length", 8)],
        Kind::RegisterRequest => {
            &[("RAM address", 8), ("block", 4), (PADDING, 4), ("further chunks", 8)]
        }
        Kind::RegisterResult => &[("rkey", 4), (PADDING, 4), ("block's address", 8)],
        Kind::UnregisterRequest => &[("chunk", 8), ("block", 4), (PADDING, 4), ("unused", 8)],
        _ => &[],
    }
}

/// The fields of a message of at most `commands` commands; whatever follows is one field more.
pub(super) fn fields(message: &[u8], commands: usize) -> Vec<Field> {
    let Ok((header, payload)) = Header::decode(message) else {
        return rest(message, 0, "no header");
    };
    let mut fields = Vec::new();
    let mut at = 0;
    for (name, bytes) in HEADER {
        fields.push(field(message, &mut at, name, bytes));
    }
    if let Some(kind) = fields.get_mut(1) {
        kind.value = format!("{}, {}", header.kind.number(), header.kind);
    }
    if let Some(command_bytes) = header.kind.command_bytes() {
        for _ in 0..(payload.len() / command_bytes).min(commands) {
            for (name, bytes) in layout(header.kind) {
                fields.push(field(message, &mut at, name, *bytes));
            }
        }
    }
    let name = match header.kind {
        Kind::QemuFile => "stream",
        kind if kind.command_bytes().is_some() => "what follows",
        _ => "payload",
    };
    fields.extend(rest(message, at, name));
    fields
}

fn field(message: &[u8], at: &mut usize, name: &'static str, bytes: usize) -> Field {
    let range = *at..*at + bytes;
    *at = range.end;
    let bytes = message.get(range.clone()).unwrap_or_default();
    let value = bytes.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    let value = match name {
        PADDING => "ignored".to_owned(),
        name if name.contains("address") || name == "rkey" => format!("{value:#x}"),
        _ => value.to_string(),
    };
    Field { bytes: range, name, value }
}

fn rest(message: &[u8], at: usize, name: &'static str) -> Vec<Field> {
    let length = message.len() - at.min(message.len());
    match length {
        0 => Vec::new(),
        _ => vec![Field { bytes: at..message.len(), name, value: format!("{length} bytes") }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{
        Command, Compress, RamBlock, RegisterRequest, RegisterResult, UnregisterRequest,
    };
    use crate::suite::play::Message;

    #[test]
    fn the_fields_are_where_the_codec_has_them() {
        let commands = [
            Command::RamBlock(RamBlock { remote_address: 1, offset: 2, length: 3, rkey: 4 }),
            Command::Compress(Compress { value: 1, block: 2, offset: 3, length: 4 }),
            Command::RegisterRequest(RegisterRequest { address: 1, block: 2, chunks: 3 }),
            Command::RegisterResult(RegisterResult { rkey: 1, host_address: 2 }),
            Command::UnregisterRequest(UnregisterRequest { chunk: 1, block: 2 }),
        ];
        let kinds = [
            (Kind::RamBlocksResult, "0x1 0x2 3 0x4 ignored"),
            (Kind::Compress, "1 2 0x3 4"),
            (Kind::RegisterRequest, "0x1 2 ignored 3"),
            (Kind::RegisterResult, "0x1 ignored 0x2"),
            (Kind::UnregisterRequest, "1 2 ignored 0"),
        ];
        for (command, (kind, expected)) in commands.iter().zip(kinds) {
            let message = Message::of_commands(kind, &[*command]);
            let fields = fields(&message, 8);
            let values: Vec<_> = fields.iter().skip(4).map(|field| field.value.as_str()).collect();
            assert_eq!(values.join(" "), expected, "{kind}");
            assert_eq!(fields.last().unwrap().bytes.end, message.len());
            assert_eq!(Some(message.len() - 16), kind.command_bytes());
        }
    }

    #[test]
    fn every_byte_belongs_to_one_field() {
        let mut message = Message::encode(Kind::RegisterRequest, 9, &[7; 24 * 9 + 5]);
        for _ in 0..message.len() {
            let mut at = 0;
            for field in fields(&message, 3) {
                assert_eq!(field.bytes.start, at);
                at = field.bytes.end;
            }
            assert_eq!(at, message.len());
            message.pop();
        }
    }
}
