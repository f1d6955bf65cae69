//! What can be told of a recording.

use std::io::{self, Write};
use std::ops::ControlFlow;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table, TableComponent};
use rdma_migration_protocol::stream::end;
use serde::{Deserialize, Serialize};

use super::{Recording, RecordingError, Round};
use crate::inspect::printable;
use crate::size::Size;

/// Rounds that are shown as text. JSON has them all.
const ROUNDS_SHOWN: usize = 40;

/// What can be told of a recording, all of whose files have been read and checked.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The folder.
    pub folder: String,
    /// Whether it can be played.
    pub complete: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Who wrote it.
    pub written_by: String,
    /// The machine type of the guest.
    pub machine: Option<String>,
    /// Whether all RAM was pinned.
    pub pin_all: bool,
    /// The chunk size in bytes.
    pub chunk_bytes: u64,
    /// The RAM blocks.
    pub blocks: Vec<InspectedBlock>,
    /// Bytes of the stream.
    pub stream_bytes: u64,
    /// Messages in which it came.
    pub stream_messages: u64,
    /// The SHA-256 of the stream.
    pub stream_sha256: String,
    /// Whether the stream ends with a description of the device state.
    pub vm_description: bool,
    /// The sections of device state that the description names.
    pub devices: Vec<Device>,
    /// The rounds.
    pub rounds: Vec<InspectedRound>,
}

/// A RAM block of a recording.
#[derive(Clone, Debug, Serialize)]
pub struct InspectedBlock {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Bytes of it in pages that are zero.
    pub zero_bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// A section of device state.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Device {
    /// What the device calls itself.
    pub name: String,
    /// Which of several devices of that name.
    pub instance: u64,
    /// Where in the stream its section starts, if it was found there.
    pub offset: Option<u64>,
}

/// A round of a recording.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct InspectedRound {
    /// Bytes of the stream before it.
    pub stream_bytes: u64,
    /// Whether RAM was looked at after it.
    pub looked_at: bool,
    /// Runs of pages that it brought.
    pub runs: usize,
    /// Bytes of them that were not zero.
    pub ram_bytes: u64,
    /// Bytes of them that were zero.
    pub zero_bytes: u64,
}

impl Inspection {
    /// Reads all of a recording. `progress` is told the length of each piece of RAM and may end it.
    ///
    /// # Errors
    /// [`RecordingError`] if the RAM is not what was written, or `progress` has ended it.
    pub fn of(
        recording: &Recording,
        mut progress: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Self, RecordingError> {
        let manifest = recording.manifest();
        let mut blocks = Vec::new();
        for (index, entry) in manifest.blocks.iter().enumerate() {
            let contents = recording.read_block(index, |_, piece| {
                progress(u64::try_from(piece.len()).unwrap_or(u64::MAX))
            })?;
            blocks.push(InspectedBlock {
                name: entry.name.clone(),
                bytes: entry.bytes,
                zero_bytes: contents.zero_bytes,
                sha256: entry.sha256.clone(),
            });
        }
        let behind = recording.rounds().last().map_or(0, |round| round.stream_bytes);
        Ok(Self {
            folder: recording.folder().display().to_string(),
            complete: manifest.complete,
            reason: manifest.reason.clone(),
            written_by: manifest.written_by.clone(),
            machine: manifest.machine.clone(),
            pin_all: manifest.pin_all,
            chunk_bytes: manifest.chunk_bytes,
            blocks,
            stream_bytes: manifest.stream.bytes,
            stream_messages: manifest.stream.messages,
            stream_sha256: manifest.stream.sha256.clone(),
            vm_description: manifest.vm_description,
            devices: devices(recording.stream(), behind),
            rounds: recording.rounds().iter().map(InspectedRound::from).collect(),
        })
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_text(&self, mut writer: impl Write) -> io::Result<()> {
        writeln!(writer, "{}\n", self.summary())?;
        writeln!(writer, "{}\n", self.block_table())?;
        if !self.rounds.is_empty() {
            writeln!(writer, "{}", self.round_table())?;
            match self.rounds.len().checked_sub(ROUNDS_SHOWN) {
                Some(more @ 1..) => writeln!(writer, "... and {more} more\n")?,
                _ => writeln!(writer)?,
            }
        }
        if !self.devices.is_empty() {
            writeln!(writer, "{}\n", self.device_table())?;
        }
        match &self.reason {
            None => writeln!(writer, "complete: every file is as it was written"),
            Some(reason) => writeln!(writer, "INCOMPLETE: {}", printable(reason)),
        }
    }

    /// Writes it for programs: one JSON object.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_json(&self, mut writer: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut writer, self)?;
        writeln!(writer)
    }

    fn summary(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(NOTHING);
        let mut row = |name: &str, value: String| {
            table.add_row([name, &value]);
        };
        let none = || "not in the stream".to_owned();
        row("machine", self.machine.as_deref().map_or_else(none, printable));
        let mode = if self.pin_all { "all RAM pinned" } else { "dynamic registration" };
        row("received with", format!("{mode}, chunks of {}", Size(self.chunk_bytes)));
        row("written by", printable(&self.written_by));
        let bytes: u64 = self.blocks.iter().map(|block| block.bytes).sum();
        let zero: u64 = self.blocks.iter().map(|block| block.zero_bytes).sum();
        row("RAM", format!("{}, {} zero", Size(bytes), share(zero, bytes)));
        let end = if self.vm_description { "" } else { ", without a description at its end" };
        row(
            "stream",
            format!("{} in {} messages{end}", Size(self.stream_bytes), self.stream_messages),
        );
        row("rounds", self.rounds.len().to_string());
        table
    }

    fn block_table(&self) -> Table {
        let mut table = headed(["RAM block", "length", "zero", "SHA-256"]);
        for block in &self.blocks {
            table.add_row([
                printable(&block.name),
                Size(block.bytes).to_string(),
                share(block.zero_bytes, block.bytes),
                short(&block.sha256),
            ]);
        }
        let stream =
            ["(stream)", &Size(self.stream_bytes).to_string(), "", &short(&self.stream_sha256)];
        table.add_row(stream);
        align_right(&mut table, &[1, 2]);
        table
    }

    fn round_table(&self) -> Table {
        let mut table = headed(["round", "at byte", "runs", "RAM", "zero", ""]);
        for (number, round) in self.rounds.iter().enumerate().take(ROUNDS_SHOWN) {
            table.add_row([
                number.to_string(),
                round.stream_bytes.to_string(),
                round.runs.to_string(),
                Size(round.ram_bytes).to_string(),
                Size(round.zero_bytes).to_string(),
                if round.looked_at { String::new() } else { "not looked at".to_owned() },
            ]);
        }
        align_right(&mut table, &[0, 1, 2, 3, 4]);
        table
    }

    fn device_table(&self) -> Table {
        let mut table = headed(["device state", "instance", "at byte"]);
        for device in &self.devices {
            table.add_row([
                printable(&device.name),
                device.instance.to_string(),
                device.offset.map(|offset| offset.to_string()).unwrap_or_default(),
            ]);
        }
        align_right(&mut table, &[1, 2]);
        table
    }
}

impl From<&Round> for InspectedRound {
    fn from(round: &Round) -> Self {
        let (zero_bytes, ram_bytes) = round.bytes();
        let (stream_bytes, looked_at) = (round.stream_bytes, round.looked_at);
        Self { stream_bytes, looked_at, runs: round.runs.len(), ram_bytes, zero_bytes }
    }
}

fn headed<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_header(header);
    table
}

