//! A strict in-memory RDMA fabric in virtual time.
