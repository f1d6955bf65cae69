//! Model checking of both machines: every state that two real machines can reach over a link that
//! delays, breaks and forgets, with owners that abort and memory that fails.

mod actions;
mod bugs;
mod exploration;
mod faults;
mod guest;
mod link;
mod memory;
mod operations;
mod owners;
mod properties;
mod rules;
mod world;

use exploration::Migration;
use faults::Faults;
use guest::Guest;

#[test]
fn probe() {
    let guest = match std::env::var("GUEST").as_deref() {
        Ok("dynamic") => Guest::dynamic(),
        Ok("unregistering") => Guest::unregistering(),
        Ok("pinned") => Guest::pinned(),
        Ok("declined") => Guest::declined(),
        Ok("refused") => Guest::refused(),
        _ => Guest::least(),
    };
    for (label, faults) in [
        ("none", Faults::NONE),
        ("abort", Faults { abort: true, ..Faults::NONE }),
        ("cut", Faults { cut: true, ..Faults::NONE }),
        ("deadline", Faults { deadline: faults::Deadline::Open, ..Faults::NONE }),
        ("memory", Faults { memory: true, deregistrations: 1, ..Faults::NONE }),
        ("all", Faults::ALL),
    ] {
        let start = std::time::Instant::now();
        match Migration::new(guest.clone(), faults).explore(2) {
            Ok(explored) => println!("{label}: {explored:?} in {:?}", start.elapsed()),
            Err(counterexample) => panic!("{label}: {}", counterexample.text),
        }
    }
}
