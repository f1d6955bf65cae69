//! The suite's own verdict on a vector.

use std::fmt::Debug;

use super::dialogue::first_breach;
use super::error_name::ErrorName;
use super::message::{read_capabilities, read_message};
use super::reading::MessageReading;
use super::stream::{read_stream, read_stream_end};
use super::vector::{Act, Case, Content, Dialogue, Expected, Reader, Vector, Verdict};

/// Compares what the suite finds in a vector with what the vector expects.
///
/// # Errors
/// The difference, as text.
pub fn judge(vector: &Vector) -> Result<(), String> {
    match &vector.content {
        Content::PrivateData(case) => judge_case(case, read_capabilities),
        Content::Message(case) => judge_message(case),
        Content::Stream(case) => judge_case(case, read_stream),
        Content::StreamEnd(case) => judge_case(case, read_stream_end),
        Content::Dialogue(dialogue) => judge_dialogue(dialogue, vector.reader),
    }
}

fn judge_message(case: &Case<MessageReading>) -> Result<(), String> {
    let expected = match &case.expected {
        Expected::Reading { reading } => Expected::Reading { reading: reading.clone().grouped() },
        errors @ Expected::Errors { .. } => errors.clone(),
    };
    compare(&expected, read_message(&case.bytes.expand()))
}

fn judge_case<Reading: Clone + Debug + PartialEq>(
    case: &Case<Reading>,
    read: impl Fn(&[u8]) -> Result<Reading, ErrorName>,
) -> Result<(), String> {
    compare(&case.expected, read(&case.bytes.expand()))
}

/// Compares what was found in bytes with what is expected.
///
/// # Errors
/// The difference, as text.
pub fn compare<Reading: Clone + Debug + PartialEq>(
    expected: &Expected<Reading>,
    found: Result<Reading, ErrorName>,
) -> Result<(), String> {
    match (found, expected) {
        (Ok(found), Expected::Reading { reading }) if found == *reading => Ok(()),
        (Err(found), Expected::Errors { errors }) if errors.contains(&found) => Ok(()),
        (found, _) => Err(format!("found {found:?}, expected {expected:?}")),
    }
}

fn judge_dialogue(dialogue: &Dialogue, reader: Option<Reader>) -> Result<(), String> {
    for (number, step) in (1..).zip(&dialogue.steps) {
        let read = match &step.act {
            Act::Connect { hex: private_data, expected, .. } => {
                compare(expected, read_capabilities(&private_data.0))
            }
            Act::Message(case) => judge_message(case),
            Act::Write { .. } => Ok(()),
        };
        read.map_err(|difference| format!("step {number}: {difference}"))?;
    }
    let found = first_breach(dialogue, reader);
    let agrees = match (&dialogue.verdict, found) {
        (Verdict::Accepted(_), None) => true,
        (Verdict::Refused { refused_at, errors, .. }, Some((number, error))) => {
            *refused_at == number && errors.contains(&error)
        }
        _ => false,
    };
    if agrees {
        return Ok(());
    }
    Err(format!("found {found:?}, expected {:?}", dialogue.verdict))
}
