//! What the fuzz targets drive, as functions that take bytes: one file a subject.
//!
//! A target in `fuzz_targets/` is one call of one of them. They are here so that plain `cargo test`
//! replays every seed and every regression through them, without libFuzzer.

pub mod allocator;
mod answers;
pub mod capture;
pub mod commands;
pub mod destination;
pub mod evidence;
mod folder;
mod guest;
pub mod heap;
mod machine;
mod made_up;
pub mod message;
pub mod naive;
pub mod pair;
pub mod private_data;
pub mod recording;
mod registering;
pub mod script;
pub mod source;
pub mod stream_end;
pub mod stream_setup;
pub mod targets;
pub mod text;
