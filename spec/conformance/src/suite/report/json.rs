//! The report for machines.

use std::io::{self, Write};

use super::Report;

impl Report {
    /// Writes the report as one JSON document.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_json(&self, mut writer: impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut writer, self)?;
        writeln!(writer)
    }
}

/// The JSON Schema of a report.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}
