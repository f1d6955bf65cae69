//! What is said of a migration at its end.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table, TableComponent};
use rdma_migration_transport_sim::FinalOwner;
use serde::Serialize;

use crate::size::{Rate, Size};

/// A migration that has ended.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether the guest runs at the destination, byte for byte as it stood at the source.
    pub completed: bool,
    /// Whether somebody interrupted it.
    pub interrupted: bool,
    /// Why it did not complete, by side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Who owns the guest now: `source`, `destination` or `undecided`.
    pub guest_owner: &'static str,
    /// Regions that are still registered, both sides together.
    pub regions_left: usize,
    /// The seed that makes the same run.
    pub seed: u64,
    /// Whether all RAM was pinned.
    pub pin_all: bool,
    /// Rounds of RAM.
    pub rounds: u32,
    /// From the first call to the release of the guest, or to the end of both sides, in virtual time.
    pub total_nanoseconds: u64,
    /// From the stop of the guest to its release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downtime_nanoseconds: Option<u64>,
    /// The time that the computer took.
    pub wall_nanoseconds: u64,
    /// RDMA WRITEs.
    pub writes: u64,
    /// Bytes of RAM in them.
    pub bytes_written: u64,
    /// Bytes of RAM found zero, and sent as zero runs.
    pub bytes_zero: u64,
    /// Bytes of stream.
    pub stream_bytes: u64,
    /// Of the source.
    pub source: Pinning,
    /// Of the destination.
    pub destination: Pinning,
    /// Control messages of both sides, by kind.
    pub control_messages: BTreeMap<&'static str, u64>,
    /// Packets at the source's port, by the name of their operation code.
    pub packets: BTreeMap<String, u64>,
    /// Packets among them that were transmitted again.
    pub packets_repeated: u64,
    /// The proof: the RAM blocks on both sides.
    pub blocks: Vec<BlockDigest>,
    /// The proof: the stream on both sides.
    pub stream: Digests,
    /// What was found against the rules.
    pub findings: Vec<String>,
    /// Faults that were asked for.
    pub faults: Vec<AskedFault>,
}

/// A fault that was asked for.
#[derive(Clone, Debug, Serialize)]
pub struct AskedFault {
    /// Its name and its moment.
    pub fault: String,
    /// Whether its moment came: a short migration may have fewer operations of its kind.
    pub struck: bool,
}

/// Why a migration failed, as each side reports it.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The source's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The destination's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
}

/// What one side registered.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pinning {
    /// Registrations of guest RAM.
    pub registrations: u64,
    /// The most bytes of guest RAM that were registered at any one time.
    pub registered_bytes_peak: u64,
}

/// SHA-256 of the same thing on both sides.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Digests {
    /// At the source.
    pub source: String,
    /// At the destination.
    pub destination: String,
}

impl Digests {
    /// Whether both sides have the same.
    #[must_use]
    pub fn equal(&self) -> bool {
        self.source == self.destination
    }
}

/// A RAM block and its digests.
#[derive(Clone, Debug, Serialize)]
pub struct BlockDigest {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Its digests.
    pub sha256: Digests,
}

/// How the owner is named in reports. Once the source knows that everything has arrived, the guest
/// is the destination's, whether or not the destination then manages to run it.
#[must_use]
pub fn owner_name(owner: FinalOwner) -> &'static str {
    match owner {
        FinalOwner::Source => "source",
        FinalOwner::Destination | FinalOwner::Nobody => "destination",
        FinalOwner::Undecided => "undecided",
        FinalOwner::Both => "both",
    }
}

