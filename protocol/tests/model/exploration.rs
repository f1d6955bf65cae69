//! The model as the checker sees it, and what comes of an exploration.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rdma_migration_transport_sim::Side;
use stateright::{Checker, HasDiscoveries, Model};

use crate::actions::Action;
use crate::bugs::Bug;
use crate::dialogue::{Log, dialogue};
use crate::faults::Faults;
use crate::guest::Guest;
use crate::properties::{PROPERTIES, Property, REACHED};
use crate::rules::{Rule, Violation};
use crate::world::World;

/// The migration of one guest under some faults.
#[derive(Clone, Debug)]
pub(crate) struct Migration {
    pub(crate) guest: Guest,
    pub(crate) faults: Faults,
    /// Owners attend to what they are told at any later time.
    pub(crate) late_owners: bool,
    pub(crate) bug: Option<Bug>,
}

impl Model for Migration {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::new(&self.guest);
        for side in Side::BOTH {
            world.drain(side, self, &mut Log::default());
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        world.actions(self.faults, actions);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        let mut happen = || world.happen(action, self, &mut Log::default());
        match catch_unwind(AssertUnwindSafe(&mut happen)) {
            Ok(changed) => changed.then_some(world),
            Err(_) => {
                let panicked = Violation { rule: Rule::NoPanic, how: "a machine panicked" };
                Some(World { violation: Some(panicked), ..last.clone() })
            }
        }
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        let always = PROPERTIES.into_iter();
        let always = always.map(|(_, name, holds)| stateright::Property::always(name, holds));
        let reached = REACHED.into_iter();
        let reached = reached.map(|(name, holds)| stateright::Property::sometimes(name, holds));
        always.chain(reached).collect()
    }
}

/// What was explored.
#[derive(Clone, Debug, Default)]
pub(crate) struct Explored {
    /// States, each counted once.
    pub(crate) states: usize,
    /// Inputs of the machines in the longest run.
    pub(crate) longest_run: usize,
    /// Which of [`REACHED`] were reached.
    pub(crate) reached: BTreeSet<&'static str>,
}

impl Migration {
    pub(crate) const fn new(guest: Guest, faults: Faults) -> Self {
        Self { guest, faults, late_owners: false, bug: None }
    }

    /// What bounds the exploration.
    pub(crate) fn bounds(&self) -> String {
        let owners = if self.late_owners { ", late owners" } else { "" };
        format!("{}; {}{owners}", self.guest.name, self.faults)
    }

    /// Visits every state that can be reached. An error is a dialogue that breaks a property.
    pub(crate) fn explore(self, threads: usize) -> Result<Explored, String> {
        let checker = self.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures);
        let checker = checker.spawn_bfs().join();
        let mut discoveries = checker.discoveries();
        let broken = PROPERTIES.iter().find_map(|(_, name, _)| discoveries.remove_entry(name));
        match broken {
            Some((property, path)) => Err(dialogue(checker.model(), property, path)),
            None => Ok(Explored {
                states: checker.unique_state_count(),
                // The depth counts states.
                longest_run: checker.max_depth() - 1,
                reached: discoveries.into_keys().collect(),
            }),
        }
    }

    /// Looks for a run that breaks one property, whatever else it breaks.
    pub(crate) fn find(self, property: Property) -> Option<String> {
        let wanted = HasDiscoveries::AnyOf(BTreeSet::from([property.name()]));
        let checker = self.checker().finish_when(wanted).spawn_bfs().join();
        let path = checker.discovery(property.name())?;
        Some(dialogue(checker.model(), property.name(), path))
    }
}
