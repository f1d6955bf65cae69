"""What migrations took, and a table of it."""

import json
from dataclasses import asdict, dataclass
from statistics import median

from host.guest_program import MIB

# What the others are held against.
BASELINES = {"of QEMU dynamic": "QEMU to QEMU, dynamic", "of QEMU pin-all": "QEMU to QEMU, pin-all"}


@dataclass
class Measured:
    """What a decade of discussion asked for."""

    # From the call for a connection to the completion of the last message; over TCP what QEMU says.
    seconds: float
    # Processor time of both sides.
    processor_seconds: float
    # The most memory that was pinned, at the source and at the destination.
    pinned_mib: tuple
    # From the first write to the completion of the last; None where nobody tells.
    bulk_gbits: float | None = None
    # From the stop of the guest until everything had arrived, if it ran.
    downtime_ms: float | None = None


def measured_by(report, other_seconds, other_pinned, bulk_gbits):
    """What the report of our own source tells, with the processor time and memory of its peer."""
    downtime = report.get("downtime_nanoseconds")
    return Measured(
        seconds=(report["connect_nanoseconds"] + report["nanoseconds"]) / 1e9,
        processor_seconds=report["processor_nanoseconds"] / 1e9 + other_seconds,
        pinned_mib=(report["registered_bytes_peak"] / MIB, other_pinned),
        bulk_gbits=bulk_gbits,
        downtime_ms=downtime / 1e6 if downtime is not None else None,
    )


def show(lab, title, results, bandwidths):
    """A table for people, and everything for programs."""
    everything = {"title": title, "ib_write_bw_gbits": bandwidths,
                  "ways": {name: [asdict(run) for run in runs] for name, runs in results.items()}}
    (lab.folder / "bench.json").write_text(json.dumps(everything, indent=1) + "\n")
    rows = [["way", "s, median", "s, least to most", *BASELINES, "processor s", "pinned MiB",
             "writes, Gb/s", "downtime, ms"]]
    rows.append(["---"] * len(rows[0]))
    rows += [[name, *row(runs, results)] for name, runs in results.items()]
    # What nobody tells has no column.
    told = [column for column in zip(*rows) if any(column[2:])]
    lines = [f"{title}, ib_write_bw {median(bandwidths):.2f} Gb/s", "",
             *(f"| {' | '.join(cells)} |" for cells in zip(*told))]
    table = "\n".join(lines) + "\n"
    (lab.folder / "bench.md").write_text(table)
    print(table, flush=True)
    lab.note("table in bench.md")


def row(runs, results):
    """The figures of a way, as text, beside the others'."""
    seconds = sorted(run.seconds for run in runs)
    ratios = (median(seconds) / median(run.seconds for run in results[baseline])
              for baseline in BASELINES.values())
    pinned = (median(run.pinned_mib[side] for run in runs) for side in (0, 1))
    return [f"{median(seconds):.2f}", f"{seconds[0]:.2f} to {seconds[-1]:.2f}",
            *(f"{ratio:.2f}" for ratio in ratios),
            f"{median(run.processor_seconds for run in runs):.2f}",
            " + ".join(f"{mib:.0f}" for mib in pinned),
            median_of((run.bulk_gbits for run in runs), "{:.2f}"),
            median_of((run.downtime_ms for run in runs), "{:.0f}")]


def median_of(figures, how):
    told = [figure for figure in figures if figure is not None]
    return how.format(median(told)) if told else ""
