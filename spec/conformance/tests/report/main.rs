//! What is kept of a run: evidence, and the reports.

mod evidence;
mod forged;
mod packets;
mod support;
