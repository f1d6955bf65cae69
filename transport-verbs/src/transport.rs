//! The transport itself: what an owner makes, and what the run loop drives.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time;

use rdma_migration_protocol::address::{BlockIndex, HostAddress};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{
    BlockingTransport, Input, Operation, ReceiveBuffer, RegionId, Transport,
};

use crate::config::VerbsConfig;
use crate::connection_id::ConnectionId;
use crate::connection_manager::{EventChannel, PrivateData};
use crate::control_buffers::ControlBuffers;
use crate::endpoint::Endpoint;
use crate::error::{Errno, VerbsError};
use crate::guest_ram::{GuestRam, RamBlocks};
use crate::link::{Link, Target};
use crate::look_up::{LookUp, literal};
use crate::memory_region::MemoryRegion;
use crate::memory_worker::MemoryWorkers;
use crate::ram_range::RamRange;
use crate::readiness::{Readiness, Waker};
use crate::report::Report;

/// One side of one migration over real verbs.
///
/// It is driven by [`drive`](rdma_migration_protocol::transport::drive), or by
/// [`turn`](rdma_migration_protocol::transport::turn) from an event loop: see [`Self::arm`].
///
/// Dropping it ends the connection and gives everything back. That waits for a registration that is
/// under way, and for at most a quarter of a second for the peer to confirm the end.
pub struct VerbsTransport {
    pub(crate) config: VerbsConfig,
    pub(crate) link: Link,
    /// What a source connects to.
    pub(crate) target: Option<Target>,
    pub(crate) reports: VecDeque<Report>,
    pub(crate) private_data: PrivateData,
    /// Receives that were issued before there was a queue pair to post them to.
    pub(crate) waiting_receives: VecDeque<ReceiveBuffer>,
    /// Whether messages could be exchanged at any time.
    pub(crate) was_established: bool,
    /// Whether the peer has ended the connection, or confirmed its end.
    pub(crate) peer_is_gone: bool,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) control: ControlBuffers,
    pub(crate) regions: HashMap<RegionId, MemoryRegion>,
    /// `None` only while the transport is dropped.
    pub(crate) workers: Option<MemoryWorkers>,
    pub(crate) blocks: RamBlocks,
    pub(crate) id: Option<Arc<ConnectionId>>,
    pub(crate) listener: Option<ConnectionId>,
    pub(crate) channel: Arc<EventChannel>,
    pub(crate) readiness: Readiness,
    pub(crate) failure: Option<VerbsError>,
    origin: time::Instant,
}

impl VerbsTransport {
    /// The transport of a source. It connects, to a host name or an address of IPv4 or IPv6, when its
    /// machine does.
    ///
    /// # Errors
    ///
    /// [`VerbsError::NoDevice`], [`VerbsError::UnknownDevice`], or what the system says.
    pub fn to(host: &str, port: u16, config: VerbsConfig) -> Result<Self, VerbsError> {
        let mut transport = Self::new(config)?;
        transport.target = Some(Target { host: host.to_owned(), port });
        Ok(transport)
    }

    /// The transport of a destination, which listens from now on, on an address or host name of this
    /// host; on all of them if it is `0.0.0.0` or `::`. Port 0 stands for any that is free.
    ///
    /// Only the first source is taken; later ones are rejected.
    ///
    /// # Errors
    ///
    /// As for [`Self::to`], and [`VerbsError::LookUp`] for a name that leads nowhere.
    pub fn listen(host: &str, port: u16, config: VerbsConfig) -> Result<Self, VerbsError> {
        let mut transport = Self::new(config)?;
        let addresses = match literal(host, port) {
            Some(address) => vec![address],
            None => LookUp::start(host, port, None)?.wait(transport.config.resolve_timeout)?,
        };
        let mut refused = None;
        for address in &addresses {
            let listener = ConnectionId::new(&transport.channel)?;
            match listener.listen(address) {
                Ok(()) => {
                    tracing::debug!(local = ?listener.local(), "listening");
                    transport.listener = Some(listener);
                    transport.link = Link::Listening;
                    return Ok(transport);
                }
                Err(error) => refused = Some(error),
            }
        }
        let (host, reason) = (host.to_owned(), "it has no address".to_owned());
        Err(refused.unwrap_or(VerbsError::LookUp { host, reason }))
    }

