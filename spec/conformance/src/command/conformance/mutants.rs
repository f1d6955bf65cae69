use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{panic, thread};

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{Table, TableComponent};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rdma_migration_mutants::{Mutant, UNOBSERVABLE, all};
use serde::Serialize;
use wildmatch::WildMatch;

use super::{Ending, OutputFormat, written};
use rdma_migration_conformance::suite::mutants::{Killed, Measure, role};
use rdma_migration_conformance::suite::{Case, Role};

/// Cases that the table names for each mutant.
const KILLERS_NAMED: usize = 4;

/// Measure the power of the suite: play it against mutants of the reference.
///
/// Each mutant is our own source or destination with one plausible bug. It is killed by a case that
/// fails with it and passes without it.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Exit status: 0 when every mutant was killed; 1 when one survived; 2 when no \
    mutant is selected."
)]
pub(super) struct Arguments {
    /// Only mutants whose name fits one of these patterns, in which `*` and `?` stand for anything.
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    filter: Vec<String>,

    /// Go on after the first case that kills a mutant: takes many minutes, and finds the cases that kill
    /// nothing.
    #[arg(long)]
    all_killers: bool,

    /// Where all chance comes from: the same seed makes the same run.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// How to write the result.
    #[arg(long, value_enum, default_value_t = OutputFormat::Text)]
    format: OutputFormat,
}

/// What was measured.
#[derive(Serialize)]
struct Power {
    mutants: Vec<MutantSeen>,
    killed: usize,
    survivors: Vec<&'static str>,
    /// Killed by cases of other requirements only.
    killed_by_others: Vec<&'static str>,
    without_mutant: Vec<WithoutMutant>,
    /// Cases that kill nothing; absent unless all were played against all mutants.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_cases: Option<Vec<CaseSeen>>,
    /// Cases that fail against the reference itself, so that they can kill nothing.
    unusable_cases: Vec<&'static str>,
}

#[derive(Serialize)]
struct MutantSeen {
    name: &'static str,
    side: Role,
    requirement: &'static str,
    says: &'static str,
    killers: Vec<&'static str>,
    cases_played: usize,
}

#[derive(Serialize)]
struct WithoutMutant {
    requirement: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct CaseSeen {
    id: &'static str,
    title: &'static str,
}

impl CaseSeen {
    const fn of(case: &Case) -> Self {
        Self { id: case.id, title: case.title }
    }
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Ending, String> {
    let mutants = select(&arguments.filter)?;
    // Some mutants crash, which is a way to be noticed and nobody's business here.
    panic::set_hook(Box::new(|_| {}));
    let bar = bar(mutants.len());
    bar.set_message("the reference");
    let measure = Measure::new(arguments.seed);
    let killed = kill_all(&measure, &mutants, arguments.all_killers, &bar);
    bar.finish_and_clear();
    let whole = arguments.all_killers && arguments.filter.is_empty();
    let power = Power::of(&measure, &killed, whole);
    show(&power, arguments)?;
    Ok(if power.survivors.is_empty() { Ending::Fine } else { Ending::Failed })
}

/// Kills mutants on all processors; the result is in their order.
fn kill_all(
    measure: &Measure,
    mutants: &[&'static Mutant],
    all: bool,
    bar: &ProgressBar,
) -> Vec<Killed> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut killed = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(mutant) = mutants.get(number) else { return killed };
            bar.set_message(mutant.name);
            killed.push((number, measure.kill(mutant, all)));
            bar.inc(1);
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut killed = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        done.flatten().collect::<Vec<_>>()
    });
    killed.sort_by_key(|(number, _)| *number);
    killed.into_iter().map(|(_, killed)| killed).collect()
}

fn select(filters: &[String]) -> Result<Vec<&'static Mutant>, String> {
    let patterns: Vec<_> = filters.iter().map(|filter| WildMatch::new(filter)).collect();
    for (filter, pattern) in filters.iter().zip(&patterns) {
        if !all().any(|mutant| pattern.matches(mutant.name)) {
            return Err(format!("--filter {filter}: no mutant has such a name"));
        }
    }
    let fits = |mutant: &&Mutant| {
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(mutant.name))
    };
    Ok(all().filter(fits).collect())
}

