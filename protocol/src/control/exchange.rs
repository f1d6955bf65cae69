//! The source's half: wait for READY, send a command, take its reply.

use crate::error::{Error, Misbehavior};
use crate::wire::Kind;

/// The credit of a source, and the reply that it is owed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Exchange {
    ready: bool,
    reply: Option<Kind>,
}

impl Exchange {
    pub(crate) const fn new() -> Self {
        Self { ready: false, reply: None }
    }

    /// Whether a command may be sent.
    //= spec/text/03-control-channel.md#ready
    //# [CTL-20] A source MUST NOT send a command before it has received a READY that no earlier
    //# command has used.
    pub(crate) const fn may_send(&self) -> bool {
        self.ready && self.reply.is_none()
    }

    /// The reply that is due.
    pub(crate) const fn reply_due(&self) -> Option<Kind> {
        self.reply
    }

    /// A command was sent. The caller has asked [`Self::may_send`].
    pub(crate) fn sent(&mut self, reply: Option<Kind>) {
        self.ready = false;
        self.reply = reply;
    }

    /// Takes a message of the destination; the contents of a reply are the caller's business.
    pub(crate) fn received(&mut self, kind: Kind) -> Result<(), Error> {
        match (kind, self.reply) {
            //= spec/text/03-control-channel.md#error
            //# [CTL-31] A side that receives ERROR MUST end the migration.
            (Kind::Error, _) => Err(Error::PeerReportedError),
            //= spec/text/03-control-channel.md#ready
            //# [CTL-24] A source MUST reject a READY that arrives before the reply that is due.
            (Kind::Ready, Some(expected)) => Err(Misbehavior::ReadyBeforeReply { expected }.into()),
            //= spec/text/03-control-channel.md#ready
            //# [CTL-25] A source MUST reject a READY that arrives while an earlier one is unused.
            (Kind::Ready, None) if self.ready => Err(Misbehavior::ReadyTwice.into()),
            (Kind::Ready, None) => {
                self.ready = true;
                Ok(())
            }
            (reply, Some(expected)) if reply == expected => {
                self.reply = None;
                Ok(())
            }
            //= spec/text/03-control-channel.md#ready
            //# [CTL-26] A source MUST reject a reply of another kind than the one that is due.
            (received, expected) => Err(Misbehavior::Unexpected { received, expected }.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Exchange {
        let mut exchange = Exchange::new();
        exchange.received(Kind::Ready).unwrap();
        exchange
    }

    //= spec/text/03-control-channel.md#ready
    //= type=test
    //# [CTL-20] A source MUST NOT send a command before it has received a READY that no earlier
    //# command has used.
    #[test]
    fn one_ready_pays_for_one_command() {
        assert!(!Exchange::new().may_send());
        let mut exchange = ready();
        assert!(exchange.may_send());
        exchange.sent(None);
        assert!(!exchange.may_send());
    }

    //= spec/text/03-control-channel.md#ready
    //= type=test
    //# [CTL-24] A source MUST reject a READY that arrives before the reply that is due.
    #[test]
    fn the_reply_comes_before_the_next_ready() {
        let mut exchange = ready();
        exchange.sent(Some(Kind::RegisterResult));
        let early = Misbehavior::ReadyBeforeReply { expected: Kind::RegisterResult };
        assert_eq!(exchange.clone().received(Kind::Ready), Err(early.into()));
        assert_eq!(exchange.received(Kind::RegisterResult), Ok(()));
        assert!(!exchange.may_send());
        assert_eq!(exchange.received(Kind::Ready), Ok(()));
        assert!(exchange.may_send());
    }

    //= spec/text/03-control-channel.md#ready
    //= type=test
    //# [CTL-25] A source MUST reject a READY that arrives while an earlier one is unused.
    #[test]
    fn a_second_ready_is_rejected() {
        assert_eq!(ready().received(Kind::Ready), Err(Misbehavior::ReadyTwice.into()));
    }

    //= spec/text/03-control-channel.md#ready
    //= type=test
    //# [CTL-26] A source MUST reject a reply of another kind than the one that is due.
    #[test]
    fn only_the_reply_that_is_due_is_taken() {
        let mut exchange = ready();
        let unasked = Misbehavior::Unexpected { received: Kind::RegisterResult, expected: None };
        assert_eq!(exchange.received(Kind::RegisterResult), Err(unasked.into()));
        exchange.sent(Some(Kind::RegisterResult));
        let wrong = Misbehavior::Unexpected {
            received: Kind::RamBlocksResult,
            expected: Some(Kind::RegisterResult),
        };
        assert_eq!(exchange.received(Kind::RamBlocksResult), Err(wrong.into()));
    }

    //= spec/text/03-control-channel.md#error
    //= type=test
    //# [CTL-31] A side that receives ERROR MUST end the migration.
    #[test]
    fn error_is_heard_at_any_time() {
        assert_eq!(Exchange::new().received(Kind::Error), Err(Error::PeerReportedError));
        let mut exchange = ready();
        exchange.sent(Some(Kind::RegisterResult));
        assert_eq!(exchange.received(Kind::Error), Err(Error::PeerReportedError));
    }
}
