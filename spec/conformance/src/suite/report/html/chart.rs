//! The sequence chart of a dialogue: the suite's side left, the peer right, time downwards.

use super::escaped;
use super::messages::Messages;
use crate::suite::report::steps::{Step, Way, steps};
use crate::suite::report::text::seconds;
use crate::suite::{Role, Transcript};

/// The most steps that a chart has.
const STEPS_MAX: usize = 400;

pub(super) fn chart(under_test: Role, transcript: &Transcript, messages: &mut Messages) -> String {
    let suite = match under_test {
        Role::Source => Role::Destination,
        Role::Destination => Role::Source,
    };
    let mut html = format!(
        "<ol class=\"q\"><li class=\"h\"><i>seconds</i><span><b>the suite, as {suite}</b>\
         <b>{under_test} under test</b></span></li>\n"
    );
    let steps = steps(transcript);
    for step in steps.iter().take(STEPS_MAX) {
        html.push_str(&row(step, messages));
    }
    if let Some(more @ 1..) = steps.len().checked_sub(STEPS_MAX) {
        html.push_str(&format!("<li class=\"s\"><i></i><span>and {more} more</span></li>\n"));
    }
    html.push_str("</ol>\n");
    html
}

fn row(step: &Step<'_>, messages: &mut Messages) -> String {
    let mut class = match step.way {
        Way::ToPeer => "o",
        Way::FromPeer => "p",
        Way::AtSuite => "s",
        Way::AtPeer => "e",
    }
    .to_owned();
    let more = [
        (step.acknowledged, " k"),
        (step.failed || step.name == "ERROR", " x"),
        (step.name == "READY", " y"),
    ];
    class.extend(more.iter().filter(|(is, _)| *is).map(|(_, class)| *class));
    let name = escaped(&step.name);
    let name = match step.message.and_then(|message| messages.number(message)) {
        Some(number) => format!("<button popovertarget=\"m{number}\">{name}</button>"),
        None => format!("<b>{name}</b>"),
    };
    let detail = match step.detail.is_empty() {
        true => String::new(),
        false => format!(" {}", escaped(&step.detail)),
    };
    let time = seconds(step.time_us);
    format!("<li class=\"{class}\"><i>{time}</i><span>{name}{detail}</span></li>\n")
}
