//! What is said of one side of a migration over a real link, at its end.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table, TableComponent};
use rdma_migration_protocol::address::BlockIndex;
use rdma_migration_protocol::connection::Closed;
use rdma_migration_protocol::transport::Statistics;
use rdma_migration_protocol::wire::Kind;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::guest_memory::GuestMemory;
use crate::inspect::printable;
use crate::page::{PIECE, for_each_piece};
use crate::size::{Rate, Size};

/// One side of a migration that has ended.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Transfer {
    /// Whether all of the guest has arrived.
    pub completed: bool,
    /// Whether somebody interrupted it.
    pub interrupted: bool,
    /// Why it did not complete.
    pub failure: Option<String>,
    /// What the adapter or the system said of that, in more detail.
    pub cause: Option<String>,
    /// Who may run the guest, as far as this side knows: `source`, `destination` or `undecided`.
    pub guest_owner: String,
    /// Regions that are still registered.
    pub regions_left: usize,
    /// The recording, if there is one.
    pub recording: Option<String>,
    /// The address of the other side.
    pub peer: Option<String>,
    /// The RDMA device.
    pub device: Option<String>,
    /// The machine type of the guest, if the stream names it.
    pub machine: Option<String>,
    /// Whether all RAM was pinned.
    pub pin_all: bool,
    /// Rounds of RAM.
    pub rounds: usize,
    /// From the call for a connection to the connection, at a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_nanoseconds: Option<u64>,
    /// From the connection to the end of the stream, or to the end of this side.
    pub nanoseconds: u64,
    /// From the stop of the guest until everything had arrived, at a source whose guest runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime_nanoseconds: Option<u64>,
    /// Processor time of this process from then on, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor_nanoseconds: Option<u64>,
    /// Bytes of stream.
    pub stream_bytes: u64,
    /// The SHA-256 of the stream.
    pub stream_sha256: Option<String>,
    /// RDMA WRITEs of this side.
    pub writes: u64,
    /// Bytes of RAM in them.
    pub bytes_written: u64,
    /// Bytes of RAM in zero runs.
    pub bytes_zero: u64,
    /// Registrations of guest RAM at this side.
    pub registrations: u64,
    /// The most bytes of guest RAM that were registered here at any one time.
    pub registered_bytes_peak: u64,
    /// Control messages in both directions, by kind.
    pub control_messages: BTreeMap<&'static str, u64>,
    /// The RAM blocks.
    pub blocks: Vec<TransferredBlock>,
}

/// A RAM block of a migration.
#[derive(Clone, Debug, Serialize)]
pub struct TransferredBlock {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, at the end.
    pub sha256: String,
}

/// The SHA-256 of a RAM block; of one that is shorter than it should be, a text that is none.
#[must_use]
pub fn sha256_of_block(memory: &impl GuestMemory, block: BlockIndex, length: u64) -> String {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; PIECE];
    let read = for_each_piece(length, |offset, length| {
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        hash.update(memory.read(block, offset, bytes).then_some(&*bytes).ok_or(())?);
        Ok(())
    });
    match read {
        Ok(()) => hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        Err(()) => "unreadable".to_owned(),
    }
}

/// Nanoseconds that the processors have spent on this process so far, as Linux counts them: in ticks.
/// `None` where there is no telling.
#[must_use]
pub fn processor_time() -> Option<u64> {
    const TICK_NANOSECONDS: u64 = 10_000_000;
    let said = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, the second field, may hold spaces.
    let (_, fields) = said.rsplit_once(')')?;
    let ticks = |at| fields.split_whitespace().nth(at)?.parse::<u64>().ok();
    let (user, system) = (ticks(11)?, ticks(12)?);
    user.checked_add(system)?.checked_mul(TICK_NANOSECONDS)
}

/// Nanoseconds that the processors have spent on this process since [`processor_time`] gave `before`.
#[must_use]
pub fn processor_time_since(before: Option<u64>) -> Option<u64> {
    processor_time()?.checked_sub(before?)
}