    fn new(config: VerbsConfig) -> Result<Self, VerbsError> {
        let channel = EventChannel::open()?;
        if let Some(device) = &config.device {
            crate::device::require(device)?;
        }
        let system = |call| move |_| VerbsError::last(call, None);
        let readiness = Readiness::new().map_err(system("epoll"))?;
        readiness.watch(channel.descriptor()).map_err(system("epoll_ctl"))?;
        let workers = MemoryWorkers::start(&readiness.waker()).map_err(system("pthread_create"))?;
        let allocation = |errno| VerbsError::Call { call: "aligned_alloc", peer: None, errno };
        Ok(Self {
            config,
            link: Link::Idle,
            target: None,
            reports: VecDeque::new(),
            private_data: PrivateData::NONE,
            waiting_receives: VecDeque::new(),
            was_established: false,
            peer_is_gone: false,
            endpoint: None,
            control: ControlBuffers::new().map_err(allocation)?,
            regions: HashMap::new(),
            workers: Some(workers),
            blocks: RamBlocks::default(),
            id: None,
            listener: None,
            channel,
            readiness,
            failure: None,
            origin: time::Instant::now(),
        })
    }

    /// Attaches the next RAM block, in the order of the RAM block exchange, as a raw range.
    ///
    /// # Safety
    ///
    /// From now on until this transport is dropped, or [`std::mem::forget`] makes that never:
    ///
    /// - the `length` bytes from `pointer` on are one mapping or several without a gap, readable, and
    ///   at a destination writable, and they stay mapped;
    /// - no Rust reference to any of them exists: this process, its threads, its guest and the adapter
    ///   read and write them through pointers only, and race with each other;
    /// - at a destination nobody but this transport relies on their contents until the guest is
    ///   released.
    pub unsafe fn attach(&mut self, pointer: NonNull<u8>, length: usize) -> BlockIndex {
        // SAFETY: what the caller promises covers what a range needs: the transport and its threads
        // use no range after the transport is dropped.
        let range = unsafe { RamRange::new(pointer, length) };
        self.blocks.attach(range, None)
    }

    /// Attaches the next RAM block, in the order of the RAM block exchange, and keeps it mapped.
    pub fn attach_ram(&mut self, ram: Arc<GuestRam>) -> BlockIndex {
        self.blocks.attach_ram(ram)
    }

    /// Where this process has the first byte of a block.
    #[must_use]
    pub fn host_address(&self, block: BlockIndex) -> Option<HostAddress> {
        self.blocks.host_address(block)
    }

    /// Length of a block in bytes.
    #[must_use]
    pub fn block_length(&self, block: BlockIndex) -> Option<u64> {
        self.blocks.length(block)
    }

