//! Several ways to do the same work, to be measured side by side.

use core::fmt;

/// What one run of a contestant works through, for rates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
    /// Bytes that are read, moved or made.
    Bytes(u64),
    /// Things, such as messages or chunks.
    Things(u64),
}

/// One way to do the work.
pub struct Contestant {
    /// Its name in reports.
    pub name: &'static str,
    /// Does all of the work once.
    pub run: Box<dyn FnMut()>,
}

impl Contestant {
    /// A way to do the work, by its name.
    pub fn new(name: &'static str, run: impl FnMut() + 'static) -> Self {
        Self { name, run: Box::new(run) }
    }
}

impl fmt::Debug for Contestant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Contestant").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is wanted of the first contestant.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Target {
    /// The contestant that it is compared with.
    pub baseline: &'static str,
    /// Its speed as a share of the baseline's, at least.
    pub speed_min: f64,
}

/// Contestants for the same work. The first is ours.
#[derive(Debug)]
pub struct Contest {
    /// What the work is.
    pub name: String,
    /// How much one run of it is.
    pub amount: Amount,
    /// Who does it.
    pub contestants: Vec<Contestant>,
    /// What is wanted, where anything is.
    pub target: Option<Target>,
}
