use std::fs::File;
use std::io::{self, BufWriter, Read, StdoutLock, Write};
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anstream::{AutoStream, ColorChoice};
use clap::{Args, ValueEnum};

use super::Ending;
use rdma_migration_conformance::inspect::{Format, Options, Outcome, inspect, printable};
use rdma_migration_conformance::recording::{Inspection, Limits, Recording};

/// Show the migrations in a network capture, message by message, or what is in a recording.
///
/// Reads pcap and pcapng files with RoCEv2 over Ethernet. Every control message and RDMA WRITE
/// makes one line, every departure from the protocol another. Retransmitted packets are shown, and
/// neither counted nor judged. Of a folder that `receive` has made, every file is read and checked.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Exit status: 0 when the capture was read and shows no deviation from \
    the protocol, or the recording is complete; 1 when it shows some, or the recording is of a \
    migration that did not come to its end; 2 when it could not be read, or not to its end, or is \
    damaged."
)]
pub(super) struct Arguments {
    /// The capture, or the folder of a recording; `-` reads a capture from standard input.
    file: PathBuf,

    /// How to write the report.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,

    /// Bytes of a chunk, a power of two, on which both sides agreed out of band: `1MiB`, `4194304`.
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = chunk_bytes)]
    chunk_size: NonZeroU64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutputFormat {
    /// Lines and tables for people
    Text,
    /// One JSON object a line
    Json,
}

const CHUNK_BYTES_MIN: u64 = 4 << 10;
const CHUNK_BYTES_MAX: u64 = 1 << 30;

fn chunk_bytes(text: &str) -> Result<NonZeroU64, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        _ => return Err(format!("unknown unit {unit:?}: use KiB, MiB or GiB")),
    };
    let number: u64 = number.parse().map_err(|_| "a number of bytes is needed".to_owned())?;
    number
        .checked_mul(1 << shift)
        .filter(|bytes| bytes.is_power_of_two())
        .filter(|bytes| (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(bytes))
        .and_then(NonZeroU64::new)
        .ok_or_else(|| "a chunk has a power of two of bytes, from 4 KiB to 1 GiB".to_owned())
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Ending {
    let name = arguments.file.display();
    if arguments.file.is_dir() {
        return show_recording(&arguments.file, arguments.format);
    }
    let input: Box<dyn Read> = if arguments.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        match File::open(&arguments.file) {
            Ok(file) => Box::new(file),
            Err(error) => return bad_input(&format!("cannot open {name}: {error}")),
        }
    };
    let output = io::stdout().lock();
    let colour = AutoStream::choice(&output) != ColorChoice::Never;
    let format = match arguments.format {
        OutputFormat::Text => Format::Text,
        OutputFormat::Json => Format::Json,
    };
    let options = Options { format, colour, chunk_bytes: arguments.chunk_size };
    match inspect(input, &options, writer(output, colour)) {
        Ok(outcome) => ending(&name.to_string(), format, &outcome),
        // Whoever reads the report has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ending::Fine,
        Err(error) => bad_input(&format!("cannot write the report: {error}")),
    }
}

/// Standard output, made to understand colour where the system needs that.
fn writer(output: StdoutLock<'static>, colour: bool) -> impl Write {
    let choice = if colour { ColorChoice::AlwaysAnsi } else { ColorChoice::Never };
    BufWriter::new(AutoStream::new(output, choice))
}

fn ending(name: &str, format: Format, outcome: &Outcome) -> Ending {
    // As text, the notes are part of the report, unless there was nothing to report.
    if format == Format::Json || outcome.connections == 0 {
        for note in &outcome.notes {
            complain("note", note);
        }
    }
    if let Some(damage) = &outcome.damage {
        return bad_input(&format!("{name}: {damage}"));
    }
    if outcome.connections == 0 {
        let packets = outcome.packets;
        return bad_input(&format!(
            "{name}: no RDMA connection in it (RoCEv2, UDP port 4791; packets read: {packets})"
        ));
    }
    if outcome.deviations > 0 { Ending::Failed } else { Ending::Fine }
}

fn show_recording(folder: &Path, format: OutputFormat) -> Ending {
    let inspection = Recording::open(folder, &Limits::default())
        .and_then(|recording| Inspection::of(&recording, |_| ControlFlow::Continue(())));
    let inspection = match inspection {
        Ok(inspection) => inspection,
        Err(error) => return bad_input(&printable(&error.to_string())),
    };
    let output = writer(io::stdout().lock(), false);
    let written = match format {
        OutputFormat::Text => inspection.write_text(output),
        OutputFormat::Json => inspection.write_json(output),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            bad_input(&format!("cannot write the report: {error}"))
        }
        _ if inspection.complete => Ending::Fine,
        _ => Ending::Failed,
    }
}

fn bad_input(message: &str) -> Ending {
    complain("error", message);
    Ending::BadInput
}

fn complain(what: &str, message: &str) {
    // Whoever has closed standard error does not want to hear it.
    let _ = writeln!(io::stderr(), "{what}: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_powers_of_two_with_or_without_a_unit() {
        let read = |text| chunk_bytes(text).map(NonZeroU64::get);
        assert_eq!(read("1MiB"), Ok(1 << 20));
        assert_eq!(read("4194304"), Ok(4 << 20));
        assert_eq!(read("1G"), Ok(1 << 30));
        for wrong in ["", "MiB", "3MiB", "2GiB", "1KiB", "1TiB", "-1", "99999999999999999999G"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
