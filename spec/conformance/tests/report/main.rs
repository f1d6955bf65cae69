//! What is kept of a run: evidence, and the reports.

mod command;
mod evidence;
mod expected;
mod forged;
mod html;
mod json;
mod junit;
mod packets;
mod support;
mod terminal;
