//! The destination's half: say READY, take one command, answer it.

use crate::error::{Error, Misbehavior};
use crate::wire::Kind;

/// The credit that a destination has given.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Serve {
    ready_given: bool,
}

impl Serve {
    pub(crate) const fn new() -> Self {
        Self { ready_given: false }
    }

    /// Whether a READY may be sent, as far as credit goes.
    //= spec/text/03-control-channel.md#ready
    //# [CTL-21] A destination MUST NOT send a READY while an earlier one is unused.
    pub(crate) const fn may_send_ready(&self) -> bool {
        !self.ready_given
    }

    /// Whether a command is awaited.
    pub(crate) const fn command_due(&self) -> bool {
        self.ready_given
    }

    /// READY was sent.
    pub(crate) fn ready_sent(&mut self) {
        self.ready_given = true;
    }

    /// Takes a message of the source; its contents are the caller's business.
    pub(crate) fn received(&mut self, kind: Kind) -> Result<(), Error> {
        match kind {
            //= spec/text/03-control-channel.md#error
            //# [CTL-27] Either side MAY send ERROR at any time, without a READY.
            Kind::Error => Err(Error::PeerReportedError),
            //= spec/text/03-control-channel.md#ready
            //# [CTL-32] A destination MUST reject a message of a kind that is not a command.
            Kind::None
            | Kind::Ready
            | Kind::RamBlocksResult
            | Kind::RegisterResult
            | Kind::UnregisterFinished => {
                Err(Misbehavior::Unexpected { received: kind, expected: None }.into())
            }
            //= spec/text/03-control-channel.md#ready
            //# [CTL-23] A destination MUST reject a command for which it has sent no READY.
            _command if !self.ready_given => Err(Misbehavior::CommandWithoutReady(kind).into()),
            Kind::QemuFile
            | Kind::RamBlocksRequest
            | Kind::Compress
            | Kind::RegisterRequest
            | Kind::RegisterFinished
            | Kind::UnregisterRequest => {
                self.ready_given = false;
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/text/03-control-channel.md#ready
    //= type=test
    //# [CTL-23] A destination MUST reject a command for which it has sent no READY.
    #[test]
    fn a_command_before_ready_is_rejected() {
        let mut serve = Serve::new();
        let early = Misbehavior::CommandWithoutReady(Kind::QemuFile);
        assert_eq!(serve.received(Kind::QemuFile), Err(early.clone().into()));
        serve.ready_sent();
        assert_eq!(serve.received(Kind::QemuFile), Ok(()));
        assert_eq!(serve.received(Kind::QemuFile), Err(early.into()));
    }

    //= spec/text/03-control-channel.md#ready
    //= type=test
    //# [CTL-21] A destination MUST NOT send a READY while an earlier one is unused.
    #[test]
    fn a_second_ready_waits_for_the_command_that_uses_the_first() {
        let mut serve = Serve::new();
        assert!(serve.may_send_ready());
        serve.ready_sent();
        assert!(!serve.may_send_ready());
        serve.received(Kind::RegisterFinished).unwrap();
        assert!(serve.may_send_ready());
    }

    //= spec/text/03-control-channel.md#ready
    //= type=test
    //# [CTL-32] A destination MUST reject a message of a kind that is not a command.
    #[test]
    fn what_only_a_destination_sends_is_rejected() {
        for received in [
            Kind::None,
            Kind::Ready,
            Kind::RamBlocksResult,
            Kind::RegisterResult,
            Kind::UnregisterFinished,
        ] {
            let mut serve = Serve::new();
            serve.ready_sent();
            let wrong = Misbehavior::Unexpected { received, expected: None };
            assert_eq!(serve.received(received), Err(wrong.into()));
        }
    }

    //= spec/text/03-control-channel.md#error
    //= type=test
    //# [CTL-27] Either side MAY send ERROR at any time, without a READY.
    #[test]
    fn error_needs_no_ready() {
        assert_eq!(Serve::new().received(Kind::Error), Err(Error::PeerReportedError));
    }
}
