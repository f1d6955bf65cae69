//! What comes in and what goes out.

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
pub struct Plan {
    pub mutants: Vec<Mutant>,
}

/// A mutant as cargo-mutants lists it.
#[derive(Deserialize)]
pub struct Mutant {
    pub number: u32,
    pub file: String,
    pub genre: Genre,
    pub replacement: String,
    pub span: Span,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

#[derive(Deserialize)]
pub struct Span {
    pub start: Position,
}

/// Line and column, both from 1.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

#[derive(Serialize)]
pub struct Woven {
    pub number: u32,
    /// First and last line of the mutant's own text in the woven file, from 1.
    pub lines: Option<(usize, usize)>,
    /// Why it was not woven.
    pub left_out: Option<&'static str>,
}

impl Woven {
    pub fn left_out(number: u32, why: &'static str) -> Self {
        Self { number, lines: None, left_out: Some(why) }
    }
}
