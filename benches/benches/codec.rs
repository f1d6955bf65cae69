//! Encoding and decoding of every message, against a byte-swapping loop and a copy of the same bytes.

mod criterion;

use rdma_migration_benches::codec::contests;

fn main() {
    let mut criterion = criterion::short().configure_from_args();
    criterion::measure(&mut criterion, contests());
    criterion.final_summary();
}
