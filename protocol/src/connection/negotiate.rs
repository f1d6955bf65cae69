//! Version and capabilities, exchanged as private data of the connection management messages.

use crate::error::{Error, Incompatibility};
use crate::wire::{Capabilities, Flags, PROTOCOL_VERSION};

/// What both sides have agreed to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Negotiated {
    /// Whether all RAM is pinned and registered when the RAM blocks are exchanged. Otherwise
    /// chunks are registered as they are needed.
    pub pin_all: bool,
}

/// Whether a source asks for all RAM to be pinned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum PinAllOffer {
    /// It does not; chunks are registered as they are needed.
    #[default]
    Never,
    /// It does, and goes on without where the destination declines.
    Preferred,
    /// It does, and ends the migration where the destination declines.
    Required,
}

/// What a destination answers to a source that asks for all RAM to be pinned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum PinAllPolicy {
    /// Agree.
    #[default]
    Accept,
    /// Refuse the connection.
    Refuse,
    /// Accept the connection without the flag. QEMU sources from 2.7 to 8.1 abort, guest and all,
    /// when they receive this answer; use it only with peers that are known to take it.
    Decline,
}

/// What a destination answers to a source of a newer version than 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum NewerVersion {
    /// Answer with version 1 and what it can do.
    #[default]
    AnswerWithOurs,
    /// Refuse the connection.
    Refuse,
}

/// The capabilities that a source opens with.
pub(crate) fn offer(pin_all: PinAllOffer) -> Capabilities {
    let flags = match pin_all {
        PinAllOffer::Never => Flags::NONE,
        PinAllOffer::Preferred | PinAllOffer::Required => Flags::PIN_ALL,
    };
    //= spec/text/02-connection.md#negotiation
    //# [CON-10] A source MUST offer version 1.
    Capabilities { version: PROTOCOL_VERSION, flags }
}

/// Reads a destination's answer to [`offer`].
pub(crate) fn confirm(pin_all: PinAllOffer, private_data: &[u8]) -> Result<Negotiated, Error> {
    let reply = Capabilities::parse(private_data)?;
    //= spec/text/02-connection.md#negotiation
    //# [CON-17] A source MUST refuse a reply whose version is 0.
    if reply.version == 0 {
        return Err(Incompatibility::Version { received: reply.version }.into());
    }
    //= spec/text/02-connection.md#negotiation
    //# [CON-16] A source MUST take a capability for agreed only where it offered it and the reply
    //# carries it.
    match (pin_all, reply.flags.contains(Flags::PIN_ALL)) {
        (PinAllOffer::Never, _) => Ok(Negotiated { pin_all: false }),
        (PinAllOffer::Preferred, agreed) => Ok(Negotiated { pin_all: agreed }),
        (PinAllOffer::Required, true) => Ok(Negotiated { pin_all: true }),
        (PinAllOffer::Required, false) => Err(Incompatibility::PinAllDeclined.into()),
    }
}

/// A destination's policies on what sources ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Negotiator {
    pub(crate) pin_all: PinAllPolicy,
    pub(crate) newer_version: NewerVersion,
}

