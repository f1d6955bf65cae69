//! The scan for zero, against a read of the same bytes.

mod criterion;

use rdma_migration_benches::zero_scan::contests;

fn main() {
    let mut criterion = criterion::short().configure_from_args();
    criterion::measure(&mut criterion, contests());
    criterion.final_summary();
}
