//! A case played again on a dialogue that may be forged.

use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Dialogue;
use crate::suite::play::Stage;
use crate::suite::replay::Replay;
use crate::suite::run::play;
use crate::suite::{Action, Aftermath, Case, Guest, Link, Observation, Verdict};

/// How often a case may still ask for something when its dialogue has ended: what it does in the
/// time that remains depends on what a forger has made up, and might not end.
const CALLS_BEYOND_END: usize = 1_000;

/// The verdict that follows from a dialogue.
///
/// # Errors
/// Where the case and the dialogue part.
pub(super) fn verdict(case: &Case, dialogue: &Dialogue, guest: &Guest) -> Result<Verdict, String> {
    let stage = Stage {
        patience: Duration::from_micros(dialogue.header.patience_us),
        seed: dialogue.header.seed,
        guest: guest.clone(),
    };
    let mut link = Bounded {
        calls_left: dialogue.entries.0.len() + CALLS_BEYOND_END,
        replay: Replay::new(dialogue.entries.clone()),
    };
    // A case trusts what the suite's own link has told it; from a forger it may be nonsense.
    let played = catch_unwind(AssertUnwindSafe(|| play(case, &mut link, stage)));
    if let Some(difference) = link.replay.difference() {
        return Err(difference);
    }
    let played = played.map_err(|_| "the case breaks off on it".to_owned())?;
    if played.transcript != dialogue.entries {
        return Err("the times are not those of the case".to_owned());
    }
    Ok(played.verdict)
}

struct Bounded {
    replay: Replay,
    calls_left: usize,
}

/// Why a play was left.
struct TooLong;

impl Bounded {
    fn count(&mut self) {
        match self.calls_left.checked_sub(1) {
            Some(left) => self.calls_left = left,
            // The one way out of a play from below.
            None => resume_unwind(Box::new(TooLong)),
        }
    }
}

impl Link for Bounded {
    fn now(&self) -> Duration {
        self.replay.now()
    }

    fn act(&mut self, action: &Action) {
        self.count();
        self.replay.act(action);
    }

    fn next(&mut self, until: Duration) -> Option<Observation> {
        self.count();
        self.replay.next(until)
    }

    fn aftermath(&mut self) -> Aftermath {
        self.replay.aftermath()
    }
}
