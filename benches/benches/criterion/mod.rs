//! Contests as groups of criterion, measured in CPU time.

use core::time::Duration;

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use rdma_migration_benches::contest::{Amount, Contest};
use rdma_migration_benches::cpu_time;

/// CPU time of the thread that measures: see [`cpu_time`].
pub(crate) struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu_time::now()
    }

    fn end(&self, start: Duration) -> Duration {
        cpu_time::now().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Measures every contestant of each contest.
pub(crate) fn measure(
    criterion: &mut Criterion<CpuTime>,
    contests: impl IntoIterator<Item = Contest>,
) {
    for contest in contests {
        let mut group = criterion.benchmark_group(&contest.name);
        group.throughput(match contest.amount {
            Amount::Bytes(bytes) => Throughput::Bytes(bytes),
            Amount::Things(things) => Throughput::Elements(things),
        });
        for mut contestant in contest.contestants {
            group.bench_function(contestant.name, |bencher| bencher.iter(|| (contestant.run)()));
        }
        group.finish();
    }
}

/// For work of a second and more: as few samples as criterion takes.
#[allow(dead_code, reason = "the short benches do not need it")]
pub(crate) fn long() -> Criterion<CpuTime> {
    Criterion::default().with_measurement(CpuTime).sample_size(10)
}

/// For work of a millisecond and less.
#[allow(dead_code, reason = "the long benches do not need it")]
pub(crate) fn short() -> Criterion<CpuTime> {
    let criterion = Criterion::default().with_measurement(CpuTime).sample_size(50);
    criterion.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(1))
}
