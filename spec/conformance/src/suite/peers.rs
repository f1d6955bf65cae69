//! Where the peers under test come from.

use core::time::Duration;

use super::guest::Guest;
use super::reference::{self, Plain};
use super::{Case, Link};

/// Peers of one kind: a new one for each case.
pub trait Peers {
    /// What they are called in reports and in files of expected results.
    fn name(&self) -> &str;

    /// Whether a crash of one does no harm: then all cases are run unless somebody says otherwise.
    fn expendable(&self) -> bool;

    /// The arguments of `conformance run` that lead to them again.
    fn arguments(&self) -> Vec<String>;

    /// How long to wait for them, where nobody says otherwise.
    fn patience(&self) -> Duration;

    /// The guest that is moved to a destination under test.
    fn guest(&self) -> Guest;

    /// Why they cannot play a case, if they cannot.
    fn cannot(&self, case: &Case) -> Option<String>;

    /// A link to a new peer, made ready for a case.
    ///
    /// # Errors
    /// What failed in the surroundings of the peer: the case is then inconclusive.
    fn link(&mut self, case: &Case, seed: u64) -> Result<Box<dyn Link + '_>, String>;
}

/// This project's own source and destination, on the simulator, where time is virtual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Peers for Reference {
    fn name(&self) -> &str {
        "reference"
    }

    fn expendable(&self) -> bool {
        true
    }

    fn arguments(&self) -> Vec<String> {
        Vec::new()
    }

    /// Longer than any deadline of the peer itself.
    fn patience(&self) -> Duration {
        Duration::from_secs(400)
    }

    fn guest(&self) -> Guest {
        Guest::synthetic()
    }

    fn cannot(&self, _case: &Case) -> Option<String> {
        None
    }

    fn link(&mut self, case: &Case, seed: u64) -> Result<Box<dyn Link + '_>, String> {
        reference::link(case, seed, Plain).map_err(|error| error.to_string())
    }
}
