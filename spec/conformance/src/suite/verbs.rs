//! Peers of any make, over real verbs.

use core::time::Duration;

use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{BlockingTransport, Transport};
use rdma_migration_transport_verbs::{VerbsConfig, VerbsError, VerbsTransport};

use super::guest::Guest;
use super::hooks::{Beside, HookError, Hooks};
use super::link::{Host, Live};
use super::peers::Peers;
use super::{Aftermath, Case, Link, Role};
use crate::rdma_address::RdmaAddress;
use crate::verbs_host::VerbsHost;

/// How long to wait for a peer, where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the peers are, or are waited for, and how they are handled.
#[derive(Clone, Debug)]
pub struct VerbsPeers {
    /// What they are called in reports.
    pub name: String,
    /// Where a destination under test listens.
    pub connect: Option<RdmaAddress>,
    /// Where a source under test will connect to.
    pub listen: Option<RdmaAddress>,
    /// The RDMA device to use, if not the one that the address leads to.
    pub device: Option<String>,
    /// How the peer is started and watched.
    pub hooks: Hooks,
    /// The guest that is moved to a destination under test.
    pub guest: Guest,
    /// The arguments of `conformance run` that lead to them.
    pub arguments: Vec<String>,
}

/// Why a case cannot begin.
#[derive(Debug, thiserror::Error)]
enum Unavailable {
    /// There is no transport.
    #[error("{0}")]
    Verbs(#[from] VerbsError),
    /// A hook failed.
    #[error("{0}")]
    Hook(#[from] HookError),
}

impl VerbsPeers {
    const fn address(&self, role: Role) -> Option<&RdmaAddress> {
        match role {
            Role::Destination => self.connect.as_ref(),
            Role::Source => self.listen.as_ref(),
        }
    }

    fn start(&self, case: &Case, address: &RdmaAddress) -> Result<PeerHost, Unavailable> {
        let RdmaAddress { host, port } = address;
        let config = VerbsConfig { device: self.device.clone(), ..VerbsConfig::default() };
        self.hooks.start(case)?;
        let (transport, beside) = match case.role {
            Role::Destination => (VerbsTransport::to(host, *port, config)?, None),
            Role::Source => {
                let transport = VerbsTransport::listen(host, *port, config)?;
                (transport, self.hooks.trigger(case)?)
            }
        };
        let host = VerbsHost::new(transport);
        Ok(PeerHost { host, hooks: self.hooks.clone(), case: *case, _beside: beside })
    }
}

impl Peers for VerbsPeers {
    fn name(&self) -> &str {
        &self.name
    }

    fn expendable(&self) -> bool {
        false
    }

    fn arguments(&self) -> Vec<String> {
        self.arguments.clone()
    }

    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn guest(&self) -> Guest {
        self.guest.clone()
    }

    fn cannot(&self, case: &Case) -> Option<String> {
        let what = match case.peer {
            _ if self.address(case.role).is_none() => "the address of such a peer was not given",
            peer if !peer.faults.is_empty() => "its host cannot be made to fail",
            peer if peer.unregisters => "it is not known to give registrations back",
            _ => return None,
        };
        Some(what.to_owned())
    }

    fn link(&mut self, case: &Case, _seed: u64) -> Result<Box<dyn Link + '_>, String> {
        let Some(address) = self.address(case.role) else {
            return Err("no address was given".to_owned());
        };
        let host = self.start(case, address).map_err(|error| error.to_string())?;
        Ok(Box::new(Live::new(host)))
    }
}

/// The suite's host, and the peer behind its hooks.
struct PeerHost {
    host: VerbsHost,
    hooks: Hooks,
    case: Case,
    _beside: Option<Beside>,
}

impl Host for PeerHost {
    type Adapter<'a> = &'a mut VerbsHost;

    fn adapter(&mut self) -> &mut VerbsHost {
        &mut self.host
    }

    fn now(&self) -> Instant {
        self.host.now()
    }

    fn wait(&mut self, until: Instant) {
        self.host.wait(Some(until));
    }

    fn aftermath(&mut self) -> Aftermath {
        self.hooks.aftermath(&self.case)
    }
}