impl Power {
    fn of(measure: &Measure, killed: &[Killed], whole: bool) -> Self {
        let names = |which: fn(&Killed) -> bool| {
            killed.iter().filter(|killed| which(killed)).map(|killed| killed.mutant.name).collect()
        };
        Self {
            mutants: killed.iter().map(MutantSeen::of).collect(),
            killed: killed.iter().filter(|killed| !killed.by.is_empty()).count(),
            survivors: names(|killed| killed.by.is_empty()),
            killed_by_others: names(|killed| !killed.by.is_empty() && !killed.by_its_own()),
            without_mutant: UNOBSERVABLE
                .iter()
                .map(|none| WithoutMutant { requirement: none.requirement, reason: none.reason })
                .collect(),
            idle_cases: whole.then(|| measure.idle(killed).into_iter().map(CaseSeen::of).collect()),
            unusable_cases: measure.unusable().iter().map(|case| case.id).collect(),
        }
    }
}

impl MutantSeen {
    fn of(killed: &Killed) -> Self {
        Self {
            name: killed.mutant.name,
            side: role(killed.mutant),
            requirement: killed.mutant.requirement,
            says: killed.mutant.says,
            killers: killed.by.iter().map(|case| case.id).collect(),
            cases_played: killed.played,
        }
    }
}

fn show(power: &Power, arguments: &Arguments) -> Result<(), String> {
    let mut output = io::stdout().lock();
    written(match arguments.format {
        OutputFormat::Text => write_text(&mut output, power, arguments.all_killers),
        OutputFormat::Json => serde_json::to_writer_pretty(&mut output, power)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(output)),
    })
}

fn write_text(output: &mut impl Write, power: &Power, all_killers: bool) -> io::Result<()> {
    writeln!(output, "{}", table(power, all_killers))?;
    for none in &power.without_mutant {
        writeln!(output, "\n{} has no mutant: {}", none.requirement, none.reason)?;
    }
    if let Some(idle) = &power.idle_cases {
        writeln!(output, "\n{} cases kill nothing:", idle.len())?;
        for case in idle {
            writeln!(output, "  {}  {}", case.id, case.title)?;
        }
    } else {
        writeln!(
            output,
            "\nWhich cases kill nothing is known with --all-killers and no --filter."
        )?;
    }
    if !power.killed_by_others.is_empty() {
        writeln!(output, "\nkilled by cases of other requirements than their own:")?;
        for name in &power.killed_by_others {
            writeln!(output, "  {name}")?;
        }
    }
    if !power.unusable_cases.is_empty() {
        let cases = power.unusable_cases.join(" ");
        writeln!(output, "\nfail against the reference itself, and can kill nothing: {cases}")?;
    }
    for survivor in power.mutants.iter().filter(|mutant| mutant.killers.is_empty()) {
        let MutantSeen { name, side, requirement, says, .. } = survivor;
        writeln!(output, "\nSURVIVED: {name} ({side}, against {requirement}). {says}")?;
    }
    writeln!(output, "\n{} of {} mutants killed", power.killed, power.mutants.len())
}

fn table(power: &Power, all_killers: bool) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─');
    table.set_header(["mutant", "side", "against", "killed by", "cases"]);
    for mutant in &power.mutants {
        let number = match mutant.killers.len() {
            0 => "SURVIVED".to_owned(),
            number if all_killers => number.to_string(),
            _ => "at least 1".to_owned(),
        };
        let named: Vec<_> = mutant.killers.iter().copied().take(KILLERS_NAMED).collect();
        let more = if mutant.killers.len() > KILLERS_NAMED { " ..." } else { "" };
        table.add_row([
            mutant.name,
            &mutant.side.to_string(),
            mutant.requirement,
            &number,
            &format!("{}{more}", named.join(" ")),
        ]);
    }
    table
}

fn bar(mutants: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let mutants = u64::try_from(mutants).unwrap_or(u64::MAX);
    let bar = ProgressBar::with_draw_target(Some(mutants), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{pos:>4} of {len} {bar:30}  {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
