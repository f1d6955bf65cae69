use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Ending;
use rdma_migration_conformance::predict::{
    BitRate, Costs, Guest, Nanoseconds, Plan, Prediction, predict, write_svg,
};
use rdma_migration_conformance::size::Size;
use rdma_migration_protocol::limits::{RAM_WORK_QUEUED_MAX, SPAN_CHUNKS_DEFAULT};
use rdma_migration_transport_sim::{CostPreset, Figure};

/// Predict how long a migration takes, and how much memory it pins.
///
/// A model in closed form, calibrated by the two published figures of QEMU over RDMA, compares
/// TCP, QEMU and this project's strategies for a guest, a link and a budget of your choice.
/// Everything that it is told of the hardware is printed with its origin. It is a prediction,
/// never a measurement.
///
/// The guest is idle and sent in one round. Times run from the first call until the guest may run
/// at the destination; rates count the bytes that cross the link, without making the connection
/// and pinning all RAM.
#[derive(Debug, Args)]
#[command(after_long_help = "Exit status: 0 when the prediction was made, 2 when it could not be.")]
pub(super) struct Arguments {
    /// The guest's RAM, whole MiB.
    #[arg(long, value_name = "BYTES", default_value = "8GiB")]
    ram: Size,

    /// The share of the guest's chunks of 1 MiB that are zero throughout.
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = per_cent)]
    zero: u8,

    /// Chunks that are not zero and lie side by side, where others are zero.
    #[arg(long, value_name = "CHUNKS", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..))]
    filled_run: u64,

    /// Chunks of one registration at the most, where they are registered in spans.
    #[arg(long, value_name = "CHUNKS", default_value_t = SPAN_CHUNKS_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=SPAN_CHUNKS_MAX))]
    span_chunks: u32,

    /// What the destination may pin at the most; what needs more is said not to fit.
    #[arg(long, value_name = "BYTES")]
    max_pinned: Option<Size>,

    /// Where the figures come from that are not given.
    #[arg(long, value_name = "PRESET", default_value = CostPreset::default().name(), value_parser = super::migrate::cost_preset)]
    preset: CostPreset,

    /// Also run the real machines on the simulator, for every row over RDMA, and compare.
    #[arg(long)]
    simulate: bool,

    /// Write charts to this file, as SVG: time against guest size and against link rate.
    #[arg(long, value_name = "FILE")]
    chart: Option<PathBuf>,

    /// How to write the prediction.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,

    #[command(flatten)]
    given: Given,
}

/// Figures instead of the preset's.
#[derive(Debug, Args)]
#[command(next_help_heading = "Figures instead of the preset's")]
struct Given {
    /// Useful rate of the link: 100G.
    #[arg(long, value_name = "RATE")]
    wire_rate: Option<BitRate>,

    /// From a message leaving to its arrival: 1.5us.
    #[arg(long, value_name = "TIME")]
    one_way: Option<Nanoseconds>,

    /// From an arrival to a side that slept seeing it, both sides: 20us.
    #[arg(long, value_name = "TIME")]
    wake_up: Option<Nanoseconds>,

    /// Registration at the source, a MiB: 103us.
    #[arg(long, value_name = "TIME")]
    registration_source: Option<Nanoseconds>,

    /// Registration at the destination, a MiB: 150us.
    #[arg(long, value_name = "TIME")]
    registration_destination: Option<Nanoseconds>,

    /// Looking whether a page is zero: 400ns.
    #[arg(long, value_name = "TIME")]
    scan: Option<Nanoseconds>,

    /// Walking over a page: 298ns.
    #[arg(long, value_name = "TIME")]
    walk: Option<Nanoseconds>,

    /// Zeroing memory at the destination, a MiB: 100us.
    #[arg(long, value_name = "TIME")]
    zeroing: Option<Nanoseconds>,

    /// Looking for the destination before connecting: 140ms.
    #[arg(long, value_name = "TIME")]
    connection: Option<Nanoseconds>,

    /// Rate of a migration over TCP: 8G.
    #[arg(long, value_name = "RATE")]
    tcp_rate: Option<BitRate>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum OutputFormat {
    /// Tables and a chart for people
    Text,
    /// One JSON object
    Json,
}

/// The longest span that leaves room for the next one among the runs that a source holds.
const SPAN_CHUNKS_MAX: i64 = 128;

const _: () = assert!(RAM_WORK_QUEUED_MAX == 2 * 128);

fn per_cent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let wrong = || "a whole number of per cent is needed, from 0 to 100".to_owned();
    number.parse().ok().filter(|percent| *percent <= 100).ok_or_else(wrong)
}

impl Given {
    fn apply(&self, costs: &mut Costs) {
        let cost = &mut costs.cost;
        let rates = [(self.wire_rate, &mut cost.wire_rate), (self.tcp_rate, &mut costs.tcp_rate)];
        for (given, figure) in rates {
            if let Some(BitRate(value)) = given {
                *figure = Figure::given(value);
            }
        }
        let times = [
            (self.one_way, &mut cost.one_way),
            (self.wake_up, &mut cost.wake_up.source),
            (self.wake_up, &mut cost.wake_up.destination),
            (self.registration_source, &mut cost.registration.source),
            (self.registration_destination, &mut cost.registration.destination),
            (self.scan, &mut cost.scan),
            (self.walk, &mut cost.walk),
            (self.zeroing, &mut cost.zero),
            (self.connection, &mut cost.connection),
        ];
        for (given, figure) in times {
            if let Some(Nanoseconds(value)) = given {
                *figure = Figure::given(value);
            }
        }
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Ending {
    match attempt(arguments) {
        Ok(()) => Ending::Fine,
        Err(message) => {
            eprintln!("error: {message}");
            Ending::BadInput
        }
    }
}

fn attempt(arguments: &Arguments) -> Result<(), String> {
    let plan = plan(arguments)?;
    let mut prediction = predict(&plan);
    if arguments.simulate {
        prediction.simulate(&plan).map_err(|error| error.to_string())?;
    }
    if let Some(path) = &arguments.chart {
        write_chart(&prediction, path)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    let output = BufWriter::new(io::stdout().lock());
    let written = match arguments.format {
        OutputFormat::Text => prediction.write_text(output),
        OutputFormat::Json => prediction.write_json(output),
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write the prediction: {error}"))
        }
        _ => Ok(()),
    }
}

fn plan(arguments: &Arguments) -> Result<Plan, String> {
    let guest = Guest::new(arguments.ram.0, arguments.zero, arguments.filled_run)
        .map_err(|error| format!("--ram {}: {error}", arguments.ram))?;
    let mut costs = Costs::of(arguments.preset);
    arguments.given.apply(&mut costs);
    let max_pinned = arguments.max_pinned.map(|Size(bytes)| bytes);
    Ok(Plan { guest, costs, span_chunks: arguments.span_chunks, max_pinned })
}

fn write_chart(prediction: &Prediction, path: &Path) -> io::Result<()> {
    let mut output = BufWriter::new(File::create(path)?);
    write_svg(prediction, &mut output)?;
    output.flush()
}
