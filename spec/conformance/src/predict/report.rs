//! A prediction as text and as JSON.

use std::io::{self, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent};

use super::chart::Terminal;
use super::prediction::{Prediction, Row};
use super::strategy::Strategy;
use crate::size::{Rate, Size};

/// What is to be known of the published table.
const CALIBRATION: &str = " \
 Published in QEMU's documentation of migration over RDMA, 2013, as approximate: an idle guest
 of 8 GB, all of it in use, on a \"40 Gb/s\" InfiniBand link. Figures marked as fitted were
 chosen so that these rows come out: that shows that the model can be right, not that it is.";

impl Prediction {
    /// Writes the prediction for people.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_text(&self, mut writer: impl Write) -> io::Result<()> {
        writeln!(writer, "This is {}.\n", self.nature)?;
        writeln!(writer, "PARAMETERS, preset {}\n{}\n", self.preset, self.parameter_table())?;
        writeln!(writer, "CALIBRATION, of the preset qdr-2013 by the published table")?;
        writeln!(writer, "{}", self.calibration_table())?;
        writeln!(writer, "{CALIBRATION}\n")?;
        writeln!(writer, "PREDICTION, {}\n{}\n", self.guest_in_words(), self.row_table())?;
        write!(writer, "{}", Terminal(&self.by_guest_size))
    }

    /// Writes the prediction for machines: one JSON object.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write_json(&self, mut writer: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut writer, self)?;
        writeln!(writer)
    }

    fn guest_in_words(&self) -> String {
        let guest = &self.guest;
        let zero = match guest.zero_percent() {
            0 => "no chunk of it zero".to_owned(),
            percent => format!(
                "{percent} % of its chunks zero, the others in runs of {}",
                guest.run_chunks()
            ),
        };
        let budget = match self.max_pinned_bytes {
            Some(bytes) => format!("; at most {} may be pinned", Size(bytes)),
            None => String::new(),
        };
        let ram = Size(guest.ram_bytes());
        format!(
            "{ram} guest, idle, {zero}; spans of up to {} chunks of 1 MiB{budget}",
            self.span_chunks
        )
    }

    fn parameter_table(&self) -> Table {
        let mut table = table(&["", "value", "status", "origin"], &[1]);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        for parameter in &self.parameters {
            let (shown, status) = (&parameter.shown, &parameter.status);
            table.add_row([parameter.name, shown, status, parameter.origin]);
        }
        table
    }

    fn calibration_table(&self) -> Table {
        let header = ["", "published", "model", "deviation", "published", "model", "deviation"];
        let mut table = table(&header, &[1, 2, 3, 4, 5, 6]);
        for row in &self.published {
            table.add_row([
                row.strategy.name().to_owned(),
                seconds(row.published_seconds),
                seconds(row.model_seconds),
                percent(row.seconds_deviation_percent),
                rate(Some(row.published_bits_per_second)),
                rate(Some(row.model_bits_per_second)),
                percent(row.rate_deviation_percent),
            ]);
        }
        table
    }

    fn row_table(&self) -> Table {
        let simulated = self.rows.iter().any(|row| row.simulated.is_some());
        let mut header = vec!["", "time", "rate", "× wire limit", "pinned, peak"];
        if simulated {
            header.extend(["simulated", "deviation", "pinned, peak"]);
        }
        let right: Vec<_> = (1..header.len()).collect();
        let mut table = table(&header, &right);
        for row in &self.rows {
            let mut cells = predicted(row).to_vec();
            if simulated {
                cells.extend(of_simulator(row));
            }
            table.add_row(cells);
        }
        table
    }
}

fn predicted(row: &Row) -> [String; 5] {
    let name = row.strategy.name().to_owned();
    let pinned = match row.strategy {
        Strategy::WireLimit | Strategy::Tcp => String::new(),
        _ => Size(row.pinned_bytes).to_string(),
    };
    if !row.fits {
        let none = String::new;
        return [name, "does not fit".to_owned(), none(), none(), format!("needs {pinned}")];
    }
    let limit = row.times_wire_limit.map(|times| format!("{times:.2}")).unwrap_or_default();
    [name, seconds(row.seconds), rate(row.bits_per_second), limit, pinned]
}

fn of_simulator(row: &Row) -> [String; 3] {
    row.simulated.map_or([const { String::new() }; 3], |simulated| {
        [
            seconds(simulated.seconds),
            percent(simulated.deviation_percent),
            Size(simulated.pinned_bytes).to_string(),
        ]
    })
}

/// A table with a line under its header and these columns aligned to the right.
fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_header(header.iter().copied());
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn seconds(seconds: f64) -> String {
    if seconds < 0.1 { format!("{:.2} ms", seconds * 1000.0) } else { format!("{seconds:.3} s") }
}

fn rate(bits_per_second: Option<f64>) -> String {
    bits_per_second.map(|rate| Rate(rate).to_string()).unwrap_or_default()
}

fn percent(deviation: f64) -> String {
    format!("{deviation:+.1} %")
}
