//! What somebody who waits for a migration sees.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rdma_migration_protocol::time::Instant;

use crate::size::{Rate, Size};

/// Is told how a migration goes on.
pub trait Progress {
    /// A round begins, with so many dirty bytes.
    fn round(&mut self, round: u32, dirty_bytes: u64, last: bool);

    /// Of the `total` bytes of this round, so many have been handed over.
    fn sent(&mut self, bytes: u64, total: u64, now: Instant);
}

/// A bar on a terminal, plain lines elsewhere; both on standard error.
#[derive(Debug)]
pub enum Shown {
    /// One bar a round.
    Bar(Box<Bar>),
    /// One line a round.
    Lines,
    /// Nothing.
    Nothing,
}

/// A bar and what its rate is computed from.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    began: Option<Instant>,
}

impl Shown {
    /// What fits standard error.
    #[must_use]
    pub fn on_standard_error() -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>10} {bar:40} {percent:>3}%  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self::Bar(Box::new(Bar { bar, began: None }))
    }

    /// The migration is over.
    pub fn finish(&self) {
        if let Self::Bar(shown) = self {
            shown.bar.finish_and_clear();
        }
    }
}

impl Progress for Shown {
    fn round(&mut self, round: u32, dirty_bytes: u64, last: bool) {
        let what = if last { ", the guest is stopped" } else { "" };
        match self {
            Self::Bar(shown) => {
                shown.began = None;
                shown.bar.set_length(dirty_bytes);
                shown.bar.set_position(0);
                let prefix = if last { "last round".to_owned() } else { format!("round {round}") };
                shown.bar.set_prefix(prefix);
            }
            Self::Lines => {
                let line = format!("round {round}: {} dirty{what}\n", Size(dirty_bytes));
                // Nobody reads it: no reason to end a migration.
                let _ = io::stderr().write_all(line.as_bytes());
            }
            Self::Nothing => {}
        }
    }

    fn sent(&mut self, bytes: u64, total: u64, now: Instant) {
        let Self::Bar(shown) = self else { return };
        let began = *shown.began.get_or_insert(now);
        shown.bar.set_position(bytes);
        let rate = Rate::of(bytes, now.since(began));
        shown.bar.set_message(format!("{} left, {rate}", Size(total.saturating_sub(bytes))));
    }
}