    /// The address of this end: of the connection if there is one, else that on which it listens.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        let end = self.id.as_deref().or(self.listener.as_ref());
        end.and_then(ConnectionId::local)
    }

    /// The address of the other end, once there is one.
    #[must_use]
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.id.as_deref().and_then(ConnectionId::peer)
    }

    /// The RDMA device that the connection goes by, once that is known.
    #[must_use]
    pub fn device_name(&self) -> Option<String> {
        self.id.as_deref().map(ConnectionId::device_name).filter(|name| !name.is_empty())
    }

    /// The first thing that went wrong here, in more detail than the machine was told; or what the
    /// peer was denied, which need not have ended the migration.
    #[must_use]
    pub const fn failure(&self) -> Option<&VerbsError> {
        self.failure.as_ref()
    }

    /// Something by which other threads can end a [wait](BlockingTransport::wait), so that the owner
    /// attends.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.readiness.waker()
    }

    /// Prepares for a sleep: from now on the [descriptor](AsFd) becomes readable as soon as there is
    /// an input. Returns true if there is one already: then do not sleep.
    ///
    /// An event loop of the owner's own goes: [`turn`](rdma_migration_protocol::transport::turn);
    /// end if the machine is closed; start over if `arm` returns true; sleep until the descriptor is
    /// readable or the machine's next deadline has come; start over. The descriptor is the same as
    /// long as the transport lives.
    pub fn arm(&mut self) -> bool {
        if !self.reports.is_empty() {
            return true;
        }
        if let Some(endpoint) = &mut self.endpoint
            && let Err(error) = endpoint.arm()
        {
            self.lose_connection(error);
        }
        self.gather();
        !self.reports.is_empty()
    }

    /// Keeps the first failure for the owner.
    pub(crate) fn record(&mut self, error: VerbsError) {
        tracing::warn!(%error, "transport failure");
        self.failure.get_or_insert(error);
    }

    /// Takes in what has happened since the last time, as reports.
    pub(crate) fn gather(&mut self) {
        self.readiness.clear_wake();
        self.take_look_up();
        self.take_answers();
        self.take_completions();
        // Only once the completion queues are empty, so that the news of a disconnection comes after
        // everything that completed before.
        if self.reports.is_empty() {
            self.take_events();
        }
        self.advance_drain();
    }

    /// Looks for completions for a short time. True as soon as there may be an input.
    fn spin(&mut self, until: Option<Instant>) -> bool {
        let end = self.now().after(self.config.spin);
        let end = until.map_or(end, |until| until.min(end));
        while self.endpoint.as_ref().is_some_and(|endpoint| endpoint.queue_pair.is_some()) {
            self.take_completions();
            if !self.reports.is_empty() || self.readiness.is_woken() {
                return true;
            }
            if self.now() >= end {
                return false;
            }
            std::hint::spin_loop();
        }
        false
    }
}

impl Transport for VerbsTransport {
    fn now(&self) -> Instant {
        let elapsed = self.origin.elapsed().as_nanos();
        Instant::from_nanoseconds(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn send_buffer(&mut self) -> &mut [u8] {
        self.control.send_buffer()
    }

    fn issue(&mut self, operation: Operation) {
        tracing::trace!(?operation, "issue");
        if !matches!(operation, Operation::WriteRam(_) | Operation::Send { .. }) {
            self.post_held();
        }
        match operation {
            Operation::Connect { private_data } => self.connect(private_data),
            Operation::Accept { private_data } => self.accept(private_data),
            Operation::Reject => self.reject(),
            Operation::Disconnect => self.disconnect(),
            Operation::PostReceive { buffer } => self.post_receive(buffer),
            Operation::Send { length } => self.send(length),
            Operation::WriteRam(write) => self.write_ram(&write),
            Operation::ScanRam { block, offset, length } => self.scan_ram(block, offset, length),
            Operation::ZeroRam { block, offset, length } => self.zero_ram(block, offset, length),
            Operation::RegisterMemory { region, block, offset, length, access } => {
                let range = self.blocks.range(block, offset, length);
                self.register_memory(region, range, access);
            }
            Operation::DeregisterMemory { region } => self.deregister_memory(region),
        }
    }

    fn poll(&mut self) -> Option<Input<'_>> {
        self.post_held();
        if self.reports.is_empty() {
            self.gather();
        }
        let report = self.reports.pop_front()?;
        tracing::trace!(?report, "report");
        Some(report.show(&self.private_data, &self.control))
    }

    fn receive_buffer(&self, buffer: ReceiveBuffer) -> &[u8] {
        self.control.message(buffer)
    }
}

impl BlockingTransport for VerbsTransport {
    fn wait(&mut self, until: Option<Instant>) {
        if !self.reports.is_empty() || self.spin(until) || self.arm() {
            return;
        }
        let limit = until.map(|until| until.since(self.now()));
        self.readiness.sleep(limit);
    }
}

/// The descriptor to watch for reading: see [`VerbsTransport::arm`].
impl AsFd for VerbsTransport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }
}

impl fmt::Debug for VerbsTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("VerbsTransport")
            .field("link", &self.link)
            .field("local", &self.local_address())
            .field("peer", &self.peer_address())
            .field("regions", &self.regions.len())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// Some failures have no call to name but a number all the same.
pub(crate) const fn failed_call(call: &'static str, errno: i32) -> VerbsError {
    VerbsError::Call { call, peer: None, errno: Errno(errno) }
}