impl Report {
    /// Writes the report for people.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_text(&self, mut writer: impl Write) -> io::Result<()> {
        writeln!(writer, "{}\n", self.summary())?;
        writeln!(writer, "{}\n", self.proof())?;
        for finding in &self.findings {
            writeln!(writer, "found: {finding}")?;
        }
        for fault in &self.faults {
            let struck =
                if fault.struck { "struck" } else { "DID NOT STRIKE: its moment never came" };
            writeln!(writer, "fault {}: {struck}", fault.fault)?;
        }
        writeln!(writer, "{}", self.verdict())
    }

    /// Writes the report for machines: one JSON object.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_json(&self, mut writer: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut writer, self)?;
        writeln!(writer)
    }

    fn summary(&self) -> Table {
        let total = Duration::from_nanos(self.total_nanoseconds);
        let wall = Duration::from_nanos(self.wall_nanoseconds);
        let downtime = self.downtime_nanoseconds.map(Duration::from_nanos);
        let mode = if self.pin_all { "all RAM pinned" } else { "dynamic registration" };
        let peak = |side: &Pinning| Size(side.registered_bytes_peak).to_string();
        let mut table = Table::new();
        table.load_preset(NOTHING);
        let mut row = |name: &str, value: String| {
            table.add_row([name, &value]);
        };
        row("mode", mode.to_owned());
        row("total time", milliseconds(total));
        row("downtime", downtime.map_or("the guest was not moved".to_owned(), milliseconds));
        row("rounds", self.rounds.to_string());
        row("written", format!("{} in {} WRITEs", Size(self.bytes_written), self.writes));
        row("found zero", Size(self.bytes_zero).to_string());
        let (source, destination) = (&self.source, &self.destination);
        let counts = [source.registrations, destination.registrations];
        row("registrations", format!("{} source, {} destination", counts[0], counts[1]));
        row(
            "registered, peak",
            format!("{} source, {} destination", peak(source), peak(destination)),
        );
        row("control messages", self.messages());
        row("packets", self.packet_counts());
        row("rate, virtual", Rate::of(self.bytes_written, total).to_string());
        row("rate, wall", Rate::of(self.bytes_written, wall).to_string());
        table
    }

    fn messages(&self) -> String {
        let sum: u64 = self.control_messages.values().sum();
        let kinds: Vec<_> =
            self.control_messages.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        format!("{sum}: {}", kinds.join("\n"))
    }

    fn packet_counts(&self) -> String {
        let sum: u64 = self.packets.values().sum();
        let kinds: Vec<_> =
            self.packets.iter().map(|(opcode, count)| format!("{count} {opcode}")).collect();
        format!("{sum} ({} repeated): {}", self.packets_repeated, kinds.join("\n"))
    }

    fn proof(&self) -> Table {
        let mut table = Table::new();
        table
            .load_preset(NOTHING)
            .set_style(TableComponent::HeaderLines, '─')
            .set_style(TableComponent::MiddleHeaderIntersections, '─');
        table.set_header(["RAM block", "length", "SHA-256, source", "SHA-256, destination", ""]);
        let mut row = |name: &str, length: u64, digests: &Digests| {
            let equal = if digests.equal() { "equal" } else { "DIFFERENT" };
            let short = |digest: &str| digest.chars().take(16).collect::<String>();
            let (source, destination) = (short(&digests.source), short(&digests.destination));
            table.add_row([name, &Size(length).to_string(), &source, &destination, equal]);
        };
        for block in &self.blocks {
            row(&block.name, block.length, &block.sha256);
        }
        row("(stream)", self.stream_bytes, &self.stream);
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn verdict(&self) -> String {
        if self.completed {
            return "completed: the destination has the guest, byte for byte".to_owned();
        }
        let what = if self.interrupted { "interrupted" } else { "failed" };
        let failure = self.failure.as_ref();
        let reason = |side: &str, reason: Option<&String>| {
            reason.map(|reason| format!("\n  {side}: {reason}")).unwrap_or_default()
        };
        let source = reason("source", failure.and_then(|failure| failure.source.as_ref()));
        let destination =
            reason("destination", failure.and_then(|failure| failure.destination.as_ref()));
        let owner = match self.guest_owner {
            "undecided" => "undecided: it stays paused at the source until somebody has looked",
            owner => owner,
        };
        let left = match self.regions_left {
            0 => "nothing is left registered".to_owned(),
            regions => format!("{regions} regions are left registered"),
        };
        format!("{what}{source}{destination}\n  owner of the guest: {owner}\n  {left}")
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}
