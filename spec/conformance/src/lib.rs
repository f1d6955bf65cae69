//! The judge of RDMA live migrations: the library behind the `rdma-migration` command.
