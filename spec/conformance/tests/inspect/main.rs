//! `rdma-migration inspect`, judged by captures of which everything is known.

mod bad_input;
mod command;
mod deviations;
mod hand_built;
mod real_captures;
mod support;
