//! Private data of a connection: the capabilities of either side.

use rdma_migration_conformance::codec;
use rdma_migration_protocol::connection::{Closed, NewerVersion, PinAllOffer, PinAllPolicy};
use rdma_migration_protocol::destination::{Destination, DestinationConfig, DestinationEvent};
use rdma_migration_protocol::error::Error;
use rdma_migration_protocol::source::{Source, SourceConfig, SourceEvent};
use rdma_migration_protocol::time::Instant;
use rdma_migration_protocol::transport::{Completion, ConnectionEvent, Machine, Operation};
use rdma_migration_protocol::wire::{Capabilities, Flags};

use crate::naive;

const NOW: Instant = Instant::ORIGIN;

/// Reads private data with three decoders, and lets both sides negotiate over it.
///
/// # Panics
///
/// If the decoders differ, or a side takes what the specification has it refuse.
pub fn drive(bytes: &[u8]) {
    let parsed = Capabilities::parse(bytes).ok();
    let fields = parsed.map(|read| (u128::from(read.version), u128::from(read.flags.bits())));
    assert_eq!(fields, naive::capabilities(bytes));
    let suite = codec::Capabilities::decode(bytes).ok();
    assert_eq!(suite.map(|read| (read.version.into(), read.flags.into())), fields);
    if let Some(read) = parsed {
        assert_eq!(read.to_bytes(), bytes[..8]);
    }
    // What follows the capabilities says nothing to either side, and here which policy they have.
    let choice = bytes.get(8).map_or(0, |byte| usize::from(*byte));
    let offers = [PinAllOffer::Never, PinAllOffer::Preferred, PinAllOffer::Required];
    let offer = offers[choice % 3];
    assert_eq!(at_source(offer, bytes), expected_at_source(offer, parsed), "{offer:?}");
    let pin_all = [PinAllPolicy::Accept, PinAllPolicy::Refuse, PinAllPolicy::Decline];
    let pin_all = pin_all[choice / 3 % 3];
    let newer_version = [NewerVersion::AnswerWithOurs, NewerVersion::Refuse][choice / 9 % 2];
    let answer = at_destination(pin_all, newer_version, bytes);
    let expected = expected_at_destination(pin_all, newer_version, parsed);
    assert_eq!(answer, expected, "{pin_all:?} {newer_version:?}");
}

/// Whether a source that is answered with this goes on, and whether all RAM is pinned then.
fn at_source(pin_all: PinAllOffer, private_data: &[u8]) -> Option<bool> {
    let config = SourceConfig { pin_all, ..SourceConfig::default() };
    let mut source = Source::new(config).expect("a valid configuration");
    source.connect().expect("the first call");
    while source.poll_operation(&mut [], NOW).is_some() {}
    source.handle_connection(ConnectionEvent::Established { private_data }, NOW);
    let buffer = &mut [0; 64];
    while let Some(operation) = source.poll_operation(buffer, NOW) {
        answer(&mut source, operation);
    }
    let agreed = match source.poll_event() {
        Some(SourceEvent::Connected(negotiated)) => return Some(negotiated.pin_all),
        Some(SourceEvent::Closed(Closed { result, .. })) => result,
        other => panic!("{other:?}"),
    };
    assert!(matches!(agreed, Err(Error::Malformed(_) | Error::PeerIncompatible(_))), "{agreed:?}");
    assert!(source.is_closed());
    None
}

/// What CON-2, CON-16 and CON-17 say.
fn expected_at_source(offer: PinAllOffer, reply: Option<Capabilities>) -> Option<bool> {
    let Capabilities { flags, .. } = reply.filter(|reply| reply.version > 0)?;
    let granted = flags.bits() & 1 == 1;
    match offer {
        PinAllOffer::Never => Some(false),
        PinAllOffer::Preferred => Some(granted),
        PinAllOffer::Required => granted.then_some(true),
    }
}

/// The answer of a destination that is asked with this; none where it refuses.
fn at_destination(
    pin_all: PinAllPolicy,
    newer_version: NewerVersion,
    private_data: &[u8],
) -> Option<[u8; 8]> {
    let config = DestinationConfig { pin_all, newer_version, ..DestinationConfig::default() };
    let mut destination = Destination::new(config);
    destination.handle_connection(ConnectionEvent::Requested { private_data }, NOW);
    let mut rejected = false;
    while let Some(operation) = destination.poll_operation(&mut [], NOW) {
        if let Operation::Accept { private_data } = operation {
            return Some(private_data);
        }
        rejected |= operation == Operation::Reject;
        answer(&mut destination, operation);
    }
    let Some(DestinationEvent::Closed(Closed { result, .. })) = destination.poll_event() else {
        panic!("it neither accepts nor refuses");
    };
    assert!(matches!(result, Err(Error::Malformed(_) | Error::PeerIncompatible(_))), "{result:?}");
    assert!(rejected && destination.is_closed());
    None
}

/// What CON-2 and CON-11 to CON-14 say.
fn expected_at_destination(
    pin_all: PinAllPolicy,
    newer_version: NewerVersion,
    request: Option<Capabilities>,
) -> Option<[u8; 8]> {
    let Capabilities { version, flags } = request.filter(|request| request.version > 0)?;
    let refused = version > 1 && newer_version == NewerVersion::Refuse;
    let offered = flags.contains(Flags::PIN_ALL);
    match (offered, pin_all) {
        _ if refused => None,
        (true, PinAllPolicy::Refuse) => None,
        (true, PinAllPolicy::Accept) => Some([0, 0, 0, 1, 0, 0, 0, 1]),
        (true, PinAllPolicy::Decline) | (false, _) => Some([0, 0, 0, 1, 0, 0, 0, 0]),
    }
}

fn answer(machine: &mut impl Machine, operation: Operation) {
    match operation {
        Operation::Send { .. } => machine.handle_completion(Completion::Sent, NOW),
        Operation::Disconnect => machine.handle_completion(Completion::Disconnected, NOW),
        _ => {}
    }
}
