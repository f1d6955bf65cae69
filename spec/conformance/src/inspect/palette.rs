use anstyle::{AnsiColor, Style};

use crate::codec::Kind;

/// The styles of the report; all of them plain where colour is not wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Palette {
    pub(super) heading: Style,
    pub(super) management: Style,
    pub(super) write: Style,
    pub(super) deviation: Style,
    pub(super) faint: Style,
    stream: Style,
    registration: Style,
    error: Style,
}

impl Palette {
    /// With colour, or without.
    pub(super) fn new(colour: bool) -> Self {
        if !colour {
            return Self::default();
        }
        let foreground = |colour: AnsiColor| colour.on_default();
        Self {
            heading: Style::new().bold(),
            management: foreground(AnsiColor::Magenta),
            write: foreground(AnsiColor::Green),
            deviation: foreground(AnsiColor::Red).bold(),
            faint: Style::new().dimmed(),
            stream: foreground(AnsiColor::Cyan),
            registration: foreground(AnsiColor::Yellow),
            error: foreground(AnsiColor::Red),
        }
    }

    /// The style of a message of this kind.
    pub(super) fn of(&self, kind: Kind) -> Style {
        match kind {
            Kind::Ready => self.faint,
            Kind::QemuFile => self.stream,
            Kind::RamBlocksRequest
            | Kind::RamBlocksResult
            | Kind::Compress
            | Kind::RegisterRequest
            | Kind::RegisterResult
            | Kind::RegisterFinished
            | Kind::UnregisterRequest
            | Kind::UnregisterFinished => self.registration,
            Kind::None | Kind::Error | Kind::Unknown(_) => self.error,
        }
    }
}
