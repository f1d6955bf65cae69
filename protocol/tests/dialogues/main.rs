//! The rules of the protocol as dialogues: one machine, and a peer that the test plays.

mod by_hand;
mod calls;
mod connection;
mod control_channel;
mod destination_ends;
mod destination_phases;
mod keys;
mod layout;
mod one_of_each;
mod pinning;
mod play;
mod ram_blocks;
mod ram_writes;
mod registration;
mod rounds;
mod source_ends;
mod source_phases;
mod spans;
mod stream;
mod unanswered;
mod unregistration;
mod wrong_answers;
mod zero_pages;
