//! Vectors as TOML that is pleasant to read.

use std::fmt::Write as _;

use rdma_migration_conformance::codec::{Header, Kind};
use rdma_migration_conformance::vectors::bytes::{Bytes, Part};
use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_conformance::vectors::reading::{
    CapabilitiesReading, Entries, Entry, MessageReading, StreamReading, Wide,
};
use rdma_migration_conformance::vectors::vector::{
    Act, Case, Content, Dialogue, Expected, File, Reader, Side, Vector, Verdict,
};

/// Bytes of one line of digits.
const LINE_BYTES: usize = 32;

/// The text of a file.
pub(crate) fn file(file: &File) -> String {
    let mut text = format!(
        "# {}.\n# Made by the generator in spec/conformance/tests/vectors. README.md says how to \
         read it. CC0-1.0.\n\ntitle = {}\n",
        file.title,
        quoted(&file.title)
    );
    for each in &file.vector {
        text.push('\n');
        vector(&mut text, each);
    }
    text
}

pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn vector(text: &mut String, vector: &Vector) {
    text.push_str("[[vector]]\n");
    line(text, "id", &quoted(&vector.id));
    line(text, "title", &quoted(&vector.title));
    line(text, "requirements", &list(vector.requirements.iter().map(|id| quoted(id))));
    if let Some(reader) = vector.reader {
        let reader = match reader {
            Reader::Source => "source",
            Reader::Destination => "destination",
            Reader::Observer => "observer",
        };
        line(text, "reader", &quoted(reader));
    }
    let input = match &vector.content {
        Content::PrivateData(_) => "private_data",
        Content::Message(_) => "message",
        Content::Stream(_) => "stream",
        Content::StreamEnd(_) => "stream_end",
        Content::Dialogue(_) => "dialogue",
    };
    line(text, "input", &quoted(input));
    match &vector.content {
        Content::PrivateData(case) => {
            single(text, case, &[8], |reading| capabilities(*reading));
        }
        Content::Message(case) => {
            let bytes = case.bytes.expand();
            single(text, case, &message_lines(&bytes), |reading| message(reading, "\n  "));
        }
        Content::Stream(case) => single(text, case, &[], stream),
        Content::StreamEnd(case) => single(text, case, &[], |reading| {
            format!("{{ description = {} }}", reading.description)
        }),
        Content::Dialogue(content) => dialogue(text, content),
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    writeln!(text, "{key} = {value}").unwrap();
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn single<Reading: Clone>(
    text: &mut String,
    case: &Case<Reading>,
    lines: &[usize],
    reading: impl Fn(&Reading) -> String,
) {
    match &case.bytes {
        Bytes::Whole { hex } if hex.0.len() <= LINE_BYTES + 16 => {
            line(text, "hex", &quoted(&digits(&hex.0, lines, " ")));
        }
        Bytes::Whole { hex } => {
            line(text, "hex", &format!("\"\"\"\n{}\"\"\"", digits(&hex.0, lines, "\n")));
        }
        Bytes::Parts { parts } => {
            line(text, "parts", &format!("[\n{}]", parts.iter().map(part).collect::<String>()));
        }
    }
    line(text, key(&case.expected), &value(&case.expected, reading));
}

fn part(part: &Part) -> String {
    match part {
        Part::Repeated { hex, times: 1 } => {
            format!("  {{ hex = {} }},\n", quoted(&digits(&hex.0, &[], " ")))
        }
        Part::Repeated { hex, times } => {
            let hex = quoted(&digits(&hex.0, &[], " "));
            format!("  {{ hex = {hex}, times = {times} }},\n")
        }
        Part::Omitted { omitted, sha256 } => {
            format!("  {{ omitted = {omitted}, sha256 = {} }},\n", quoted(sha256))
        }
    }
}

/// Digits in pairs, a line for each of these numbers of bytes, and the rest in lines of its own. The
/// bytes of a line stand in groups of four.
fn digits(bytes: &[u8], lines: &[usize], between: &str) -> String {
    let mut rest = bytes;
    let mut text = Vec::new();
    let mut lines = lines.iter();
    while !rest.is_empty() {
        let bytes = lines.next().copied().unwrap_or(LINE_BYTES).min(rest.len());
        let (now, later) = rest.split_at(bytes);
        let group = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text.push(now.chunks(4).map(group).collect::<Vec<String>>().join(" "));
        rest = later;
    }
    text.join(between)
}

/// The lines of a message: its header, and each entry.
fn message_lines(message: &[u8]) -> Vec<usize> {
    let mut lines = vec![Header::BYTES];
    let entry_bytes = Header::decode(message).ok().and_then(|(header, _)| match header.kind {
        Kind::QemuFile => None,
        kind => kind.command_bytes(),
    });
    if let Some(bytes) = entry_bytes {
        lines.extend(vec![bytes; message.len() / bytes]);
    }
    lines
}

fn key<Reading>(expected: &Expected<Reading>) -> &'static str {
    match expected {
        Expected::Reading { .. } => "reading",
        Expected::Errors { .. } => "errors",
    }
}

fn value<Reading>(expected: &Expected<Reading>, show: impl Fn(&Reading) -> String) -> String {
    match expected {
        Expected::Reading { reading } => show(reading),
        Expected::Errors { errors } => names(errors),
    }
}

fn names(errors: &[ErrorName]) -> String {
    list(errors.iter().map(|error| quoted(&error.to_string())))
}

fn capabilities(CapabilitiesReading { version, flags }: CapabilitiesReading) -> String {
    format!("{{ version = {version}, flags = {flags} }}")
}

fn message(reading: &MessageReading, between: &str) -> String {
    let mut text = format!("{{ type = {}, length = {}", quoted(&reading.kind), reading.length);
    if let Some(repeat) = reading.repeat {
        write!(text, ", repeat = {repeat}").unwrap();
    }
    if let Some(entries) = &reading.entries {
        let entries: Vec<_> = entries.iter().map(entry).collect();
        let inline = between == " " || entries.is_empty();
        let (start, end) = if inline { ("", "") } else { ("\n  ", ",\n") };
        let entries = entries.join(&format!(",{between}"));
        write!(text, ", entries = [{start}{entries}{end}]").unwrap();
    }
    text.push_str(" }");
    text
}

fn wide(Wide(value): Wide) -> String {
    quoted(&format!("{value:#x}"))
}

fn entry(Entries { entry, times }: &Entries) -> String {
    let mut fields = match *entry {
        Entry::RamBlock { remote_address, offset, length, rkey } => format!(
            "remote_address = {}, offset = {}, length = {}, rkey = {rkey}",
            wide(remote_address),
            wide(offset),
            wide(length)
        ),
        Entry::Compress { value, block, offset, length } => format!(
            "value = {value}, block = {block}, offset = {}, length = {}",
            wide(offset),
            wide(length)
        ),
        Entry::RegisterRequest { address, block, chunks } => {
            format!("address = {}, block = {block}, chunks = {}", wide(address), wide(chunks))
        }
        Entry::RegisterResult { rkey, host_address } => {
            format!("rkey = {rkey}, host_address = {}", wide(host_address))
        }
        Entry::UnregisterRequest { chunk, block } => {
            format!("chunk = {}, block = {block}", wide(chunk))
        }
    };
    if *times != 1 {
        write!(fields, ", times = {times}").unwrap();
    }
    format!("{{ {fields} }}")
}

fn stream(reading: &StreamReading) -> String {
    let block = |block: &rdma_migration_conformance::vectors::reading::NamedBlock| {
        let name = quoted(&block.name);
        let page_size = block.page_size.map(|bytes| format!(", page_size = {}", wide(bytes)));
        let length = wide(block.length);
        format!("\n  {{ name = {name}, length = {length}{} }},", page_size.unwrap_or_default())
    };
    format!(
        "{{ capabilities = {}, return_path = {}, postcopy = {}, blocks = [{}\n] }}",
        list(reading.capabilities.iter().map(|name| quoted(name))),
        reading.return_path,
        reading.postcopy,
        reading.blocks.iter().map(block).collect::<String>()
    )
}

fn dialogue(text: &mut String, dialogue: &Dialogue) {
    if let Some(bytes) = dialogue.chunk_bytes {
        line(text, "chunk_bytes", &wide(bytes));
    }
    line(text, "source_blocks", &list(dialogue.source_blocks.iter().copied().map(wide)));
    text.push_str("steps = [\n");
    for step in &dialogue.steps {
        let from = match step.from {
            Side::Source => "source",
            Side::Destination => "destination",
        };
        writeln!(text, "  {{ from = {}, {} }},", quoted(from), act(&step.act)).unwrap();
    }
    text.push_str("]\n");
    let verdict = match &dialogue.verdict {
        Verdict::Accepted(_) => quoted("accepted"),
        Verdict::Refused { refused_at, errors, requirement } => format!(
            "{{ refused_at = {refused_at}, errors = {}, requirement = {} }}",
            names(errors),
            quoted(requirement)
        ),
    };
    line(text, "verdict", &verdict);
}

fn act(act: &Act) -> String {
    match act {
        Act::Connect { hex: private_data, expected, .. } => {
            let data = quoted(&digits(&private_data.0, &[], " "));
            let value = value(expected, |reading| capabilities(*reading));
            format!("input = \"private_data\", hex = {data}, {} = {value}", key(expected))
        }
        Act::Write { write } => format!(
            "write = {{ address = {}, rkey = {}, length = {} }}",
            wide(write.address),
            write.rkey,
            wide(write.length)
        ),
        Act::Message(case) => {
            let bytes = match &case.bytes {
                Bytes::Whole { hex } => {
                    let lines = message_lines(&hex.0);
                    format!("hex = {}", quoted(&digits(&hex.0, &lines, " ")))
                }
                Bytes::Parts { parts } => {
                    let parts: String = parts.iter().map(part).collect();
                    format!("parts = [{}]", parts.trim_end().replace('\n', "").trim_start())
                }
            };
            let value = value(&case.expected, |reading| message(reading, " "));
            format!("{bytes}, {} = {value}", key(&case.expected))
        }
    }
}