impl Transfer {
    /// What the machine and the statistics tell.
    #[must_use]
    pub fn of(closed: Option<&Closed>, failure: Option<String>, statistics: &Statistics) -> Self {
        let messages = statistics.messages_sent.iter().zip(statistics.messages_received);
        let counted = Kind::ALL.iter().zip(messages);
        Self {
            completed: failure.is_none(),
            failure,
            guest_owner: closed.map_or_else(|| "source".to_owned(), |end| end.guest.to_string()),
            regions_left: closed.map_or(0, |closed| closed.regions_left),
            stream_bytes: statistics.stream_bytes,
            writes: statistics.writes,
            bytes_written: statistics.bytes_written,
            bytes_zero: statistics.bytes_zero,
            registrations: statistics.registrations,
            registered_bytes_peak: statistics.registered_bytes_peak,
            control_messages: counted
                .map(|(kind, (sent, received))| (kind.name(), sent + received))
                .filter(|(_, count)| *count > 0)
                .collect(),
            ..Self::default()
        }
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_text(&self, mut writer: impl Write) -> io::Result<()> {
        writeln!(writer, "{}\n", self.summary())?;
        if !self.blocks.is_empty() {
            writeln!(writer, "{}\n", self.block_table())?;
        }
        writeln!(writer, "{}", self.verdict())
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
        let time = Duration::from_nanos(self.nanoseconds);
        let mut table = Table::new();
        table.load_preset(NOTHING);
        let mut row = |name: &str, value: String| {
            table.add_row([name, &value]);
        };
        if let Some(machine) = &self.machine {
            row("machine", printable(machine));
        }
        let device = self.device.as_deref().unwrap_or("no device");
        row("peer", format!("{} over {device}", self.peer.as_deref().unwrap_or("none")));
        let mode = if self.pin_all { "all RAM pinned" } else { "dynamic registration" };
        row("mode", mode.to_owned());
        row("time", format!("{:.3} s", time.as_secs_f64()));
        if let Some(nanoseconds) = self.downtime_nanoseconds {
            let time = Duration::from_nanos(nanoseconds);
            row("downtime", format!("{:.3} s", time.as_secs_f64()));
        }
        if let Some(nanoseconds) = self.processor_nanoseconds {
            let time = Duration::from_nanos(nanoseconds);
            row("processor time", format!("{:.2} s", time.as_secs_f64()));
        }
        row("rounds", self.rounds.to_string());
        row("stream", Size(self.stream_bytes).to_string());
        if self.writes > 0 {
            row("written", format!("{} in {} WRITEs", Size(self.bytes_written), self.writes));
            row("rate", Rate::of(self.bytes_written, time).to_string());
        }
        row("zero runs", Size(self.bytes_zero).to_string());
        let peak = Size(self.registered_bytes_peak);
        row("registrations", format!("{}, {peak} at the most", self.registrations));
        let sum: u64 = self.control_messages.values().sum();
        let kinds = self.control_messages.iter().map(|(kind, count)| format!("{count} {kind}"));
        row("control messages", format!("{sum}: {}", kinds.collect::<Vec<_>>().join("\n")));
        if let Some(folder) = &self.recording {
            row("recording", folder.clone());
        }
        table
    }

    fn block_table(&self) -> Table {
        let mut table = Table::new();
        table
            .load_preset(NOTHING)
            .set_style(TableComponent::HeaderLines, '─')
            .set_style(TableComponent::MiddleHeaderIntersections, '─')
            .set_header(["RAM block", "length", "SHA-256"]);
        let mut row = |name: String, bytes, sha256: &str| {
            let short: String = sha256.chars().take(16).collect();
            table.add_row([name, Size(bytes).to_string(), short]);
        };
        for block in &self.blocks {
            row(printable(&block.name), block.bytes, &block.sha256);
        }
        if let Some(sha256) = &self.stream_sha256 {
            row("(stream)".to_owned(), self.stream_bytes, sha256);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn verdict(&self) -> String {
        let Some(failure) = &self.failure else {
            return "completed: all of the guest has arrived".to_owned();
        };
        let what = if self.interrupted { "interrupted" } else { "failed" };
        let cause = self.cause.as_ref().map(|cause| format!("\n  because of {}", printable(cause)));
        let owner = match self.guest_owner.as_str() {
            "undecided" => "undecided: it stays paused at the source until somebody has looked",
            owner => owner,
        };
        let left = match self.regions_left {
            0 => "nothing is left registered".to_owned(),
            regions => format!("{regions} regions are left registered"),
        };
        let (failure, cause) = (printable(failure), cause.unwrap_or_default());
        format!("{what}: {failure}{cause}\n  owner of the guest: {owner}\n  {left}")
    }
}
