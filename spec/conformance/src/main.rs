//! The `rdma-migration` command.
fn main() {}
