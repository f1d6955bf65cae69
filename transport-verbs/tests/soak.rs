//! One process, many migrations, and each time one side gives up or dies at another moment: all
//! waits end, and the process has in the end what it had after the first.
//!
//! `RDMA_MIGRATION_SOAK_ROUNDS` is how often each way is tried. The moments are drawn from a seed; at
//! which of them a side is then found is left to the scheduler.

mod support;

use std::env;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdma_migration_protocol::connection::{Closed, GuestOwner};
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::transport::{BlockingTransport, Machine, Owner, Transport, turn};
use rdma_migration_transport_verbs::{VerbsConfig, VerbsTransport};
use support::address;
use support::held::{descriptors, held, threads};
use support::owners::{Arriving, Leaving, empty_guest, full_guest, same_ram};

const MIB: usize = 1024 * 1024;
const BLOCKS: [usize; 2] = [3 * MIB, 8192];
const ROUNDS_DEFAULT: u32 = 5;
const SEED: u64 = 50;
const LOOKS_EVERY: Duration = Duration::from_millis(100);
/// What the process may grow by. Control buffers and guest of one migration are more than that.
const MEMORY_SPREAD_KIB: u64 = 8 * 1024;

/// What one of the sides does when its moment has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Nothing,
    SourceAborts,
    DestinationAborts,
    SourceDies,
    DestinationDies,
}

const WAYS: [Way; 4] =
    [Way::SourceAborts, Way::DestinationAborts, Way::SourceDies, Way::DestinationDies];

/// Drives a side until it has closed or its moment has come, and returns how many turns it took.
/// Whoever runs the side looks at it from time to time.
fn drive_until<M, O>(
    machine: &mut M,
    transport: &mut VerbsTransport,
    owner: &mut O,
    moment: Option<u32>,
    look: impl Fn(&mut M, &O),
) -> u32
where
    M: Machine,
    O: Owner<M, VerbsTransport>,
{
    let mut turns = 0;
    while moment != Some(turns) {
        turns += 1;
        turn(machine, transport, owner);
        if machine.is_closed() {
            break;
        }
        let deadline = machine.poll_timeout().map(|(deadline, _)| deadline);
        let next_look = transport.now().after(LOOKS_EVERY);
        transport.wait(deadline.into_iter().chain([next_look]).min());
        look(machine, owner);
    }
    turns
}

/// How both sides ended, as far as they lived, and how many turns they took.
struct Ended {
    source: Option<Closed>,
    destination: Option<Closed>,
    turns: [u32; 2],
    same_ram: bool,
}

fn migrate(way: Way, moment: u32) -> Ended {
    let (there, here) = (full_guest(&BLOCKS), empty_guest(&BLOCKS));
    let (mut leaving, mut arriving) = (Leaving::new(there.clone()), Arriving::new(here.clone()));
    let config = VerbsConfig::default;
    let mut destination_transport = VerbsTransport::listen(&address(), 0, config()).unwrap();
    let port = destination_transport.local_address().unwrap().port();
    let mut source_transport = VerbsTransport::to(&address(), port, config()).unwrap();
    let mut source = Source::new(SourceConfig::default()).unwrap();
    source.connect().unwrap();
    let mut destination = Destination::new(DestinationConfig::default());
    let when = |ways: [Way; 2]| ways.contains(&way).then_some(moment);
    let source_ended = &AtomicBool::new(false);
    // A listener waits for ever, and the source may have died before it asked.
    let stop_listener = |destination: &mut Destination, arriving: &Arriving| {
        if source_ended.load(Relaxed) && !arriving.connected {
            let _unless_closing_already = destination.abort();
        }
    };
    let turns = thread::scope(|threads| {
        let (arriving, leaving) = (&mut arriving, &mut leaving);
        let at_destination = threads.spawn(move || {
            let transport = &mut destination_transport;
            let moment = when([Way::DestinationAborts, Way::DestinationDies]);
            let turns = drive_until(&mut destination, transport, arriving, moment, stop_listener);
            if way == Way::DestinationAborts && destination.abort().is_ok() {
                drive_until(&mut destination, transport, arriving, None, |_, _| {});
            }
            turns
        });
        let at_source = threads.spawn(move || {
            let transport = &mut source_transport;
            let moment = when([Way::SourceAborts, Way::SourceDies]);
            let turns = drive_until(&mut source, transport, leaving, moment, |_, _| {});
            if way == Way::SourceAborts && source.abort().is_ok() {
                drive_until(&mut source, transport, leaving, None, |_, _| {});
            }
            drop(source_transport);
            source_ended.store(true, Relaxed);
            turns
        });
        [at_source.join().unwrap(), at_destination.join().unwrap()]
    });
    Ended {
        source: leaving.closed,
        destination: arriving.closed,
        turns,
        same_ram: same_ram(&there, &here),
    }
}

fn check(ended: &Ended, context: &str) {
    let sides = [&ended.source, &ended.destination];
    for closed in sides.into_iter().flatten() {
        assert_eq!(closed.regions_left, 0, "{context}: {closed:?}");
    }
    let runs =
        |side: &Option<Closed>, owner| side.as_ref().is_some_and(|closed| closed.guest == owner);
    let at_source = runs(&ended.source, GuestOwner::Source);
    let at_destination = runs(&ended.destination, GuestOwner::Destination);
    assert!(!(at_source && at_destination), "two owners: {context}: {sides:?}");
    assert!(!at_destination || ended.same_ram, "a wrong byte: {context}");
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run soak/in-one-process`"]
fn nothing_is_lost_however_often_and_whenever_a_side_gives_up_or_dies() {
    let rounds = env::var("RDMA_MIGRATION_SOAK_ROUNDS")
        .map_or(ROUNDS_DEFAULT, |rounds| rounds.parse().expect("a number of rounds"));
    let undisturbed = migrate(Way::Nothing, 0);
    check(&undisturbed, "undisturbed");
    assert!(undisturbed.same_ram, "the guest has changed on the way");
    let [latest_at_source, latest_at_destination] = undisturbed.turns;
    let before = (descriptors(), threads());
    let resident_before = resident_kib();
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut complete = 0;
    for way in WAYS {
        let latest = match way {
            Way::SourceAborts | Way::SourceDies => latest_at_source,
            _ => latest_at_destination,
        };
        for _ in 0..rounds {
            let moment = random.random_range(0..=latest);
            let context = format!("{way:?} after turn {moment} of {latest}");
            let ended = migrate(way, moment);
            check(&ended, &context);
            complete += u32::from(ended.same_ram);
            assert_eq!(held(), Vec::<String>::new(), "{context}");
            assert_eq!((descriptors(), threads()), before, "{context}");
        }
    }
    let grown = resident_kib().saturating_sub(resident_before);
    assert!(grown <= MEMORY_SPREAD_KIB, "{grown} KiB more than after the first migration");
    let all = rounds * u32::try_from(WAYS.len()).unwrap();
    println!("{all} migrations, of which {complete} were over before; {grown} KiB grown");
}
