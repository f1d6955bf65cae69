//! Connections on a real device: made, refused, lost, ended.

mod support;

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rdma_migration_protocol::deadline::TimeoutReason;
use rdma_migration_protocol::error::Error;
use rdma_migration_protocol::source::{Source, SourceConfig, SourceEvent};
use rdma_migration_protocol::transport::{
    BlockingTransport, FailedOperation, Machine, Operation, ReceiveBuffer, TransportError, drive,
};
use rdma_migration_transport_verbs::{VerbsConfig, VerbsError, VerbsTransport, devices};
use support::{ANSWER, LIMIT, OFFER, Seen, Side, address, connected, requested};

fn flushed_receives(buffers: &[u8]) -> Vec<Seen> {
    let flushed = |buffer: &u8| {
        let operation = FailedOperation::Receive { buffer: ReceiveBuffer(*buffer) };
        Seen::Failed(operation, TransportError::Flushed)
    };
    buffers.iter().map(flushed).chain([Seen::Disconnected]).collect()
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn both_sides_see_what_the_other_says_when_they_connect() {
    let mut destination = Side::listening(VerbsConfig::default());
    let mut source = destination.source(VerbsConfig::default());
    source.post(0);
    source.connect();
    let offer = requested(&mut source, &mut destination);
    assert_eq!(offer[..8], OFFER);
    assert!(offer[8..].iter().all(|byte| *byte == 0), "padded with zeroes");
    destination.post(0);
    destination.accept();
    let Seen::Established(answer) = source.next() else { panic!("no connection") };
    assert_eq!(answer[..8], ANSWER);
    assert_eq!(destination.next(), Seen::Established(Vec::new()));
    let device = source.transport.device_name().unwrap();
    assert!(devices().unwrap().contains(&device));
    assert_eq!(source.transport.peer_address(), destination.transport.local_address());
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_source_is_told_that_it_was_rejected() {
    let mut destination = Side::listening(VerbsConfig::default());
    let mut source = destination.source(VerbsConfig::default());
    source.post(0);
    source.connect();
    requested(&mut source, &mut destination);
    destination.post(0);
    destination.issue(Operation::Reject);
    assert_eq!(source.next(), Seen::Rejected);
    assert_eq!(source.disconnect(), flushed_receives(&[0]));
    assert_eq!(destination.disconnect(), flushed_receives(&[0]));
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn where_nobody_listens_a_source_is_told_so() {
    let destination = Side::listening(VerbsConfig::default());
    let mut source = destination.source(VerbsConfig::default());
    drop(destination);
    source.connect();
    assert_eq!(source.next(), Seen::ConnectionFailed(TransportError::Unreachable));
    let failure = source.transport.failure().unwrap().to_string();
    assert!(failure.starts_with("REJECTED, peer ") && failure.ends_with("reason 8"), "{failure}");
    assert_eq!(source.disconnect(), [Seen::Disconnected]);
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn an_unknown_host_fails_the_connection_without_blocking() {
    let mut source =
        Side { transport: VerbsTransport::to("no such host", 1, VerbsConfig::default()).unwrap() };
    source.post(0);
    source.connect();
    assert_eq!(source.next(), Seen::ConnectionFailed(TransportError::Unreachable));
    let failure = source.transport.failure().unwrap();
    assert!(matches!(failure, VerbsError::LookUp { host, .. } if host == "no such host"));
    assert_eq!(source.disconnect(), flushed_receives(&[0]));
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn an_address_that_no_device_leads_to_fails_the_connection() {
    let mut source =
        Side { transport: VerbsTransport::to("127.0.0.1", 1, VerbsConfig::default()).unwrap() };
    source.connect();
    assert_eq!(source.next(), Seen::ConnectionFailed(TransportError::Unreachable));
}

/// The address has a zone, which only the resolver understands: this goes the way of host names.
#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn ipv6_works_and_so_do_names() {
    let interfaces = std::fs::read_to_string("/proc/net/if_inet6").unwrap();
    let line = interfaces.lines().find(|line| line.ends_with("veth0")).unwrap();
    let digits: Vec<_> = line.as_bytes()[..32].chunks(4).collect();
    let digits: Vec<_> = digits.iter().map(|four| std::str::from_utf8(four).unwrap()).collect();
    let host = format!("{}%veth0", digits.join(":"));
    let config = VerbsConfig::default();
    let transport = VerbsTransport::listen(&host, 0, config.clone()).unwrap();
    let port = transport.local_address().unwrap().port();
    let mut destination = Side { transport };
    let mut source = Side { transport: VerbsTransport::to(&host, port, config).unwrap() };
    source.post(0);
    source.connect();
    requested(&mut source, &mut destination);
    destination.accept();
    assert!(matches!(source.next(), Seen::Established(_)));
    assert_eq!(destination.next(), Seen::Established(Vec::new()));
    destination.send(b"over IPv6");
    assert_eq!(source.next(), Seen::Received(0, b"over IPv6".to_vec()));
    assert!(source.transport.peer_address().unwrap().is_ipv6());
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_second_source_is_rejected_and_the_first_is_not_disturbed() {
    let (mut source, mut destination) = connected(1);
    let address = destination.transport.local_address().unwrap();
    let (host, port) = (address.ip().to_string(), address.port());
    let mut second =
        Side { transport: VerbsTransport::to(&host, port, VerbsConfig::default()).unwrap() };
    second.connect();
    let deadline = second.now().after(LIMIT);
    let seen = loop {
        // The destination takes the request in while it waits for other things.
        destination.next_within(Duration::from_millis(5)).ok_or(()).unwrap_err();
        if let Some(seen) = second.next_within(Duration::from_millis(5)) {
            break seen;
        }
        assert!(second.now() < deadline, "the second source was not answered");
    };
    assert_eq!(seen, Seen::Rejected);
    let denied = destination.transport.failure().cloned();
    assert!(matches!(denied, Some(VerbsError::SecondConnection { .. })), "{denied:?}");
    source.send(b"still here");
    assert_eq!(destination.next(), Seen::Received(0, b"still here".to_vec()));
    assert_eq!(source.next(), Seen::Sent);
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn what_was_sent_before_the_end_arrives_before_the_news_of_the_end() {
    let (mut source, mut destination) = connected(3);
    source.send(b"one");
    source.send(b"two");
    assert_eq!([source.next(), source.next()], [Seen::Sent, Seen::Sent]);
    assert_eq!(source.disconnect(), flushed_receives(&[0, 1, 2]));
    // Both are there before the destination looks for the first time.
    thread::sleep(Duration::from_millis(200));
    assert_eq!(destination.next(), Seen::Received(0, b"one".to_vec()));
    assert_eq!(destination.next(), Seen::Received(1, b"two".to_vec()));
    assert_eq!(destination.next(), Seen::Lost);
    assert_eq!(destination.disconnect(), flushed_receives(&[2]));
    assert_eq!(destination.transport.failure(), None);
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_source_that_is_dropped_is_missed_at_once() {
    let (source, mut destination) = connected(1);
    drop(source);
    assert_eq!(destination.next_within(Duration::from_secs(3)), Some(Seen::Lost));
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_disconnection_answers_every_posted_request_and_then_itself() {
    let (mut source, mut destination) = connected(3);
    // The destination never sees this: its receives are flushed, or take it, before.
    assert_eq!(source.disconnect(), flushed_receives(&[0, 1, 2]));
    assert_eq!(destination.next(), Seen::Lost);
    assert_eq!(destination.disconnect(), flushed_receives(&[0, 1, 2]));
    source.expect_nothing();
    destination.expect_nothing();
    source.post(1);
    let flushed = flushed_receives(&[1]).remove(0);
    assert_eq!(source.next(), flushed, "there is nothing to post to any more");
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn an_attempt_to_connect_can_be_given_up_at_any_moment() {
    for patience in [0, 1, 3, 10, 30] {
        let mut destination = Side::listening(VerbsConfig::default());
        let mut source = destination.source(VerbsConfig::default());
        source.post(0);
        source.connect();
        assert_eq!(source.next_within(Duration::from_millis(patience)), None);
        assert_eq!(source.disconnect(), flushed_receives(&[0]), "after {patience} ms");
        drop(source);
        // The destination has not looked: the request came and went, if it came. Its withdrawal may
        // be overtaken, or still be on its way: then there is somebody to refuse.
        thread::sleep(Duration::from_millis(200));
        match destination.next_within(Duration::from_millis(300)) {
            None => assert_eq!(destination.transport.failure(), None),
            Some(seen) => {
                assert!(matches!(seen, Seen::Requested(_)), "{seen:?}");
                destination.issue(Operation::Reject);
                assert_eq!(destination.disconnect(), [Seen::Disconnected]);
                continue;
            }
        }
        let mut another = destination.source(VerbsConfig::default());
        another.connect();
        requested(&mut another, &mut destination);
        destination.accept();
        assert!(matches!(another.next(), Seen::Established(_)));
    }
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_source_that_withdraws_before_it_is_accepted_is_unreachable() {
    let mut destination = Side::listening(VerbsConfig::default());
    let mut source = destination.source(VerbsConfig::default());
    source.connect();
    requested(&mut source, &mut destination);
    drop(source);
    thread::sleep(Duration::from_millis(300));
    destination.accept();
    assert_eq!(destination.next(), Seen::ConnectionFailed(TransportError::Unreachable));
    let failure = destination.transport.failure().unwrap();
    assert!(matches!(failure, VerbsError::Withdrawn { .. }), "{failure}");
    assert_eq!(destination.disconnect(), [Seen::Disconnected]);
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_wait_ends_at_its_deadline() {
    let (mut source, _destination) = connected(1);
    let begin = source.now();
    source.transport.wait(Some(begin.after(Duration::from_millis(250))));
    let waited = source.now().since(begin);
    assert!(waited >= Duration::from_millis(250) && waited < Duration::from_secs(5), "{waited:?}");
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn another_thread_ends_a_wait() {
    let (mut source, _destination) = connected(1);
    let waker = source.transport.waker();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        waker.wake();
    });
    let begin = source.now();
    source.transport.wait(Some(begin.after(LIMIT)));
    assert!(source.now().since(begin) < LIMIT);
    thread.join().unwrap();
    source.expect_nothing();
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_destination_that_never_answers_is_given_up_at_the_deadline_of_the_machine() {
    let destination = Side::listening(VerbsConfig::default());
    let mut side = destination.source(VerbsConfig::default());
    let mut config = SourceConfig::default();
    config.timeouts.connection = Duration::from_millis(800);
    let mut source = Source::new(config).unwrap();
    source.connect().unwrap();
    let begin = side.now();
    let mut end = None;
    drive(&mut source, &mut side.transport, &mut |source: &mut Source, _: &mut VerbsTransport| {
        while let Some(SourceEvent::Closed(closed)) = source.poll_event() {
            end = Some(closed);
        }
    });
    let waited = side.now().since(begin);
    assert!(waited >= Duration::from_millis(800) && waited < Duration::from_secs(5), "{waited:?}");
    let closed = end.unwrap();
    assert_eq!(closed.result, Err(Error::Timeout(TimeoutReason::Connection)));
    assert_eq!(closed.regions_left, 0);
}

#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn the_device_can_be_chosen_by_name() {
    let (source, destination) = connected(0);
    let device = source.transport.device_name().unwrap();
    drop((source, destination));

    let chosen = VerbsConfig { device: Some(device.clone()), ..VerbsConfig::default() };
    let mut destination = Side::listening(chosen.clone());
    let mut source = destination.source(chosen);
    source.connect();
    requested(&mut source, &mut destination);
    assert_eq!(source.transport.device_name(), Some(device.clone()));

    let unknown = VerbsConfig { device: Some("rxe99".to_owned()), ..VerbsConfig::default() };
    let error = VerbsTransport::listen(&address(), 0, unknown).unwrap_err();
    let VerbsError::UnknownDevice { wanted, present } = error else { panic!("{error}") };
    assert_eq!(wanted, "rxe99");
    assert!(present.contains(&device));
}

/// The name of a second device, to which the address under test does not belong.
fn other_device() -> VerbsConfig {
    let name = std::env::var("RDMA_MIGRATION_LAB_OTHER_DEVICE");
    let device = Some(name.expect("RDMA_MIGRATION_LAB_OTHER_DEVICE has to name a second device"));
    VerbsConfig { device, ..VerbsConfig::default() }
}

#[test]
#[ignore = "needs two RDMA devices: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_destination_takes_sources_by_the_device_of_its_choice_only() {
    let transport = VerbsTransport::listen("0.0.0.0", 0, other_device()).unwrap();
    let port = transport.local_address().unwrap().port();
    let mut destination = Side { transport };
    let transport = VerbsTransport::to(&address(), port, VerbsConfig::default()).unwrap();
    let mut source = Side { transport };
    source.connect();
    let deadline = source.now().after(LIMIT);
    let seen = loop {
        assert_eq!(destination.next_within(Duration::from_millis(5)), None);
        if let Some(seen) = source.next_within(Duration::from_millis(5)) {
            break seen;
        }
        assert!(source.now() < deadline, "the source was not answered");
    };
    assert_eq!(seen, Seen::Rejected);
    // It listens on: another source may come by the right device.
    assert_eq!(destination.transport.failure(), None);
    assert_eq!(destination.transport.peer_address(), None);
}

#[test]
#[ignore = "needs two RDMA devices: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_source_goes_by_the_device_of_its_choice_or_not_at_all() {
    let destination = Side::listening(VerbsConfig::default());
    // Nothing on the link of that device has the address.
    let resolve_timeout = Duration::from_millis(500);
    let mut source = destination.source(VerbsConfig { resolve_timeout, ..other_device() });
    source.connect();
    assert_eq!(source.next(), Seen::ConnectionFailed(TransportError::Unreachable));
    let failure = source.transport.failure().unwrap();
    assert!(matches!(failure, VerbsError::Connection { event: "ADDR_ERROR", .. }), "{failure}");
}

const PEER_OF: &str = "RDMA_MIGRATION_TEST_PEER_OF";

/// Runs this test program once more, as the source, and kills it.
#[test]
#[ignore = "needs an RDMA device: run it in the lab, `transport-verbs/lab/run verbs-tests`"]
fn a_source_that_is_killed_is_missed_at_once() {
    let name = "a_source_that_is_killed_is_missed_at_once";
    if let Ok(port) = std::env::var(PEER_OF) {
        let port = port.parse().unwrap();
        let transport = VerbsTransport::to(&address(), port, VerbsConfig::default()).unwrap();
        let mut source = Side { transport };
        source.connect();
        assert!(matches!(source.next(), Seen::Established(_)));
        source.send(b"alive");
        assert_eq!(source.next(), Seen::Sent);
        thread::sleep(LIMIT);
        panic!("nobody has killed this process");
    }
    let mut destination = Side::listening(VerbsConfig::default());
    let port = destination.transport.local_address().unwrap().port();
    let mut source = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", name])
        .env(PEER_OF, port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(matches!(destination.next(), Seen::Requested(_)));
    destination.post(0);
    destination.post(1);
    destination.accept();
    // The first message may overtake the news that the connection is up.
    let seen = [destination.next(), destination.next()];
    assert!(seen.contains(&Seen::Established(Vec::new())), "{seen:?}");
    assert!(seen.contains(&Seen::Received(0, b"alive".to_vec())), "{seen:?}");
    source.kill().unwrap();
    source.wait().unwrap();
    assert_eq!(destination.next_within(Duration::from_secs(3)), Some(Seen::Lost));
    assert_eq!(destination.disconnect(), flushed_receives(&[1]));
}
