//! Finds the code that each mutant changes.

use std::collections::BTreeMap;
use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Arm, Attribute, Block, Expr, ExprBinary, ExprStruct, ExprUnary, ImplItemConst, ItemConst, ItemStatic,
    TraitItemConst, Variant,
};

use crate::edits::Edits;
use crate::mutant::{Genre, Mutant, Position, Woven};

/// Where each mutant of a file is to be inserted, and the mutants for which that is not possible.
pub fn find(text: &str, mutants: Vec<Mutant>) -> syn::Result<(Edits, Vec<Woven>)> {
    let file = syn::parse_file(text)?;
    let mut waiting: BTreeMap<(Genre, Position), Vec<Mutant>> = BTreeMap::new();
    for mutant in mutants {
        waiting.entry((mutant.genre, mutant.span.start)).or_default().push(mutant);
    }
    let mut places = Places {
        text,
        waiting,
        edits: Edits::default(),
        left_out: Vec::new(),
        constant: false,
        operators: Vec::new(),
    };
    places.visit_file(&file);
    let mut left_out = places.left_out;
    for mutant in places.waiting.into_values().flatten() {
        left_out.push(Woven::left_out(mutant.number, "not found in the syntax tree"));
    }
    Ok((places.edits, left_out))
}

struct Places<'t> {
    text: &'t str,
    waiting: BTreeMap<(Genre, Position), Vec<Mutant>>,
    edits: Edits,
    left_out: Vec<Woven>,
    /// Inside the value of a constant, which no switch can change while a program runs.
    constant: bool,
    /// The operators around the visited expression, from the outermost, with nothing between them
    /// that would keep a change of precedence inside.
    operators: Vec<Operator>,
}

struct Operator {
    range: Range<usize>,
    /// A chain with `let` in it is no expression that could be wrapped.
    has_let: bool,
}

impl Places<'_> {
    fn take(&mut self, genre: Genre, at: Span) -> Vec<Mutant> {
        let start = at.start();
        let position = Position { line: start.line, column: start.column + 1 };
        let mutants = self.waiting.remove(&(genre, position)).unwrap_or_default();
        if self.constant {
            self.leave_out(&mutants, "in a constant");
            return Vec::new();
        }
        mutants
    }

    fn leave_out(&mut self, mutants: &[Mutant], why: &'static str) {
        self.left_out.extend(mutants.iter().map(|mutant| Woven::left_out(mutant.number, why)));
    }

    /// An operator's mutants are a change of text, and may move what binds how: the alternative is
    /// the whole of the outermost expression of operators, with the one operator replaced.
    fn replace_operator(&mut self, operator: Range<usize>, mutants: Vec<Mutant>) {
        let Some(outermost) = self.operators.iter().find(|operator| !operator.has_let) else {
            return self.leave_out(&mutants, "in a chain with let");
        };
        let range = outermost.range.clone();
        let splits_chain = self.operators.iter().any(|operator| operator.has_let);
        for mutant in mutants {
            if splits_chain && mutant.replacement == "||" {
                self.leave_out(&[mutant], "in a chain with let");
                continue;
            }
            let changed = self.replaced(&range, &operator, &mutant.replacement);
            self.edits.expression(range.clone(), mutant.number, changed);
        }
    }

    fn replaced(&self, whole: &Range<usize>, part: &Range<usize>, by: &str) -> String {
        let (before, after) = (&self.text[whole.start..part.start], &self.text[part.end..whole.end]);
        format!("{before}{by} {after}")
    }

    fn in_constant(&mut self, visit: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.constant, true);
        visit(self);
        self.constant = outer;
    }

    fn within(&mut self, operator: Operator, visit: impl FnOnce(&mut Self)) {
        self.operators.push(operator);
        visit(self);
        self.operators.pop();
    }

    fn body(&mut self, block: &Block) {
        let Some(first) = block.stmts.first() else { return };
        let behind_brace = block.brace_token.span.open().byte_range().end;
        for mutant in self.take(Genre::FnValue, first.span()) {
            self.edits.early_return(behind_brace, mutant.number, mutant.replacement);
        }
    }
}

impl<'ast> Visit<'ast> for Places<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.body(&item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.body(&item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.body(block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast ItemConst) {
        self.in_constant(|places| visit::visit_item_const(places, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast ImplItemConst) {
        self.in_constant(|places| visit::visit_impl_item_const(places, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast TraitItemConst) {
        self.in_constant(|places| visit::visit_trait_item_const(places, item));
    }

    fn visit_item_static(&mut self, item: &'ast ItemStatic) {
        self.in_constant(|places| visit::visit_item_static(places, item));
    }

    fn visit_variant(&mut self, variant: &'ast Variant) {
        self.in_constant(|places| visit::visit_variant(places, variant));
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        self.in_constant(|places| visit::visit_type_array(places, array));
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
        self.in_constant(|places| places.visit_expr(&repeat.len));
    }

    fn visit_expr_const(&mut self, block: &'ast syn::ExprConst) {
        self.in_constant(|places| visit::visit_expr_const(places, block));
    }

    /// Any other expression than an operator holds together what is in it.
    fn visit_expr(&mut self, expression: &'ast Expr) {
        if matches!(expression, Expr::Binary(_) | Expr::Unary(_)) {
            return visit::visit_expr(self, expression);
        }
        let around = std::mem::take(&mut self.operators);
        visit::visit_expr(self, expression);
        self.operators = around;
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        let has_let = has_let(&binary.left) || has_let(&binary.right);
        let operator = Operator { range: binary.span().byte_range(), has_let };
        self.within(operator, |places| {
            let mutants = places.take(Genre::BinaryOperator, binary.op.span());
            if has_let {
                places.leave_out(&mutants, "in a chain with let");
            } else {
                places.replace_operator(binary.op.span().byte_range(), mutants);
            }
            visit::visit_expr_binary(places, binary);
        });
    }

    fn visit_expr_unary(&mut self, unary: &'ast ExprUnary) {
        let operator = Operator { range: unary.span().byte_range(), has_let: false };
        self.within(operator, |places| {
            let mutants = places.take(Genre::UnaryOperator, unary.op.span());
            places.replace_operator(unary.op.span().byte_range(), mutants);
            visit::visit_expr_unary(places, unary);
        });
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let guard = arm.guard.as_ref().map(|(_, guard)| guard.as_ref());
        let mutants = self.take(Genre::MatchArm, arm.span());
        if guard.is_some_and(has_let) {
            self.leave_out(&mutants, "a guard with let");
        } else {
            let pattern_end = arm.pat.span().byte_range().end;
            for mutant in mutants {
                let guard = guard.map(|guard| guard.span().byte_range());
                self.edits.arm(mutant.number, pattern_end, guard);
            }
        }
        if let Some(guard) = guard {
            let mutants = self.take(Genre::MatchArmGuard, guard.span());
            if has_let(guard) {
                self.leave_out(&mutants, "a guard with let");
            } else {
                for mutant in mutants {
                    let range = guard.span().byte_range();
                    self.edits.expression(range, mutant.number, mutant.replacement);
                }
            }
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, value: &'ast ExprStruct) {
        let whole = value.span().byte_range();
        for pair in value.fields.pairs() {
            let mutants = self.take(Genre::StructField, pair.value().span());
            for mutant in mutants {
                let part = pair.span().byte_range();
                let changed = self.replaced(&whole, &part, "");
                self.edits.expression(whole.clone(), mutant.number, changed);
            }
        }
        visit::visit_expr_struct(self, value);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// Whether a condition binds with `let`, outside parentheses, where it could not be wrapped.
fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}
