//! Recordings: made, read, damaged and played, on the simulator.

mod command;
mod damage;
mod dialogue;
mod early_end;
mod refusal;
mod round_trip;
mod support;
