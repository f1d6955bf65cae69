//! What the machines cost for each chunk, over a transport that does nothing, and for setting up a
//! guest of a TiB.

mod criterion;

use rdma_migration_benches::machines::contests;

fn main() {
    let mut criterion = criterion::long().configure_from_args();
    criterion::measure(&mut criterion, contests());
    criterion.final_summary();
}
