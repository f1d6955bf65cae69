use std::path::PathBuf;

use clap::{Args, ValueEnum};

use rdma_migration_conformance::rdma_address::RdmaAddress;
use rdma_migration_conformance::suite::Role;
use rdma_migration_conformance::suite::peers::{Peers, Reference};

/// The arguments that say who is judged.
#[derive(Debug, Args)]
pub(super) struct Who {
    /// Who is judged.
    #[arg(long, value_enum, default_value_t = PeerName::Reference)]
    peer: PeerName,

    /// Where a destination under test listens: rdma:HOST:PORT.
    #[arg(long, value_name = "ADDRESS", help_heading = "A peer over verbs")]
    connect: Option<RdmaAddress>,

    /// Where a source under test will connect to: rdma:HOST:PORT.
    #[arg(long, value_name = "ADDRESS", help_heading = "A peer over verbs")]
    listen: Option<RdmaAddress>,

    /// The shell command that makes the peer ready for a case; a destination listens when it returns.
    #[arg(long, value_name = "COMMAND", help_heading = "A peer over verbs")]
    start: Option<String>,

    /// The shell command that has a source begin to migrate; it may run as long as the migration.
    #[arg(long, value_name = "COMMAND", help_heading = "A peer over verbs")]
    trigger: Option<String>,

    /// The shell command that prints what has become of the peer after a case, as JSON.
    #[arg(long, value_name = "COMMAND", help_heading = "A peer over verbs")]
    alive: Option<String>,

    /// How long each of these commands may take, in seconds.
    #[arg(
        long, value_name = "SECONDS", default_value_t = 60, help_heading = "A peer over verbs",
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    hook_timeout: u64,

    /// A recording of the guest that is moved to a destination under test, for destinations that load
    /// it; made by `rdma-migration receive`.
    #[arg(long, value_name = "DIRECTORY", help_heading = "A peer over verbs")]
    guest: Option<PathBuf>,

    /// What the peer is called in reports and in files of expected results.
    #[arg(long, default_value = "peer", help_heading = "A peer over verbs")]
    name: String,

    /// The RDMA device, if not the one that the address leads to.
    #[arg(long, help_heading = "A peer over verbs")]
    device: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum PeerName {
    /// This project's own implementation, on the simulator
    Reference,
    /// Any implementation, over real verbs
    Verbs,
}

impl Who {
    /// The only side that can be judged, if it is one.
    pub(super) const fn role(&self) -> Option<Role> {
        match (&self.connect, &self.listen) {
            (Some(_), None) => Some(Role::Destination),
            (None, Some(_)) => Some(Role::Source),
            _ => None,
        }
    }

    /// The peers that are meant.
    pub(super) fn peers(&self) -> Result<Box<dyn Peers>, String> {
        match self.peer {
            PeerName::Reference => {
                let stray = self.arguments().into_iter().next();
                match stray {
                    Some(argument) => Err(format!("{argument} needs --peer verbs")),
                    None => Ok(Box::new(Reference)),
                }
            }
            PeerName::Verbs => self.over_verbs(),
        }
    }

    /// The arguments that were given for a peer over verbs.
    fn arguments(&self) -> Vec<String> {
        let guest = self.guest.as_ref().map(|folder| folder.display().to_string());
        let given = [
            ("--connect", self.connect.as_ref().map(ToString::to_string)),
            ("--listen", self.listen.as_ref().map(ToString::to_string)),
            ("--start", self.start.clone()),
            ("--trigger", self.trigger.clone()),
            ("--alive", self.alive.clone()),
            ("--guest", guest),
            ("--device", self.device.clone()),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    #[cfg(not(feature = "verbs"))]
    fn over_verbs(&self) -> Result<Box<dyn Peers>, String> {
        Err(crate::command::without_verbs::needs("--peer verbs"))
    }

    #[cfg(feature = "verbs")]
    fn over_verbs(&self) -> Result<Box<dyn Peers>, String> {
        use std::time::Duration;

        use rdma_migration_conformance::suite::hooks::Hooks;
        use rdma_migration_conformance::suite::verbs::VerbsPeers;

        if self.connect.is_none() && self.listen.is_none() {
            return Err("--peer verbs needs --connect for a destination under test, or --listen \
                        for a source"
                .to_owned());
        }
        let mut arguments = vec!["--peer".to_owned(), "verbs".to_owned()];
        arguments.extend(self.arguments());
        arguments.extend(["--name".to_owned(), self.name.clone()]);
        Ok(Box::new(VerbsPeers {
            name: self.name.clone(),
            connect: self.connect.clone(),
            listen: self.listen.clone(),
            device: self.device.clone(),
            hooks: Hooks {
                start: self.start.clone(),
                trigger: self.trigger.clone(),
                alive: self.alive.clone(),
                within: Duration::from_secs(self.hook_timeout),
            },
            guest: self.guest()?,
            arguments,
        }))
    }

    #[cfg(feature = "verbs")]
    fn guest(&self) -> Result<rdma_migration_conformance::suite::Guest, String> {
        use rdma_migration_conformance::recording::{Limits, Recording};
        use rdma_migration_conformance::suite::Guest;

        let Some(folder) = &self.guest else { return Ok(Guest::synthetic()) };
        let name = folder.display();
        let recording = Recording::open(folder, &Limits::default());
        let recording = recording.map_err(|error| format!("{name}: {error}"))?;
        let short = || format!("{name}: a recording of fewer than three rounds does not do");
        Guest::of_recording(&recording).ok_or_else(short)
    }
}
