//! How much memory a machine holds: what is allocated inside its calls, less what is freed there.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The bytes of one machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Meter {
    /// Bytes now. What the machine hands over to its owner stays counted.
    live: i64,
    /// The most bytes at any one time, those in the middle of a call included.
    pub(crate) peak: i64,
}

impl Meter {
    /// Makes a call of the machine.
    pub(crate) fn call<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let mut outcome = None;
        let used = allocation_counter::measure(|| {
            // The counter has to come to its end, whatever the call does.
            outcome = Some(catch_unwind(AssertUnwindSafe(call)));
        });
        let highest = self.live.saturating_add_unsigned(used.bytes_max);
        self.peak = self.peak.max(highest);
        self.live = self.live.saturating_add(used.bytes_current);
        match outcome {
            Some(Ok(value)) => value,
            Some(Err(panic)) => resume_unwind(panic),
            None => unreachable!("the call was made"),
        }
    }
}

#[test]
fn memory_that_is_kept_adds_up_and_the_highest_moment_counts() {
    let mut meter = Meter::default();
    let kept: Vec<u8> = meter.call(|| Vec::with_capacity(1000));
    meter.call(|| drop(std::hint::black_box(vec![0_u8; 5000])));
    assert_eq!((meter.live, meter.peak), (1000, 6000));
    meter.call(|| drop(kept));
    assert_eq!((meter.live, meter.peak), (0, 6000));
}
