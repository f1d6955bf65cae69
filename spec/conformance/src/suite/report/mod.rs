//! Reports: one model, four forms.

mod json;
mod model;
mod text;

pub use model::{CaseReport, Circumstances, FORMAT, Policy, Report, RequirementReport, chapter_of};
