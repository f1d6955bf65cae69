//! `dialogue.json`: all that a verdict depends on.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::suite::Transcript;

/// What a case was played with.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The number of this form.
    pub format: u32,
    /// The version of the suite.
    pub suite_version: String,
    /// The version of the protocol.
    pub protocol_version: u32,
    /// The case.
    pub case: String,
    /// What the peers are called.
    pub peer: String,
    /// Where all chance came from.
    pub seed: u64,
    /// How long the peer was waited for, in microseconds of its own time.
    pub patience_us: u64,
    /// The SHA-256 of the file with the guest.
    pub guest_sha256: String,
}

/// A case as it was played.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Dialogue {
    /// What it was played with.
    pub header: Header,
    /// What was done and seen.
    pub entries: Transcript,
}

impl Dialogue {
    /// The one form that it has as bytes: one JSON document, with an entry on each line.
    ///
    /// # Errors
    /// None that a dialogue brings about.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = b"{\"header\":".to_vec();
        serde_json::to_writer(&mut bytes, &self.header)?;
        bytes.extend_from_slice(b",\n\"entries\":[");
        for (index, entry) in self.entries.0.iter().enumerate() {
            bytes.write_all(if index == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut bytes, entry)?;
        }
        bytes.extend_from_slice(b"\n]}\n");
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::transcript::Event;
    use crate::suite::{Action, Bytes, Entry, Observation};

    #[test]
    fn it_is_one_document_with_an_entry_on_each_line() {
        let header = Header {
            format: 1,
            suite_version: "0.1.0".into(),
            protocol_version: 1,
            case: "D-CON-001".into(),
            peer: "p".into(),
            seed: u64::MAX,
            patience_us: 5,
            guest_sha256: "00".into(),
        };
        let did = Event::Did(Action::Send { message: Bytes(vec![1, 0xab]) });
        let entries = vec![
            Entry { time_us: 0, event: did },
            Entry { time_us: 7, event: Event::Saw(Observation::Sent) },
        ];
        let dialogue = Dialogue { header, entries: Transcript(entries) };
        let text = String::from_utf8(dialogue.to_bytes().unwrap()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[2], r#"{"time_us":0,"event":{"action":"send","message":"01ab"}},"#);
        assert_eq!(lines[3], r#"{"time_us":7,"event":{"observation":"sent"}}"#);
        assert_eq!(serde_json::from_str::<Dialogue>(&text).unwrap(), dialogue);
    }
}
