//! Insertions into a text, nested where the expressions are.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::mutant::Woven;

/// One mutant's own text.
pub struct Alternative {
    pub number: u32,
    pub text: String,
}

/// All insertions of one file. Nothing of the original text is taken away, so the original is what
/// runs while no mutant is active.
#[derive(Default)]
pub struct Edits {
    /// Expressions with their alternatives, by start and end.
    expressions: BTreeMap<(usize, usize), Vec<Alternative>>,
    /// Early returns, by the place behind the opening brace of a function's body.
    returns: BTreeMap<usize, Vec<Alternative>>,
    /// Match arms that can be switched off.
    arms: Vec<Arm>,
}

struct Arm {
    number: u32,
    pattern_end: usize,
    guard: Option<Range<usize>>,
}

impl Edits {
    pub fn expression(&mut self, range: Range<usize>, number: u32, text: String) {
        let key = (range.start, range.end);
        self.expressions.entry(key).or_default().push(Alternative { number, text });
    }

    pub fn early_return(&mut self, behind_brace: usize, number: u32, value: String) {
        self.returns.entry(behind_brace).or_default().push(Alternative { number, text: value });
    }

    pub fn arm(&mut self, number: u32, pattern_end: usize, guard: Option<Range<usize>>) {
        self.arms.push(Arm { number, pattern_end, guard });
    }

    /// The text with everything inserted, and the lines where each mutant's own text stands.
    pub fn apply(self, text: &str) -> (String, Vec<Woven>) {
        let mut insertions = self.insertions();
        insertions.sort_by_key(|insertion| (insertion.at, insertion.order));
        let mut out = String::with_capacity(text.len() * 4);
        let mut woven = Vec::new();
        let mut line = 1;
        let mut copied = 0;
        let mut push = |out: &mut String, piece: &str| {
            out.push_str(piece);
            line += piece.matches('\n').count();
            line
        };
        for insertion in insertions {
            push(&mut out, &text[copied..insertion.at]);
            copied = insertion.at;
            for piece in insertion.pieces {
                match piece {
                    Piece::Plain(piece) => {
                        push(&mut out, &piece);
                    }
                    Piece::Mutant { number, text } => {
                        let first = push(&mut out, "\n");
                        let last = push(&mut out, &text);
                        push(&mut out, "\n");
                        woven.push(Woven { number, lines: Some((first, last)), left_out: None });
                    }
                }
            }
        }
        push(&mut out, &text[copied..]);
        (out, woven)
    }

    fn insertions(self) -> Vec<Insertion> {
        let mut insertions = Vec::new();
        for ((start, end), alternatives) in self.expressions {
            let mut pieces = vec![Piece::Plain("(".into())];
            for Alternative { number, text } in alternatives {
                pieces.push(Piece::Plain(format!("if {} {{", active(number))));
                pieces.push(Piece::Mutant { number, text });
                pieces.push(Piece::Plain("} else ".into()));
            }
            pieces.push(Piece::Plain("{".into()));
            // At one place: what closes comes before what opens; of what opens, the longest first;
            // of what closes, the one that was opened last first.
            insertions.push(Insertion { at: start, order: Order::Open(usize::MAX - end), pieces });
            let pieces = vec![Piece::Plain("})".into())];
            insertions.push(Insertion { at: end, order: Order::Close(usize::MAX - start), pieces });
        }
        for (at, alternatives) in self.returns {
            let mut pieces = Vec::new();
            for Alternative { number, text } in alternatives {
                pieces.push(Piece::Plain(format!("if {} {{", active(number))));
                pieces.push(Piece::Mutant { number, text: format!("return {text};") });
                pieces.push(Piece::Plain("}".into()));
            }
            insertions.push(Insertion { at, order: Order::Outermost, pieces });
        }
        for Arm { number, pattern_end, guard } in self.arms {
            let switch = |text: &str| Piece::Mutant { number, text: text.into() };
            match guard {
                None => insertions.push(Insertion {
                    at: pattern_end,
                    order: Order::Outermost,
                    pieces: vec![switch(&format!(" if !{}", active(number)))],
                }),
                Some(guard) => {
                    insertions.push(Insertion {
                        at: guard.start,
                        order: Order::Outermost,
                        pieces: vec![switch(&format!("!{} && (", active(number)))],
                    });
                    insertions.push(Insertion {
                        at: guard.end,
                        order: Order::Last,
                        pieces: vec![Piece::Plain(")".into())],
                    });
                }
            }
        }
        insertions
    }
}

fn active(number: u32) -> String {
    format!("crate::mutation_switch::is({number})")
}

struct Insertion {
    at: usize,
    order: Order,
    pieces: Vec<Piece>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Close(usize),
    Last,
    Outermost,
    Open(usize),
}

enum Piece {
    Plain(String),
    Mutant { number: u32, text: String },
}
