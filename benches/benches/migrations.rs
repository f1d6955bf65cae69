//! Whole migrations on the simulator, against a copy of the same bytes; and how they grow with the
//! guest.

mod criterion;

use rdma_migration_benches::migrations::{CONTESTS, growth};

fn main() {
    let mut criterion = criterion::long().configure_from_args();
    criterion::measure(&mut criterion, CONTESTS.iter().map(|contest| contest()));
    criterion::measure(&mut criterion, growth());
    criterion.final_summary();
}
