//! The model as the checker sees it, and what comes of an exploration.

use std::fmt::Write as _;

use rdma_migration_transport_sim::Side;
use stateright::{Checker, HasDiscoveries, Model, Path, Property};

use crate::actions::Action;
use crate::bugs::Bug;
use crate::faults::Faults;
use crate::guest::Guest;
use crate::properties::properties;
use crate::world::{Log, World};

/// The migration of one guest under some faults.
#[derive(Clone, Debug)]
pub(crate) struct Migration {
    pub(crate) guest: Guest,
    pub(crate) faults: Faults,
    pub(crate) bug: Option<Bug>,
}

impl Model for Migration {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::new(&self.guest);
        for side in Side::BOTH {
            world.drain(side, self, &[], &mut Log::default());
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(self.faults, actions);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        world.happen(action, self, &mut Log::default()).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties()
    }
}

/// What was explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) depth: usize,
}

impl Migration {
    pub(crate) fn new(guest: Guest, faults: Faults) -> Self {
        Self { guest, faults, bug: None }
    }

    pub(crate) fn with_bug(self, bug: Bug) -> Self {
        Self { bug: Some(bug), ..self }
    }

    /// Visits every state that can be reached. An error is a dialogue that breaks a property.
    pub(crate) fn explore(self, threads: usize) -> Result<Explored, Counterexample> {
        let name = self.guest.name;
        let checker = self.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
        let checker = checker.spawn_bfs().join();
        match checker.discoveries().into_iter().min_by_key(|(_, path)| path.clone().into_actions().len()) {
            Some((property, path)) => {
                Err(Counterexample { property, text: dialogue(checker.model(), name, property, path) })
            }
            None => {
                assert!(checker.is_done());
                Ok(Explored { states: checker.unique_state_count(), depth: checker.max_depth() })
            }
        }
    }
}

/// A run that breaks a property.
#[derive(Debug)]
pub(crate) struct Counterexample {
    pub(crate) property: &'static str,
    pub(crate) text: String,
}

/// Tells what each side did, step by step.
fn dialogue(
    model: &Migration,
    name: &str,
    property: &str,
    path: Path<World, Action>,
) -> String {
    let mut text = format!("{name}: broken: {property}\n");
    let mut last = None;
    for (world, action) in path.into_vec() {
        let Some(action) = action else {
            last = Some(world);
            break;
        };
        let mut log = Log { lines: Some(Vec::new()) };
        world.clone().happen(action, model, &mut log);
        for line in log.lines.unwrap_or_default() {
            let _infallible = writeln!(text, "{line}");
        }
    }
    if let Some(world) = last {
        let _infallible = writeln!(
            text,
            "at the end: {:?}\nsource {:?}\ndestination {:?}",
            world.violation, world.ends.source, world.ends.destination,
        );
    }
    text
}
