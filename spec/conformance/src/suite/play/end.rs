//! How a peer ends, and what it may say before.

use core::time::Duration;

use super::{Column, Kind, Message, Observation, Operation, Play, Stop, breach};

/// How long a peer that ends the migration at once may take for it: shorter than any of its deadlines
/// for the suite's side, so that it is not silence that it ends for.
const AT_ONCE: Duration = Duration::from_secs(20);

/// How long to look on behind a disconnection that overtakes messages.
const BEHIND: Duration = Duration::from_secs(1);

/// How a peer ended the migration.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct End {
    /// It sent ERROR.
    error: bool,
    /// The connection did not carry messages any more.
    broken: bool,
}

impl Stop {
    /// The same, as a breach of `requirement` where it is a finding.
    #[must_use]
    pub fn against(mut self, requirement: &str) -> Self {
        if let Self::Found(finding) = &mut self {
            requirement.clone_into(&mut finding.requirement);
        }
        self
    }
}

impl Play<'_> {
    /// The peer ends the migration at once, as it has to where the suite's side has broken
    /// `requirement` or sent ERROR: it disconnects, with or without ERROR before. Where it answers as
    /// if nothing were wrong that is a finding.
    ///
    /// # Errors
    /// [`Stop::Timeout`] if it does neither.
    pub fn expect_end_at_once(&mut self, requirement: &str) -> Result<(), Stop> {
        self.expect_end_after(requirement, &[])
    }

    /// The same where messages of these kinds may have been on their way already.
    ///
    /// # Errors
    /// [`Stop::Timeout`] if it does not end, nor go on.
    pub fn expect_end_after(&mut self, requirement: &str, sent: &[Kind]) -> Result<(), Stop> {
        self.watch_end(requirement, sent).map(drop)
    }

    /// The peer says ERROR before it disconnects. It need not where the connection broke.
    ///
    /// # Errors
    /// [`Stop::Timeout`] if it does not end, nor go on.
    pub fn expect_error(&mut self, requirement: &str) -> Result<(), Stop> {
        let end = self.watch_end(requirement, &[])?;
        let told = end.is_none_or(|end| end.error || end.broken);
        self.check(told, requirement, "it disconnects without a word");
        Ok(())
    }

    /// The peer ends the migration at once and does not say ERROR.
    ///
    /// # Errors
    /// [`Stop::Timeout`] if it does not end, nor go on.
    pub fn expect_no_error(&mut self, requirement: &str) -> Result<(), Stop> {
        let end = self.watch_end(requirement, &[])?;
        let silent = end.is_none_or(|end| !end.error);
        self.check(silent, requirement, "it sends ERROR before it disconnects");
        Ok(())
    }

    /// Watches the peer end the migration; `None` if it goes on, which is a finding.
    fn watch_end(&mut self, requirement: &str, sent: &[Kind]) -> Result<Option<End>, Stop> {
        let until = self.link.now() + self.stage.patience.min(AT_ONCE);
        let mut end = End::default();
        loop {
            match self.see(until.saturating_sub(self.link.now())) {
                Some(Observation::Disconnected) => break,
                Some(Observation::Failed {
                    operation: Operation::Send | Operation::Write, ..
                }) => {
                    end.broken = true;
                }
                Some(Observation::Received { message }) => {
                    match Message::decode(&message.0)?.kind() {
                        Kind::Error => end.error = true,
                        kind if sent.contains(&kind) => {}
                        kind => {
                            self.find(Column::Wording, requirement, format!("goes on: {kind}"));
                            return Ok(None);
                        }
                    }
                }
                Some(_) => {}
                None => {
                    let awaited = "the peer to end the migration at once".to_owned();
                    return Err(Stop::Timeout { awaited });
                }
            }
        }
        while let Some(seen) = self.see(BEHIND) {
            if let Observation::Received { message } = seen {
                end.error |= Message::decode(&message.0)?.kind() == Kind::Error;
            }
        }
        Ok(Some(end))
    }

    /// The next message of the peer, or `None` if it ends the migration: by ERROR, by disconnecting,
    /// or by not taking what was sent.
    ///
    /// # Errors
    /// [`Stop`] if there is none, or it is no message.
    pub fn receive_unless_ended(&mut self, awaited: &str) -> Result<Option<Message>, Stop> {
        loop {
            match self.see(self.stage.patience) {
                Some(Observation::Received { message }) => {
                    let message = Message::decode(&message.0)?;
                    return Ok(Some(message).filter(|message| message.kind() != Kind::Error));
                }
                Some(
                    Observation::Disconnected
                    | Observation::Failed { operation: Operation::Send, .. },
                ) => return Ok(None),
                Some(_) => {}
                None => return Err(Stop::Timeout { awaited: awaited.to_owned() }),
            }
        }
    }

    /// All messages so far have found a receive at the peer that has room for them: its adapter has
    /// acknowledged them.
    ///
    /// # Errors
    /// [`Stop`] if one has not.
    pub fn expect_taken(&mut self, requirement: &str) -> Result<(), Stop> {
        self.wait_for_acknowledgements()?;
        match self.failed_send.take() {
            None => Ok(()),
            Some(error) => {
                Err(breach(requirement, format!("its adapter takes no message: {error}")))
            }
        }
    }

    /// Waits until no message is on its way any more, or the connection is gone.
    ///
    /// # Errors
    /// [`Stop::Timeout`] if neither comes.
    pub fn wait_for_acknowledgements(&mut self) -> Result<(), Stop> {
        while self.unanswered_sends > 0 && self.connected {
            match self.look(self.stage.patience) {
                Some(seen) => self.inbox.push_back(seen),
                None => return Err(Stop::Timeout { awaited: "an acknowledgement".to_owned() }),
            }
        }
        Ok(())
    }

    /// Waits for the peer to let go of a connection that is not made yet. It is no finding if nothing
    /// of it is seen: the aftermath tells whether the peer still waits.
    pub fn wait_for_withdrawal(&mut self) {
        let _ = self.wait_for("the peer to give up", |seen| {
            let gone = matches!(
                seen,
                Observation::Rejected
                    | Observation::ConnectionFailed { .. }
                    | Observation::Disconnected
            );
            gone.then_some(())
        });
    }
}
