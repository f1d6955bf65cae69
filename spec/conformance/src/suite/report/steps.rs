//! A dialogue as people read it: a step for each thing that was done or seen.

use crate::codec::{Capabilities, Command, Header};
use crate::inspect::printable;
use crate::size::Size;
use crate::suite::transcript::Event;
use crate::suite::{Action, Aftermath, Bytes, Observation, PeerState, Transcript};

/// The most commands of a message that are spelled out.
const COMMANDS_MAX: usize = 2;

/// Who does something, and to whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// The suite's side, to the peer.
    ToPeer,
    /// The peer, to the suite's side.
    FromPeer,
    /// The suite's side, alone.
    AtSuite,
    /// What has become of the peer.
    AtPeer,
}

/// Something that was done or seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Step<'t> {
    /// When, in microseconds since the play began.
    pub(super) time_us: u64,
    pub(super) way: Way,
    /// What, in a word or two. Fit to be shown.
    pub(super) name: String,
    /// More of it. Fit to be shown.
    pub(super) detail: String,
    /// The bytes of a message.
    pub(super) message: Option<&'t [u8]>,
    /// Whether the peer's adapter has acknowledged it.
    pub(super) acknowledged: bool,
    /// Whether it went wrong.
    pub(super) failed: bool,
}

/// The steps of a dialogue. Acknowledgements and answers are put to what they are of.
pub(super) fn steps(transcript: &Transcript) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for entry in &transcript.0 {
        match &entry.event {
            Event::Did(action) => steps.push(done(entry.time_us, action)),
            Event::Saw(seen) => saw(&mut steps, entry.time_us, seen),
        }
    }
    steps
}

const ALLOCATE: &str = "makes a RAM block";
const REGISTER: &str = "registers";
const DEREGISTER: &str = "gives a region back";
const LOOK: &str = "looks at RAM";
const WRITE: &str = "RDMA WRITE";

fn step<'t>(time_us: u64, way: Way, name: &str, detail: String) -> Step<'t> {
    let (name, acknowledged) = (name.to_owned(), false);
    Step { time_us, way, name, detail, message: None, acknowledged, failed: false }
}

fn done(time_us: u64, action: &Action) -> Step<'_> {
    use Way::{AtSuite, ToPeer};
    let range = |block: &u32, offset: &u64, length: &u64| {
        format!("{} at {offset:#x} of RAM block {block}", Size(*length))
    };
    let (way, name, detail) = match action {
        Action::Connect { private_data } => (ToPeer, "connect request", described(private_data)),
        Action::Accept { private_data } => (ToPeer, "accept", described(private_data)),
        Action::Reject => (ToPeer, "reject", String::new()),
        Action::Disconnect => (ToPeer, "disconnect", String::new()),
        Action::Send { message } => return message_step(time_us, ToPeer, &message.0),
        Action::WithholdReceives => (AtSuite, "posts no further receives", String::new()),
        Action::Allocate { length } => (AtSuite, ALLOCATE, Size(*length).to_string()),
        Action::Fill { block, offset, length, .. } => {
            (AtSuite, "fills RAM", range(block, offset, length))
        }
        Action::Zero { block, offset, length } => {
            (AtSuite, "zeroes RAM", range(block, offset, length))
        }
        Action::Look { block, offset, length } => (AtSuite, LOOK, range(block, offset, length)),
        Action::Register { region, block, offset, length, .. } => {
            let range = range(block, offset, length);
            (AtSuite, REGISTER, format!("region {region}: {range}"))
        }
        Action::Deregister { region } => (AtSuite, DEREGISTER, format!("region {region}")),
        Action::Write { length, remote_address, rkey, .. } => {
            let to = format!("{} to {remote_address:#x}, rkey {rkey:#x}", Size(*length));
            (ToPeer, WRITE, to)
        }
    };
    step(time_us, way, name, detail)
}

fn saw<'t>(steps: &mut Vec<Step<'t>>, time_us: u64, seen: &'t Observation) {
    use Way::{AtSuite, FromPeer};
    let (way, name, detail) = match seen {
        Observation::Requested { private_data } => {
            (FromPeer, "connect request", described(private_data))
        }
        Observation::Established { private_data } if private_data.0.is_empty() => {
            (FromPeer, "ready to use", String::new())
        }
        Observation::Established { private_data } => (FromPeer, "accept", described(private_data)),
        Observation::Rejected => (FromPeer, "reject", String::new()),
        Observation::ConnectionFailed { error } => {
            (AtSuite, "the connection is not made", printable(error))
        }
        Observation::Disconnected => (FromPeer, "disconnect", String::new()),
        Observation::Closed => (AtSuite, "the connection has ended", String::new()),
        Observation::Received { message } => {
            return steps.push(message_step(time_us, FromPeer, &message.0));
        }
        Observation::Sent => {
            return acknowledge(steps, |step| step.message.is_some());
        }
        Observation::Written => return acknowledge(steps, |step| step.name == WRITE),
        Observation::Failed { operation, error } => {
            let what = format!("{operation:?}").to_lowercase();
            let mut step = step(time_us, AtSuite, &format!("{what} failed"), printable(error));
            step.failed = true;
            return steps.push(step);
        }
        Observation::Allocated { block, address } => {
            return answer(steps, ALLOCATE, &format!("number {block}, at {address:#x}"));
        }
        Observation::Ram { sha256, zero } => {
            let what = if *zero { "all zero".to_owned() } else { format!("SHA-256 {sha256:.16}") };
            return answer(steps, LOOK, &what);
        }
        Observation::Registered { rkey, .. } => {
            return answer(steps, REGISTER, &format!("rkey {rkey:#x}"));
        }
        Observation::Deregistered { .. } => return answer(steps, DEREGISTER, "done"),
        Observation::Nothing => (AtSuite, "waits", "nothing happens".to_owned()),
        Observation::Aftermath(aftermath) => return steps.push(become_of(time_us, aftermath)),
    };
    steps.push(step(time_us, way, name, detail));
}

