#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod adapter;
mod desk;
mod families;
mod message;
mod mutation;
mod ram_list;
mod unobservable;

pub use adapter::{Adapter, Live};
pub use families::{NO_MUTANTS, all};
pub use mutation::{Mutant, Mutation};
pub use rdma_migration_transport_sim::Side;
pub use unobservable::{UNOBSERVABLE, Unobservable};