fn align_right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn short(digest: &str) -> String {
    digest.chars().take(16).collect()
}

/// What part of a whole something is, in percent, never shown as all or nothing where it is not.
fn share(part: u64, whole: u64) -> String {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    match percent {
        0 if part > 0 => "< 1 %".to_owned(),
        percent => format!("{percent} %"),
    }
}

/// As much as is read of the description of the device state.
#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    devices: Vec<DescribedDevice>,
}

#[derive(Deserialize)]
struct DescribedDevice {
    name: String,
    #[serde(default)]
    instance_id: u64,
}

/// The devices that the description names, and where their sections start behind byte `from` of the
/// stream.
fn devices(stream: &[u8], from: u64) -> Vec<Device> {
    let described = end::vm_description(stream).and_then(|text| serde_json::from_slice(text).ok());
    let Description { devices } = described.unwrap_or(Description { devices: Vec::new() });
    let mut at = usize::try_from(from).unwrap_or(usize::MAX);
    let found = devices.into_iter().map(|DescribedDevice { name, instance_id }| {
        let offset = find_section(stream, at, &name, instance_id);
        at = offset.map_or(at, |offset| offset + 1);
        let offset = offset.and_then(|offset| u64::try_from(offset).ok());
        Device { name, instance: instance_id, offset }
    });
    found.collect()
}

/// Where a section of this name starts: start byte, number, name behind its length, instance.
fn find_section(stream: &[u8], from: usize, name: &str, instance: u64) -> Option<usize> {
    const SECTION_FULL: u8 = 0x04;
    const NUMBER_BYTES: usize = 4;
    let length = u8::try_from(name.len()).ok()?;
    let instance = u32::try_from(instance).ok()?.to_be_bytes();
    let named = [&[length], name.as_bytes(), &instance].concat();
    let head = 1 + NUMBER_BYTES;
    let rest = stream.get(from..)?;
    let found = rest.windows(head + named.len()).position(|window| {
        window.first() == Some(&SECTION_FULL) && window.get(head..) == Some(&*named)
    });
    Some(from + found?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_named_and_found_in_the_order_of_the_description() {
        let description = br#"{"devices":[{"name":"timer","instance_id":0},{"name":"cpu","instance_id":1},{"name":"gone","instance_id":0}]}"#;
        let length = u32::try_from(description.len()).unwrap().to_be_bytes();
        let stream = [
            &b"\x04\0\0\0\x07\x05timer\0\0\0\0"[..],
            b"\x04\0\0\0\x08\x03cpu\0\0\0\x01",
            &[0, 6],
            &length,
            description,
        ]
        .concat();
        let found = devices(&stream, 0);
        let found: Vec<_> = found.iter().map(|device| (&*device.name, device.offset)).collect();
        assert_eq!(found, [("timer", Some(0)), ("cpu", Some(15)), ("gone", None)]);
        assert_eq!(devices(b"no description", 0), []);
    }

    #[test]
    fn a_share_is_not_rounded_to_nothing() {
        assert_eq!(share(0, 0), "0 %");
        assert_eq!(share(1, 1 << 40), "< 1 %");
        assert_eq!(share((1 << 40) - 1, 1 << 40), "99 %");
        assert_eq!(share(7, 7), "100 %");
    }
}
