//! Host names become addresses on a thread of their own: the resolver of the C library blocks.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use crate::error::{Errno, VerbsError};
use crate::readiness::Waker;

/// A look-up that is under way. Dropping it gives it up; its thread then ends in its own time.
pub(crate) struct LookUp {
    host: String,
    answer: Receiver<Result<Vec<SocketAddr>, String>>,
}

impl LookUp {
    pub(crate) fn start(host: &str, port: u16, waker: Option<Waker>) -> Result<Self, VerbsError> {
        let (sender, answer) = channel();
        let name = host.to_owned();
        let body = move || {
            let found = look_up(&name, port);
            let _given_up = sender.send(found);
            if let Some(waker) = waker {
                waker.wake();
            }
        };
        let started = thread::Builder::new().name("rdma-look-up".to_owned()).spawn(body);
        started.map_err(|error| VerbsError::Call {
            call: "pthread_create",
            peer: None,
            errno: Errno(error.raw_os_error().unwrap_or(libc::EAGAIN)),
        })?;
        Ok(Self { host: host.to_owned(), answer })
    }

    /// The addresses, at least one, once they are known.
    pub(crate) fn poll(&self) -> Option<Result<Vec<SocketAddr>, VerbsError>> {
        match self.answer.try_recv() {
            Ok(found) => Some(found.map_err(|reason| self.failed(reason))),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(self.failed("the look-up died".to_owned())))
            }
        }
    }

    /// The addresses, at least one, after a wait for at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Result<Vec<SocketAddr>, VerbsError> {
        match self.answer.recv_timeout(limit) {
            Ok(found) => found.map_err(|reason| self.failed(reason)),
            Err(RecvTimeoutError::Timeout) => Err(self.failed(format!("no answer in {limit:?}"))),
            Err(RecvTimeoutError::Disconnected) => Err(self.failed("the look-up died".to_owned())),
        }
    }

    fn failed(&self, reason: String) -> VerbsError {
        VerbsError::LookUp { host: self.host.clone(), reason }
    }
}

/// The address that `host` is, where it is one and no name.
pub(crate) fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port))
}

fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let found = (bare, port).to_socket_addrs().map_err(|error| error.to_string())?;
    let mut addresses: Vec<_> = found.collect();
    addresses.dedup();
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_look_up() {
        assert_eq!(literal("192.0.2.1", 7), Some("192.0.2.1:7".parse().unwrap()));
        assert_eq!(literal("2001:db8::1", 7), Some("[2001:db8::1]:7".parse().unwrap()));
        assert_eq!(literal("[2001:db8::1]", 7), Some("[2001:db8::1]:7".parse().unwrap()));
        assert_eq!(literal("localhost", 7), None);
    }

    #[test]
    fn a_name_is_looked_up_beside_the_caller() {
        let look_up = LookUp::start("localhost", 4444, None).unwrap();
        let addresses = look_up.wait(Duration::from_secs(20)).unwrap();
        assert!(
            addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 4444)
        );
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_it() {
        let look_up = LookUp::start("no such host", 1, None).unwrap();
        let error = look_up.wait(Duration::from_secs(20)).unwrap_err();
        assert!(error.to_string().contains("no such host"), "{error}");
    }
}
