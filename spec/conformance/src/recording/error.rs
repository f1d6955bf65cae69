//! Why a recording could not be written, or is refused.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rdma_migration_protocol::stream::setup::SetupError;

use crate::size::Size;

/// Why a recording could not be written, or is refused. Names the file and the place in it.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The system refused something.
    #[error("{}: cannot {call}: {error}", path.display())]
    System {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        call: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// Somebody interrupted it.
    #[error("{}: interrupted", path.display())]
    Interrupted {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that a recording was to be made in holds something.
    #[error("{}: is not empty; a recording makes a folder of its own", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that holds no recording.
    #[error("{}: no recording: it has no manifest.json", path.display())]
    NoRecording {
        /// The folder.
        path: PathBuf,
    },
    /// The writer of the recording did not come to its end.
    #[error(
        "{}: unfinished: whoever wrote this recording was interrupted, or is still at it \
         (the file UNFINISHED is there)",
        path.display()
    )]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// The recording is as it was written, but of a migration that did not come to its end.
    #[error("{}: incomplete: {reason}", path.display())]
    Incomplete {
        /// The folder.
        path: PathBuf,
        /// Why, as the recorder has found.
        reason: String,
    },
    /// The recording is not what was written.
    #[error("{}: {place}{fault}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong there.
        fault: Fault,
    },
}

impl RecordingError {
    pub(super) fn system(path: &Path, call: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::System { path, call, error }
    }

    pub(super) fn damaged(path: &Path, place: Place, fault: Fault) -> Self {
        Self::Damaged { path: path.to_owned(), place, fault }
    }
}

/// A place in a file of a recording.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// The file as a whole.
    Whole,
    /// At the byte with this offset.
    Byte(u64),
    /// A field of the manifest.
    Field(String),
    /// A round, counted from 0.
    Round(usize),
    /// A run of a round, both counted from 0.
    Run {
        /// The round.
        round: usize,
        /// The run.
        run: usize,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Byte(offset) => write!(f, "byte {offset}: "),
            Self::Field(name) => write!(f, "{name}: "),
            Self::Round(round) => write!(f, "round {round}: "),
            Self::Run { round, run } => write!(f, "round {round}, run {run}: "),
        }
    }
}

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A symbolic link, a folder, a device.
    #[error("is {0}, not a plain file")]
    NotAFile(&'static str),
    /// It was put in the place of another file while it was opened.
    #[error("was exchanged while it was opened")]
    Exchanged,
    /// A file of the wrong length.
    #[error("has {found} bytes, the manifest says {expected}")]
    Length {
        /// Its length.
        found: u64,
        /// What the manifest says.
        expected: u64,
    },
    /// A file that is longer than anything that was recorded can be.
    #[error("has {found} bytes, {max} are taken at the most")]
    TooLong {
        /// Its length.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// More RAM than there is room for.
    #[error("RAM of {} in all, there is room for {}", Size(*found), Size(*max))]
    TooMuchRam {
        /// Bytes of all blocks.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// No JSON, or JSON of something else.
    #[error("{0}")]
    Json(serde_json::Error),
    /// A recording of another format.
    #[error("format {found}, this program reads format {expected}")]
    Format {
        /// What the manifest says.
        found: u64,
        /// What is known.
        expected: u32,
    },
    /// The bytes are not those that were written.
    #[error("was changed: its SHA-256 is {found}, recorded was {expected}")]
    Digest {
        /// Of what is there.
        found: String,
        /// Of what was written.
        expected: String,
    },
    /// A text that differs from what it has to be.
    #[error("{found:?}, expected {expected:?}")]
    Text {
        /// What is there.
        found: String,
        /// What has to be.
        expected: String,
    },
    /// A number that differs from what it has to be.
    #[error("{found}, expected {expected}")]
    Number {
        /// What is there.
        found: u64,
        /// What has to be.
        expected: u64,
    },
    /// The chunk size is none.
    #[error("{0} bytes are no chunk size")]
    ChunkBytes(u64),
    /// A complete recording that gives a reason for being incomplete, or the other way round.
    #[error("a recording is complete, or it says why it is not")]
    Reason,
    /// No list of RAM blocks where it has to be.
    #[error("{0}")]
    Setup(SetupError),
    /// The stream asks for something that this program cannot do.
    #[error("asks for what this version does not have: {0}")]
    Unsupported(String),
    /// A round without the word that announces it.
    #[error("ends before byte {stream_bytes} of the stream, where no hook word ends")]
    NoHook {
        /// Bytes of the stream before the round.
        stream_bytes: u64,
    },
    /// Rounds that do not lie in the stream one after the other.
    #[error("lies at byte {found} of the stream, expected from {min} to {max}")]
    RoundOrder {
        /// Bytes of the stream before the round.
        found: u64,
        /// The least possible.
        min: u64,
        /// The most possible.
        max: u64,
    },
    /// A complete recording without any round.
    #[error("has no round in which the RAM blocks were exchanged")]
    NoRounds,
    /// The stream of a complete recording does not end as streams do.
    #[error("the stream does not end with its end marker{}", if *description {
        " and a description of the device state"
    } else { "" })]
    NoEnd {
        /// Whether a description has to be there.
        description: bool,
    },
    /// Bytes that are none of the possible values.
    #[error("{found} where {field} has to be")]
    Value {
        /// What is there.
        found: u64,
        /// What it stands for.
        field: &'static str,
    },
    /// A run that is empty or not inside a RAM block.
    #[error("{length} bytes at {offset:#x} are not inside RAM block {block}")]
    OutsideBlock {
        /// The block.
        block: u32,
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Runs of a round that overlap, or are not in order.
    #[error("starts before the end of the run before it")]
    RunOrder,
    /// RAM that no round brings.
    #[error("RAM block {block} at {offset:#x} is in no round")]
    NotCovered {
        /// The block.
        block: u32,
        /// First byte that is missing.
        offset: u64,
    },
    /// The file ends in the middle of something.
    #[error("ends in the middle of {0}")]
    Truncated(&'static str),
}
