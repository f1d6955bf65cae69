//! Which mutant is active: the one whose number the environment names, or none. Only the woven copy
//! of the crate has this file.
#![allow(missing_docs)]
extern crate std as standard_library;

use standard_library::sync::OnceLock;

/// False while constants are computed: `left_out` in the plan lists the mutants of constants.
pub const fn is(mutant: u32) -> bool {
    core::intrinsics::const_eval_select((mutant,), at_compile_time, at_run_time)
}

const fn at_compile_time(_: u32) -> bool {
    false
}

fn at_run_time(mutant: u32) -> bool {
    static ACTIVE: OnceLock<u32> = OnceLock::new();
    *ACTIVE.get_or_init(|| {
        let text = standard_library::env::var("ACTIVE_MUTANT").unwrap_or_default();
        text.parse().unwrap_or(0)
    }) == mutant
}
