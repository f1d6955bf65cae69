//! The power of the suite: which mutants of the reference it notices.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rdma_migration_mutants::{Adapter, Live, Mutant, Side};
use rdma_migration_protocol::address::{BlockIndex, HostAddress};
use rdma_migration_protocol::time::Instant;
use rdma_migration_transport_sim::Port;

use super::peers::{Peers, Reference};
use super::reference::{self, Seam};
use super::session::Session;
use super::{Case, Guest, Link, Outcome, Profile, Role, cases};
use crate::guest_memory::GuestMemory;

impl Seam for Live {
    type Adapter<'a, 'f>
        = Adapter<'a, 'f>
    where
        'f: 'a;

    fn stand<'a, 'f>(&'a mut self, port: Port<'f>) -> Adapter<'a, 'f> {
        Self::stand(self, port)
    }

    fn alarm(&self, deadline: Instant) -> Option<Instant> {
        Self::alarm(self, deadline)
    }
}

impl GuestMemory for Adapter<'_, '_> {
    fn allocate(&mut self, length: u64) -> io::Result<BlockIndex> {
        self.port_mut().allocate(length)
    }

    fn address(&self, block: BlockIndex) -> Option<HostAddress> {
        self.port().address(block)
    }

    fn read(&self, block: BlockIndex, offset: u64, bytes: &mut [u8]) -> bool {
        self.port().read(block, offset, bytes)
    }

    fn write(&mut self, block: BlockIndex, offset: u64, bytes: &[u8]) -> bool {
        self.port_mut().write(block, offset, bytes)
    }
}

/// Peers that all have the same bug.
struct Mutants(&'static Mutant);

impl Peers for Mutants {
    fn name(&self) -> &str {
        self.0.name
    }

    fn expendable(&self) -> bool {
        Reference.expendable()
    }

    fn arguments(&self) -> Vec<String> {
        Reference.arguments()
    }

    fn patience(&self) -> core::time::Duration {
        Reference.patience()
    }

    fn guest(&self) -> Guest {
        Reference.guest()
    }

    fn cannot(&self, case: &Case) -> Option<String> {
        Reference.cannot(case)
    }

    fn link(&mut self, case: &Case, seed: u64) -> Result<Box<dyn Link + '_>, String> {
        reference::link(case, seed, Live::new(self.0)).map_err(|error| error.to_string())
    }
}

/// The side that a mutant is a mutant of.
#[must_use]
pub const fn role(mutant: &Mutant) -> Role {
    match mutant.side {
        Side::Source => Role::Source,
        Side::Destination => Role::Destination,
    }
}

/// Measures the power of the suite.
#[derive(Debug)]
pub struct Measure {
    session: Session,
    /// The cases that pass against the reference: only they can tell a mutant from it.
    cases: Vec<&'static Case>,
    /// Those that do not.
    unusable: Vec<&'static Case>,
}

/// The cases that kill a mutant.
#[derive(Clone, Debug)]
pub struct Killed {
    /// The mutant.
    pub mutant: &'static Mutant,
    /// The cases, those of the mutant's own requirement first.
    pub by: Vec<&'static Case>,
    /// How many cases were played.
    pub played: usize,
}

impl Killed {
    /// Whether a case that names the requirement is among those that noticed.
    #[must_use]
    pub fn by_its_own(&self) -> bool {
        self.by.iter().any(|case| case.requirements.contains(&self.mutant.requirement))
    }
}

impl Measure {
    /// Plays all cases against the reference, to know which of them pass.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let session = Session { seed, patience: Reference.patience() };
        let passes = |case: &&'static Case| {
            session.judge(&mut Reference, case).verdict.outcome == Outcome::Pass
        };
        let (cases, unusable) = cases::all().partition(passes);
        Self { session, cases, unusable }
    }

    /// The cases that fail against the reference without any mutant, so that they can tell nothing.
    #[must_use]
    pub fn unusable(&self) -> &[&'static Case] {
        &self.unusable
    }

    /// Plays cases against a mutant until one kills it, or all of them.
    #[must_use]
    pub fn kill(&self, mutant: &'static Mutant, all: bool) -> Killed {
        let mut killed = Killed { mutant, by: Vec::new(), played: 0 };
        for case in self.order(mutant) {
            killed.played += 1;
            if self.kills(case, mutant) {
                killed.by.push(case);
                if !all {
                    break;
                }
            }
        }
        killed
    }

    /// The cases that can kill a mutant: those of its requirement first, and quick ones before others.
    fn order(&self, mutant: &Mutant) -> Vec<&'static Case> {
        let role = role(mutant);
        let mut cases: Vec<_> =
            self.cases.iter().copied().filter(|case| case.role == role).collect();
        cases.sort_by_key(|case| {
            let place = case.requirements.iter().position(|id| *id == mutant.requirement);
            (place.unwrap_or(usize::MAX), case.profile != Profile::Quick)
        });
        cases
    }

    fn kills(&self, case: &'static Case, mutant: &'static Mutant) -> bool {
        let judge = || self.session.judge(&mut Mutants(mutant), case).verdict.outcome;
        match catch_unwind(AssertUnwindSafe(judge)) {
            Ok(Outcome::Fail | Outcome::Timeout) => true,
            // Where nothing can be told of the peer it has not been found out.
            Ok(
                Outcome::Pass
                | Outcome::Skip
                | Outcome::Inconclusive
                | Outcome::Waived
                | Outcome::UnexpectedPass,
            ) => false,
            // A panic here is one of the suite: the peer's own are caught where it runs.
            Err(_) => false,
        }
    }

    /// The cases that kill none of these mutants. Only of use where all cases were played.
    #[must_use]
    pub fn idle(&self, killed: &[Killed]) -> Vec<&'static Case> {
        let busy: BTreeSet<_> =
            killed.iter().flat_map(|killed| &killed.by).map(|case| case.id).collect();
        self.cases.iter().copied().filter(|case| !busy.contains(case.id)).collect()
    }
}
