//! Peers of any make, over real verbs.

use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{BlockingTransport, Transport};
use rdma_migration_transport_verbs::{VerbsConfig, VerbsError, VerbsTransport};

use super::hooks::{Beside, HookError, Hooks};
use super::link::{Host, Live};
use super::{Aftermath, Case, Link, Role};
use crate::rdma_address::RdmaAddress;
use crate::verbs_host::VerbsHost;

/// Where the peer is, or is waited for, and how it is handled.
#[derive(Clone, Debug)]
pub struct VerbsPeer {
    /// Where a destination under test listens, or where a source under test will connect to.
    pub address: RdmaAddress,
    /// The RDMA device to use, if not the one that the address leads to.
    pub device: Option<String>,
    /// How the peer is started and watched.
    pub hooks: Hooks,
}

/// Why a case cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// There is no transport.
    #[error("{0}")]
    Verbs(#[from] VerbsError),
    /// A hook failed.
    #[error("{0}")]
    Hook(#[from] HookError),
}

impl VerbsPeer {
    /// Starts the peer for a case, and returns the link to it.
    ///
    /// # Errors
    /// [`Unavailable`] if the peer cannot be started, or there is no RDMA device.
    pub fn link(&self, case: &Case) -> Result<Box<dyn Link>, Unavailable> {
        let RdmaAddress { host, port } = &self.address;
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
        let hooks = self.hooks.clone();
        Ok(Box::new(Live::new(PeerHost { host, hooks, case: *case, _beside: beside })))
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
