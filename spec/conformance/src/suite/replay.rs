//! A play on what was seen in an earlier run.

use core::time::Duration;
use std::collections::VecDeque;

use super::transcript::{Entry, Event, Transcript};
use super::{Action, Aftermath, Link, Observation, PeerState};

/// A link into a transcript.
#[derive(Debug)]
pub struct Replay {
    left: VecDeque<Entry>,
    now: Duration,
    /// The first place at which the play did not do what the transcript has.
    differs: Option<String>,
    played: usize,
}

impl Replay {
    /// A link that shows what `transcript` has.
    #[must_use]
    pub fn new(transcript: Transcript) -> Self {
        Self { left: transcript.0.into(), now: Duration::ZERO, differs: None, played: 0 }
    }

    /// Where the play and the transcript part, if they do.
    #[must_use]
    pub fn difference(&self) -> Option<String> {
        let left =
            || (!self.left.is_empty()).then(|| format!("{} entries are left", self.left.len()));
        self.differs.clone().or_else(left)
    }

    fn take(&mut self) -> Option<Event> {
        let entry = self.left.pop_front()?;
        self.played += 1;
        self.now = Duration::from_micros(entry.time_us);
        Some(entry.event)
    }

    fn differ(&mut self, expected: &str) {
        let at = self.played;
        self.differs.get_or_insert_with(|| format!("entry {at} is not {expected}"));
    }
}

impl Link for Replay {
    fn now(&self) -> Duration {
        self.now
    }

    fn act(&mut self, action: &Action) {
        if self.take() != Some(Event::Did(action.clone())) {
            self.differ(&format!("{action:?}, which the case does there"));
        }
    }

    fn next(&mut self, _until: Duration) -> Option<Observation> {
        match self.take() {
            Some(Event::Saw(Observation::Nothing)) => None,
            Some(Event::Saw(seen)) => Some(seen),
            Some(Event::Did(_)) | None => {
                self.differ("an observation, which the case waits for there");
                None
            }
        }
    }

    fn aftermath(&mut self) -> Aftermath {
        match self.take() {
            Some(Event::Saw(Observation::Aftermath(aftermath))) => aftermath,
            _ => {
                self.differ("what has become of the peer");
                Aftermath {
                    state: PeerState::Unknown,
                    guest_owner: None,
                    completed: None,
                    says: None,
                    regions_left: None,
                    breaches: Vec::new(),
                    ram: None,
                }
            }
        }
    }
}
