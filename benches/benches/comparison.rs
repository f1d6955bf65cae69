//! The tables of `benches/README.md`: each subject beside its baselines. The contestants take turns,
//! and a ratio is the median of the ratios of single turns, so that what else the machine does meets
//! all of them alike.
//!
//! `cargo bench -p rdma-migration-benches --bench comparison [WORD]`: only what has the word in its
//! name.

use core::time::Duration;

use allocation_counter::AllocationInfo;
use rdma_migration_benches::contest::{Amount, Contest};
use rdma_migration_benches::machines::TEBIBYTE_CHUNKS;
use rdma_migration_benches::migrations::{self, GROWTH_GIB, Ram};
use rdma_migration_benches::{codec, cpu_time, destination, machines, source, zero_scan};
use rdma_migration_protocol::source::Registration;

/// CPU time of one turn of one contestant, about.
const TURN: Duration = Duration::from_millis(2);

/// CPU time for one contest, about.
const CONTEST: Duration = Duration::from_millis(600);

/// Turns of a contest, at least and at most.
const TURNS: (usize, usize) = (21, 101);

fn main() {
    let word = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| word.as_ref().is_none_or(|word| name.contains(word));
    println!("| subject | baseline | ours | baseline | speed of ours / baseline | wanted | |");
    println!("|---|---|---|---|---|---|---|");
    let short = codec::contests().into_iter().chain(zero_scan::contests());
    short.filter(|contest| wanted(&contest.name)).for_each(compare);
    if wanted("migration") {
        migrations::CONTESTS.iter().for_each(|contest| compare(contest()));
    }
    println!("\n| subject | CPU time | for each chunk |");
    println!("|---|---|---|");
    machines::contests().into_iter().filter(|contest| wanted(&contest.name)).for_each(absolute);
    println!("\n| guest | CPU time | peak of heap, both sides and simulator |");
    println!("|---|---|---|");
    if wanted("growth") {
        GROWTH_GIB.into_iter().for_each(grow);
    }
    println!("\n| setting up 1 TiB | CPU time | peak of heap |");
    println!("|---|---|---|");
    if wanted("setting up") {
        set_up();
    }
}

fn compare(mut contest: Contest) {
    let repeats = repeats(&mut contest);
    let turns = turns(&mut contest, repeats);
    let times = medians(&turns);
    let Some((ours, baselines)) = times.split_first() else { return };
    for (at, baseline) in baselines.iter().enumerate() {
        let ratios = turns.iter().map(|turn| turn[at + 1] / turn[0]);
        let ratio = median(ratios.collect());
        let name = contest.contestants[at + 1].name;
        let target = contest.target.filter(|target| target.baseline == name);
        let wanted = target.map_or(String::new(), |target| format!("{:.2}", target.speed_min));
        let verdict = match target {
            Some(target) if ratio >= target.speed_min => "met",
            Some(_) => "MISSED",
            None => "",
        };
        let Contest { name: subject, amount, .. } = &contest;
        let (ours, baseline) = (rate(*amount, *ours), rate(*amount, *baseline));
        println!(
            "| {subject} | {name} | {ours} | {baseline} | {ratio:.2} | {wanted} | {verdict} |"
        );
    }
}

fn absolute(mut contest: Contest) {
    let repeats = repeats(&mut contest);
    let turns = turns(&mut contest, repeats);
    let [seconds] = medians(&turns)[..] else { return };
    let Amount::Things(things) = contest.amount else { return };
    let each = seconds * 1e9 / f64::from(u32::try_from(things).unwrap_or(u32::MAX));
    let time = Duration::from_secs_f64(seconds);
    println!("| {} | {time:.1?} | {each:.0} ns |", contest.name);
}

/// How often a contestant works in one turn.
fn repeats(contest: &mut Contest) -> u32 {
    let Some(first) = contest.contestants.first_mut() else { return 1 };
    // Once to fill caches, once to measure.
    (first.run)();
    let once = cpu_time::of(&mut first.run).max(Duration::from_nanos(100));
    let times = TURN.as_nanos() / once.as_nanos();
    u32::try_from(times).unwrap_or(u32::MAX).max(1)
}

/// The seconds that each contestant took for one run, by turns.
fn turns(contest: &mut Contest, repeats: u32) -> Vec<Vec<f64>> {
    let begun = cpu_time::now();
    let mut turns = Vec::new();
    while turns.len() < TURNS.0
        || turns.len() < TURNS.1 && cpu_time::now().saturating_sub(begun) < CONTEST
    {
        let mut turn = Vec::new();
        for contestant in &mut contest.contestants {
            let time = cpu_time::of(|| (0..repeats).for_each(|_| (contestant.run)()));
            turn.push(time.as_secs_f64() / f64::from(repeats));
        }
        turns.push(turn);
    }
    turns
}

fn medians(turns: &[Vec<f64>]) -> Vec<f64> {
    let contestants = turns.first().map_or(0, Vec::len);
    (0..contestants).map(|at| median(turns.iter().map(|turn| turn[at]).collect())).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn rate(amount: Amount, seconds: f64) -> String {
    let count = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    match amount {
        Amount::Bytes(bytes) => format!("{:.2} GB/s", count(bytes) / seconds / 1e9),
        Amount::Things(things) => format!("{:.1} ns each", seconds / count(things) * 1e9),
    }
}

fn grow(gib: u64) {
    for (name, registration) in
        [("all RAM pinned", None), ("look-ahead", Some(Registration::default()))]
    {
        let mut ram = Ram::without_bytes(gib << 30);
        let (time, used) = measured(|| migrations::migrate(&mut ram, registration, Vec::new()));
        println!("| {gib} GiB, {name} | {time:.1?} | {} |", heap(&used));
    }
}

fn set_up() {
    for (name, registration) in
        [("all RAM pinned", None), ("look-ahead", Some(Registration::default()))]
    {
        let mut session = source::Session::new(source::Plan::once(TEBIBYTE_CHUNKS, registration));
        let (time, used) = measured(|| session.exchange());
        println!("| source, {name} | {time:.1?} | {} |", heap(&used));
        let commands = match registration {
            Some(_) => destination::Commands::Register(machines::SPAN_CHUNKS),
            None => destination::Commands::None,
        };
        let plan = destination::Plan { chunks: TEBIBYTE_CHUNKS, commands };
        let mut session = destination::Session::new(plan);
        let (time, used) = measured(|| session.exchange());
        println!("| destination, {name} | {time:.1?} | {} |", heap(&used));
    }
}

fn measured(work: impl FnOnce()) -> (Duration, AllocationInfo) {
    let mut time = Duration::ZERO;
    let used = allocation_counter::measure(|| time = cpu_time::of(work));
    (time, used)
}

fn heap(used: &AllocationInfo) -> String {
    let kib = used.bytes_max.div_ceil(1024);
    if kib < 10 * 1024 { format!("{kib} KiB") } else { format!("{} MiB", kib.div_ceil(1024)) }
}
