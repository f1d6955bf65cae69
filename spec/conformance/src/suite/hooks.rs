//! Commands that start, trigger and watch a peer which is a program of somebody else.

use core::time::Duration;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;

use wait_timeout::ChildExt;

use super::{Aftermath, Case, PeerState, Role};

/// Commands for the shell. Each is told of the case by variables of its environment:
/// `RDMA_MIGRATION_CASE`, its id; `RDMA_MIGRATION_ROLE`, `source` or `destination`;
/// `RDMA_MIGRATION_PIN_ALL`, 1 where all RAM is to be pinned, else 0.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    /// Makes the peer ready for a case, and returns once it is: a destination listens.
    pub start: Option<String>,
    /// Has a source begin to migrate. It may go on running until the migration ends.
    pub trigger: Option<String>,
    /// Says what has become of the peer, as JSON on standard output: an [`Aftermath`].
    pub alive: Option<String>,
    /// How long each may take.
    pub within: Duration,
}

/// A hook that did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("the hook {name} {what}")]
pub struct HookError {
    name: &'static str,
    what: String,
}

/// A hook that goes on running beside the play, and is ended with it.
#[derive(Debug)]
pub struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Hooks {
    /// Makes the peer ready.
    ///
    /// # Errors
    /// [`HookError`] if the command fails.
    pub fn start(&self, case: &Case) -> Result<(), HookError> {
        match &self.start {
            Some(command) => self.run("--start", command, case).map(drop),
            None => Ok(()),
        }
    }

    /// Has the source begin.
    ///
    /// # Errors
    /// [`HookError`] if the command cannot be run.
    pub fn trigger(&self, case: &Case) -> Result<Option<Beside>, HookError> {
        let Some(command) = &self.trigger else { return Ok(None) };
        let spawned = shell(command, case).stdout(Stdio::null()).spawn();
        let failed = |error| HookError { name: "--trigger", what: format!("cannot run: {error}") };
        spawned.map(|child| Some(Beside(child))).map_err(failed)
    }

    /// What has become of the peer. Where nobody can tell, it says why.
    #[must_use]
    pub fn aftermath(&self, case: &Case) -> Aftermath {
        let Some(command) = &self.alive else { return unknown(None) };
        let said = self.run("--alive", command, case);
        let read = said.and_then(|said| {
            let unread =
                |error| HookError { name: "--alive", what: format!("said {said:?}: {error}") };
            serde_json::from_str(&said).map_err(unread)
        });
        read.unwrap_or_else(|error| unknown(Some(error.to_string())))
    }

    /// Runs a command to its end, and returns what it says.
    fn run(&self, name: &'static str, command: &str, case: &Case) -> Result<String, HookError> {
        let failed = |what| HookError { name, what };
        let spawned = shell(command, case).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| failed(format!("cannot run: {error}")))?;
        let mut output = child.stdout.take();
        let reader = thread::spawn(move || {
            let mut said = String::new();
            let read = output.as_mut().map(|output| output.read_to_string(&mut said));
            read.transpose().map(|_| said)
        });
        let ended = child.wait_timeout(self.within);
        let status = match ended.map_err(|error| failed(error.to_string()))? {
            Some(status) => status,
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("took longer than {} s", self.within.as_secs())));
            }
        };
        if !status.success() {
            return Err(failed(format!("failed: {status}")));
        }
        match reader.join() {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed("could not be read".to_owned())),
        }
    }
}

fn shell(command: &str, case: &Case) -> Command {
    let mut shell = Command::new("sh");
    let role = match case.role {
        Role::Source => "source",
        Role::Destination => "destination",
    };
    shell
        .args(["-c", command])
        .stdin(Stdio::null())
        .env("RDMA_MIGRATION_CASE", case.id)
        .env("RDMA_MIGRATION_ROLE", role)
        .env("RDMA_MIGRATION_PIN_ALL", if case.peer.pin_all { "1" } else { "0" });
    shell
}

fn unknown(says: Option<String>) -> Aftermath {
    Aftermath {
        state: PeerState::Unknown,
        guest_owner: None,
        completed: None,
        says,
        regions_left: None,
        breaches: Vec::new(),
        ram: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASE: Case = Case::source("S-XXX-001", "a case", &[], |_| Ok(())).pin_all();

    fn hooks(alive: &str) -> Hooks {
        let alive = Some(alive.to_owned());
        Hooks { alive, within: Duration::from_secs(20), ..Hooks::default() }
    }

    #[test]
    fn a_hook_knows_the_case_and_is_taken_at_its_word() {
        let says = r#"echo "{\"state\": {\"is\": \"crashed\", \"how\": \"$RDMA_MIGRATION_CASE $RDMA_MIGRATION_ROLE $RDMA_MIGRATION_PIN_ALL\"}}""#;
        let state = hooks(says).aftermath(&CASE).state;
        assert_eq!(state, PeerState::Crashed { how: "S-XXX-001 source 1".to_owned() });
    }

    #[test]
    fn a_hook_that_fails_or_says_something_else_leaves_the_peer_unknown() {
        for (command, says) in [("exit 3", "exit status: 3"), ("echo well", "well")] {
            let aftermath = hooks(command).aftermath(&CASE);
            assert_eq!(aftermath.state, PeerState::Unknown);
            assert!(
                aftermath.says.as_ref().is_some_and(|text| text.contains(says)),
                "{aftermath:?}"
            );
        }
    }

    #[test]
    fn a_hook_that_does_not_end_is_ended() {
        let within = Duration::from_millis(50);
        let start = Some("exec sleep 1000".to_owned());
        let error = Hooks { start, within, ..Hooks::default() }.start(&CASE).unwrap_err();
        assert_eq!(error.to_string(), "the hook --start took longer than 0 s");
    }
}
