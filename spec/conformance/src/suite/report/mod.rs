//! Reports: one model, four forms.

mod annotated;
mod html;
mod json;
mod junit;
mod model;
mod steps;
mod text;

pub use json::schema;
pub use model::{CaseReport, Circumstances, FORMAT, Policy, Report, RequirementReport, chapter_of};
