//! Both sides of a migration on one thread, driven by one epoll loop: nothing in them blocks.
//!
//! ```sh
//! cargo run -p rdma-migration-transport-verbs --example epoll -- ADDRESS
//! ```
//!
//! ADDRESS is an address of this host by which an RDMA device can be reached. With `RUST_LOG=debug`
//! in the environment it says what the connection manager does, with `trace` each operation.

#[path = "../tests/support/owners.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod owners;

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use owners::{Arriving, Leaving, empty_guest, full_guest, same_ram};
use rdma_migration_protocol::destination::{Destination, DestinationConfig};
use rdma_migration_protocol::source::{Source, SourceConfig};
use rdma_migration_protocol::transport::{Machine, Owner, Transport, turn};
use rdma_migration_transport_verbs::{VerbsConfig, VerbsTransport};
use tracing_subscriber::EnvFilter;

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).init();
    let address = std::env::args().nth(1).ok_or("usage: epoll ADDRESS")?;
    let blocks = [16 << 20, 4096];
    let (there, here) = (full_guest(&blocks), empty_guest(&blocks));

    let transport = VerbsTransport::listen(&address, 0, VerbsConfig::default())?;
    let port = transport.local_address().ok_or("the listener has no address")?.port();
    let machine = Destination::new(DestinationConfig::default());
    let mut destination = Side { machine, transport, owner: Arriving::new(here.clone()) };

    let transport = VerbsTransport::to(&address, port, VerbsConfig::default())?;
    let mut machine = Source::new(SourceConfig::default())?;
    machine.connect()?;
    let mut source = Side { machine, transport, owner: Leaving::new(there.clone()) };

    let loops = run(&mut [&mut destination, &mut source])?;
    for closed in [&source.owner.closed, &destination.owner.closed] {
        let closed = closed.as_ref().ok_or("a side has not closed")?;
        closed.result.clone()?;
    }
    if !same_ram(&there, &here) {
        return Err("the guest has changed on the way".into());
    }
    println!("the guest has arrived as it left, in {loops} rounds of the event loop");
    Ok(())
}

/// One side of a migration, as the event loop sees it.
trait Handler: AsFd {
    /// Does all that can be done now. Returns how long the loop may sleep, in milliseconds, -1 for
    /// any time; `None` if this side has come to its end.
    fn handle(&mut self) -> Option<i32>;
}

struct Side<M, O> {
    machine: M,
    transport: VerbsTransport,
    owner: O,
}

impl<M: Machine, O: Owner<M, VerbsTransport>> Handler for Side<M, O> {
    fn handle(&mut self) -> Option<i32> {
        turn(&mut self.machine, &mut self.transport, &mut self.owner);
        if self.machine.is_closed() {
            return None;
        }
        if self.transport.arm() {
            // Something has come meanwhile: do not sleep.
            return Some(0);
        }
        let Some((deadline, _)) = self.machine.poll_timeout() else { return Some(-1) };
        let left = deadline.since(self.transport.now());
        Some(i32::try_from(left.as_millis().saturating_add(1)).unwrap_or(i32::MAX))
    }
}

impl<M, O> AsFd for Side<M, O> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

/// Runs all sides to their ends. Returns how often the loop went round.
fn run(sides: &mut [&mut dyn Handler]) -> io::Result<u64> {
    let epoll = Epoll::new()?;
    for (side, token) in sides.iter().zip(0..) {
        epoll.add(side.as_fd(), token)?;
    }
    let mut loops = 0;
    // All are ready once, to begin.
    let mut ready: Vec<u64> = (0..).take(sides.len()).collect();
    let mut sleeps: BTreeMap<u64, i32> = BTreeMap::new();
    while loops == 0 || !sleeps.is_empty() {
        for (side, token) in sides.iter_mut().zip(0..) {
            // A deadline may have come where nothing is ready.
            if ready.contains(&token) || sleeps.contains_key(&token) {
                match side.handle() {
                    Some(sleep) => sleeps.insert(token, sleep),
                    None => sleeps.remove(&token),
                };
            }
        }
        let shortest = sleeps.values().copied().filter(|sleep| *sleep >= 0).min();
        ready = if sleeps.is_empty() { Vec::new() } else { epoll.wait(shortest.unwrap_or(-1))? };
        loops += 1;
    }
    Ok(loops)
}

/// An epoll instance; an event loop has its own kind.
struct Epoll(OwnedFd);

impl Epoll {
    fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointers.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it was opened just now.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    fn add(&self, watched: impl AsFd, token: u64) -> io::Result<()> {
        let events = u32::try_from(libc::EPOLLIN).unwrap_or_default();
        let mut event = libc::epoll_event { events, u64: token };
        let (epoll, watched) = (self.0.as_raw_fd(), watched.as_fd().as_raw_fd());
        // SAFETY: both descriptors are open, and the event is only read.
        let result =
            unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, watched, &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn wait(&self, milliseconds: i32) -> io::Result<Vec<u64>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
        let room = i32::try_from(events.len()).unwrap_or(1);
        // SAFETY: there is room for as many events as are asked for.
        let count = unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, milliseconds)
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        let count = usize::try_from(count).unwrap_or_default();
        Ok(events.iter().take(count).map(|event| event.u64).collect())
    }
}