impl Negotiator {
    /// The answer to a source's private data, and what is agreed by it. An error means that the
    /// connection is to be refused.
    pub(crate) fn answer(self, private_data: &[u8]) -> Result<(Capabilities, Negotiated), Error> {
        let request = Capabilities::parse(private_data)?;
        let refused = Incompatibility::Version { received: request.version };
        match (request.version, self.newer_version) {
            //= spec/text/02-connection.md#negotiation
            //# [CON-11] A destination MUST refuse a request whose version is 0.
            (0, _) => return Err(refused.into()),
            (PROTOCOL_VERSION, _) => {}
            //= spec/text/02-connection.md#negotiation
            //# [CON-12] A destination MUST answer a request of a newer version with version 1, unless
            //# its policy is to refuse newer versions.
            (_, NewerVersion::AnswerWithOurs) => {}
            (_, NewerVersion::Refuse) => return Err(refused.into()),
        }
        //= spec/text/02-connection.md#negotiation
        //# [CON-13] A destination MUST answer with no flag that it does not know or that was not
        //# offered.
        let offered = request.flags.contains(Flags::PIN_ALL);
        //= spec/text/02-connection.md#negotiation
        //# [CON-14] A destination MUST answer with PIN_ALL where it was offered, unless its policy is
        //# another.
        let (flags, pin_all) = match (offered, self.pin_all) {
            (false, _) | (true, PinAllPolicy::Decline) => (Flags::NONE, false),
            (true, PinAllPolicy::Accept) => (Flags::PIN_ALL, true),
            (true, PinAllPolicy::Refuse) => return Err(Incompatibility::PinAllRefused.into()),
        };
        Ok((Capabilities { version: PROTOCOL_VERSION, flags }, Negotiated { pin_all }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Malformed;

    const DEFAULT: Negotiator =
        Negotiator { pin_all: PinAllPolicy::Accept, newer_version: NewerVersion::AnswerWithOurs };

    fn private_data(version: u32, flags: u32) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&version.to_be_bytes());
        bytes[4..].copy_from_slice(&flags.to_be_bytes());
        bytes
    }

    fn answer(negotiator: Negotiator, version: u32, flags: u32) -> Result<([u8; 8], bool), Error> {
        let (capabilities, negotiated) = negotiator.answer(&private_data(version, flags))?;
        Ok((capabilities.to_bytes(), negotiated.pin_all))
    }

    //= spec/text/02-connection.md#negotiation
    //= type=test
    //# [CON-10] A source MUST offer version 1.
    #[test]
    fn a_source_offers_version_1_and_pin_all_only_when_it_wants_it() {
        assert_eq!(offer(PinAllOffer::Never).to_bytes(), private_data(1, 0));
        assert_eq!(offer(PinAllOffer::Preferred).to_bytes(), private_data(1, 1));
        assert_eq!(offer(PinAllOffer::Required).to_bytes(), private_data(1, 1));
    }

    //= spec/text/02-connection.md#negotiation
    //= type=test
    //# [CON-13] A destination MUST answer with no flag that it does not know or that was not
    //# offered.
    #[test]
    fn unknown_flags_are_dropped_from_the_answer() {
        assert_eq!(answer(DEFAULT, 1, 0xffff_fffe), Ok((private_data(1, 0), false)));
        assert_eq!(answer(DEFAULT, 1, 0xffff_ffff), Ok((private_data(1, 1), true)));
        assert_eq!(answer(DEFAULT, 1, 0), Ok((private_data(1, 0), false)));
    }

    //= spec/text/02-connection.md#negotiation
    //= type=test
    //# [CON-11] A destination MUST refuse a request whose version is 0.
    #[test]
    fn version_0_is_refused() {
        let refused = Err(Incompatibility::Version { received: 0 }.into());
        assert_eq!(answer(DEFAULT, 0, 0), refused);
    }

    //= spec/text/02-connection.md#negotiation
    //= type=test
    //# [CON-12] A destination MUST answer a request of a newer version with version 1, unless
    //# its policy is to refuse newer versions.
    #[test]
    fn a_newer_version_is_answered_with_version_1_or_refused_by_policy() {
        assert_eq!(answer(DEFAULT, 2, 1), Ok((private_data(1, 1), true)));
        assert_eq!(answer(DEFAULT, u32::MAX, 0), Ok((private_data(1, 0), false)));
        let strict = Negotiator { newer_version: NewerVersion::Refuse, ..DEFAULT };
        assert_eq!(answer(strict, 2, 0), Err(Incompatibility::Version { received: 2 }.into()));
        assert_eq!(answer(strict, 1, 0), Ok((private_data(1, 0), false)));
    }

    //= spec/text/02-connection.md#negotiation
    //= type=test
    //# [CON-14] A destination MUST answer with PIN_ALL where it was offered, unless its policy is
    //# another.
    #[test]
    fn pin_all_is_refused_or_declined_by_policy_only() {
        let refuse = Negotiator { pin_all: PinAllPolicy::Refuse, ..DEFAULT };
        let decline = Negotiator { pin_all: PinAllPolicy::Decline, ..DEFAULT };
        assert_eq!(answer(refuse, 1, 1), Err(Incompatibility::PinAllRefused.into()));
        assert_eq!(answer(refuse, 1, 0), Ok((private_data(1, 0), false)));
        assert_eq!(answer(decline, 1, 1), Ok((private_data(1, 0), false)));
    }

    #[test]
    fn short_private_data_is_an_error_and_long_private_data_counts_by_its_first_eight_bytes() {
        let short = Malformed::PrivateDataTooShort { received: 7 };
        assert_eq!(DEFAULT.answer(&[0; 7]), Err(short.into()));
        assert_eq!(confirm(PinAllOffer::Never, &[0; 7]), Err(short.into()));
        let mut long = [0xff; 56];
        long[..8].copy_from_slice(&private_data(1, 0));
        assert_eq!(DEFAULT.answer(&long).unwrap().1, Negotiated { pin_all: false });
    }

    //= spec/text/02-connection.md#negotiation
    //= type=test
    //# [CON-16] A source MUST take a capability for agreed only where it offered it and the reply
    //# carries it.
    #[test]
    fn pin_all_is_agreed_only_when_offered_and_answered() {
        let agreed = |offer, flags| confirm(offer, &private_data(1, flags)).map(|n| n.pin_all);
        assert_eq!(agreed(PinAllOffer::Never, 0xffff_ffff), Ok(false));
        assert_eq!(agreed(PinAllOffer::Preferred, 0), Ok(false));
        assert_eq!(agreed(PinAllOffer::Preferred, 1), Ok(true));
        assert_eq!(agreed(PinAllOffer::Required, 1), Ok(true));
        let declined = Err(Incompatibility::PinAllDeclined.into());
        assert_eq!(agreed(PinAllOffer::Required, 0xffff_fffe), declined);
    }

    //= spec/text/02-connection.md#negotiation
    //= type=test
    //# [CON-17] A source MUST refuse a reply whose version is 0.
    #[test]
    fn a_reply_of_version_0_is_refused_and_any_other_is_taken() {
        let confirmed = |version| confirm(PinAllOffer::Never, &private_data(version, 0));
        assert_eq!(confirmed(0), Err(Incompatibility::Version { received: 0 }.into()));
        assert_eq!(confirmed(99), Ok(Negotiated { pin_all: false }));
    }
}
