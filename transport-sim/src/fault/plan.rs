//! Which faults strike in a run.

use core::fmt;
use core::str::FromStr;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::kind::{Effect, FaultKind, Site};
use super::table::FAULTS;

/// A fault and the number of the operation at which it strikes, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What strikes.
    pub kind: &'static FaultKind,
    /// The number of the operation of its kind, from 1.
    pub at: u64,
}

impl Fault {
    /// The fault of that name, at its default moment.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let kind = FAULTS.iter().find(|kind| kind.name == name)?;
        Some(Self { kind, at: kind.default_at })
    }

    /// The same fault at another moment.
    #[must_use]
    pub const fn at(self, at: u64) -> Self {
        Self { at, ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.kind.name, self.at)
    }
}

/// Text that names no fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseFaultError {
    /// No fault has that name.
    #[error("no fault is named `{0}`")]
    UnknownName(String),
    /// What follows the `@` is not a number from 1 on.
    #[error("`{0}` is not the number of an operation, which counts from 1")]
    Number(String),
}

impl FromStr for Fault {
    type Err = ParseFaultError;

    /// Reads `NAME` or `NAME@N`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, number) = match text.split_once('@') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        let fault =
            Self::named(name).ok_or_else(|| ParseFaultError::UnknownName(name.to_owned()))?;
        let Some(number) = number else { return Ok(fault) };
        match number.parse() {
            Ok(at) if at > 0 => Ok(fault.at(at)),
            Ok(_) | Err(_) => Err(ParseFaultError::Number(number.to_owned())),
        }
    }
}

/// The faults of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FaultPlan {
    faults: Vec<Fault>,
}

impl FaultPlan {
    /// No faults.
    #[must_use]
    pub const fn none() -> Self {
        Self { faults: Vec::new() }
    }

    /// One to three faults at random moments, the same for the same seed.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count = random.random_range(1..=3);
        let draw = |random: &mut ChaCha8Rng| {
            let kind = FAULTS.choose(random)?;
            Some(Fault { kind, at: random.random_range(1..=kind.default_at.saturating_mul(3)) })
        };
        Self { faults: (0..count).filter_map(|_| draw(&mut random)).collect() }
    }

    /// The faults.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl FromIterator<Fault> for FaultPlan {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        Self { faults: faults.into_iter().collect() }
    }
}

/// Counts what passes each site and says when a fault strikes.
#[derive(Debug, Default)]
pub(crate) struct Striker {
    pending: Vec<Fault>,
    struck: Vec<Fault>,
    /// How much has passed each site so far, in the order of the first. They are few, and are asked
    /// at every step of every message: going through them takes half of what a tree took.
    counts: Vec<(Site, u64)>,
}

impl Striker {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        Self { pending: plan.faults, ..Self::default() }
    }

    /// Something passes a site: what strikes it there. Of faults for one and the same operation
    /// only the first of the plan strikes.
    pub(crate) fn pass(&mut self, site: Site) -> Option<Effect> {
        let count = self.count(site);
        if self.pending.is_empty() {
            return None;
        }
        let strikes = |fault: &Fault| {
            let asked = fault.kind.effect == Effect::AskedByOwner;
            fault.kind.site == site && fault.at == count && !asked
        };
        let at = self.pending.iter().position(strikes)?;
        Some(self.strike(at).kind.effect)
    }

    /// Whether the fault of that name, which an owner acts out, is due; true once.
    pub(crate) fn due(&mut self, name: &str) -> bool {
        let due = |fault: &Fault| {
            let count = self.passed(fault.kind);
            // There is one last send, and its owner asks before it exists.
            let ends_stream = fault.kind.site == Site::LastSend && fault.at == 1;
            fault.kind.name == name && (ends_stream || count >= fault.at)
        };
        match self.pending.iter().position(due) {
            Some(at) => {
                self.strike(at);
                true
            }
            None => false,
        }
    }

    /// How often a fault of this kind could have struck so far.
    pub(crate) fn passed(&self, kind: &FaultKind) -> u64 {
        self.counts.iter().find(|(site, _)| *site == kind.site).map_or(0, |(_, count)| *count)
    }

    /// The faults that have struck, in order.
    pub(crate) fn struck(&self) -> &[Fault] {
        &self.struck
    }

    /// Counts something that passes a site and returns its number, from 1.
    fn count(&mut self, site: Site) -> u64 {
        match self.counts.iter_mut().find(|(each, _)| *each == site) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.counts.push((site, 1));
                1
            }
        }
    }

    fn strike(&mut self, at: usize) -> Fault {
        let fault = self.pending.remove(at);
        self.struck.push(fault);
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::side::Side;

    #[test]
    fn names_are_unique_and_every_fault_says_what_it_does() {
        let mut names: Vec<_> = FAULTS.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
        assert!(FAULTS.len() >= 24);
        assert!(FAULTS.iter().all(|kind| kind.description.ends_with('.') && kind.default_at > 0));
    }

    #[test]
    fn a_fault_is_named_with_or_without_its_moment() {
        let fault: Fault = "write-refused@7".parse().unwrap();
        assert_eq!((fault.kind.name, fault.at), ("write-refused", 7));
        assert_eq!("write-refused".parse(), Ok(fault.at(fault.kind.default_at)));
        assert_eq!(fault.to_string().parse(), Ok(fault));
        let number = |text: &str| Err(ParseFaultError::Number(text.to_owned()));
        assert_eq!("link-cut@0".parse::<Fault>(), number("0"));
        assert_eq!("link-cut@".parse::<Fault>(), number(""));
        let unknown = Err(ParseFaultError::UnknownName("rain".to_owned()));
        assert_eq!("rain@1".parse::<Fault>(), unknown);
    }

    #[test]
    fn a_fault_strikes_once_at_its_operation() {
        let plan = ["write-refused@2", "write-lost@3"].map(|text| text.parse::<Fault>().unwrap());
        let mut striker = Striker::new(plan.into_iter().collect());
        assert_eq!(striker.pass(Site::Send(Side::Source)), None);
        assert_eq!(striker.pass(Site::Write), None);
        assert_eq!(striker.pass(Site::Write), Some(plan[0].kind.effect));
        assert_eq!(striker.pass(Site::Write), Some(plan[1].kind.effect));
        assert_eq!(striker.pass(Site::Write), None);
        assert_eq!(striker.struck(), plan);
    }

    #[test]
    fn what_an_owner_acts_out_is_due_once() {
        let fault: Fault = "source-aborts@2".parse().unwrap();
        let mut striker = Striker::new([fault].into_iter().collect());
        assert_eq!(striker.pass(Site::Operation(Side::Source)), None);
        assert!(!striker.due("source-aborts"));
        assert_eq!(striker.pass(Site::Operation(Side::Source)), None);
        assert!(striker.due("source-aborts"));
        assert!(!striker.due("source-aborts"));
    }

    #[test]
    fn a_seed_gives_the_same_plan_again() {
        assert_eq!(FaultPlan::random(7), FaultPlan::random(7));
        let different = (0..20).map(FaultPlan::random).any(|plan| plan != FaultPlan::random(7));
        assert!(different);
    }
}