/// Completions come in the order of what they complete.
fn acknowledge(steps: &mut [Step<'_>], of: impl Fn(&Step<'_>) -> bool) {
    let waits = |step: &&mut Step<'_>| step.way == Way::ToPeer && !step.acknowledged && of(step);
    if let Some(step) = steps.iter_mut().find(waits) {
        step.acknowledged = true;
    }
}

fn answer(steps: &mut [Step<'_>], to: &str, answer: &str) {
    if let Some(step) = steps.iter_mut().rev().find(|step| step.name == to) {
        step.detail.push_str(", ");
        step.detail.push_str(answer);
    }
}

fn described(private_data: &Bytes) -> String {
    let Ok(Capabilities { version, flags }) = Capabilities::decode(&private_data.0) else {
        return format!("{} bytes of private data", private_data.0.len());
    };
    match flags {
        0 => format!("version {version}"),
        Capabilities::PIN_ALL => format!("version {version}, PIN_ALL"),
        flags => format!("version {version}, flags {flags:#x}"),
    }
}

fn message_step(time_us: u64, way: Way, bytes: &[u8]) -> Step<'_> {
    let (name, detail) = match Header::decode(bytes) {
        Ok((header, payload)) => (header.kind.to_string(), of_message(header, payload)),
        Err(short) => ("no message".to_owned(), format!("{} bytes", short.present)),
    };
    Step { message: Some(bytes), ..step(time_us, way, &name, detail) }
}

fn of_message(header: Header, payload: &[u8]) -> String {
    let mut parts = Vec::new();
    let commands = Command::decode_all(header.kind, payload);
    if commands.is_empty() && !payload.is_empty() {
        parts.push(Size(u64::try_from(payload.len()).unwrap_or(u64::MAX)).to_string());
    }
    parts.extend(commands.iter().take(COMMANDS_MAX).map(of_command));
    if let Some(more @ 1..) = commands.len().checked_sub(COMMANDS_MAX) {
        parts.push(format!("and {more} more"));
    }
    if usize::try_from(header.length) != Ok(payload.len()) {
        parts.push(format!("announces {} bytes, and {} follow", header.length, payload.len()));
    }
    let repeats = u32::try_from(commands.len().max(1)).unwrap_or(u32::MAX);
    if header.repeat != repeats {
        parts.push(format!("repeat {}", header.repeat));
    }
    parts.join("; ")
}

fn of_command(command: &Command) -> String {
    match command {
        Command::RamBlock(block) => {
            let (length, address) = (Size(block.length), block.remote_address);
            format!("{length} at {address:#x}, RAM address {:#x}", block.offset)
        }
        Command::Compress(run) => {
            let (value, length) = (run.value, Size(run.length));
            format!("block {}: {length} at {:#x}, all {value:#04x}", run.block, run.offset)
        }
        Command::RegisterRequest(request) => {
            let further = request.chunks;
            format!("block {}: at {:#x}, {further} further chunks", request.block, request.address)
        }
        Command::RegisterResult(result) => {
            format!("rkey {:#x}, block at {:#x}", result.rkey, result.host_address)
        }
        Command::UnregisterRequest(request) => {
            format!("block {}: chunk {}", request.block, request.chunk)
        }
    }
}

fn become_of(time_us: u64, aftermath: &Aftermath) -> Step<'static> {
    let mut parts = Vec::new();
    if let Some(owner) = &aftermath.guest_owner {
        parts.push(format!("guest's owner: {}", printable(owner)));
    }
    match aftermath.completed {
        Some(true) => parts.push("says success".to_owned()),
        Some(false) => parts.push("says failure".to_owned()),
        None => {}
    }
    if let Some(says) = &aftermath.says {
        parts.push(format!("\u{201c}{}\u{201d}", printable(says)));
    }
    if let Some(regions @ 1..) = aftermath.regions_left {
        parts.push(format!("{regions} regions still registered"));
    }
    parts.extend(aftermath.breaches.iter().map(|breach| printable(breach)));
    let (name, failed) = match &aftermath.state {
        PeerState::Ended => ("has ended".to_owned(), !aftermath.breaches.is_empty()),
        PeerState::Waiting => ("still waits".to_owned(), true),
        PeerState::Crashed { how } => (format!("has crashed: {}", printable(how)), true),
        PeerState::Unknown => ("nobody knows".to_owned(), false),
    };
    Step { failed, ..step(time_us, Way::AtPeer, &name, parts.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::Entry;

    #[test]
    fn acknowledgements_and_answers_are_put_to_what_they_are_of() {
        let ready = Bytes(vec![0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0]);
        let did = |action| Entry { time_us: 0, event: Event::Did(action) };
        let saw = |seen| Entry { time_us: 1, event: Event::Saw(seen) };
        let transcript = Transcript(vec![
            did(Action::Send { message: ready.clone() }),
            did(Action::Send { message: ready }),
            did(Action::Allocate { length: 4096 }),
            saw(Observation::Sent),
            saw(Observation::Allocated { block: 3, address: 0x1000 }),
        ]);
        let steps = steps(&transcript);
        let acknowledged: Vec<_> = steps.iter().map(|step| step.acknowledged).collect();
        assert_eq!(acknowledged, [true, false, false]);
        assert_eq!((steps[0].name.as_str(), steps[0].detail.as_str()), ("READY", ""));
        assert_eq!(steps[2].detail, "4 KiB, number 3, at 0x1000");
    }
}
