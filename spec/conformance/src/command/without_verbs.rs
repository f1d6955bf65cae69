//! What stands in for the commands over real verbs where the program was built without them.

use std::ffi::OsString;

use clap::Args;

use super::Ending;

/// Not in this build: needs libibverbs and librdmacm, and the feature `verbs`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Whatever the command takes.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

/// Says how to get the command.
pub(super) fn run(name: &str, _arguments: &Arguments) -> Ending {
    refuse(name)
}

/// Says how to get what is missing.
pub(super) fn refuse(name: &str) -> Ending {
    eprintln!("error: {}", needs(name));
    Ending::BadInput
}

/// How to get what is missing.
pub(super) fn needs(name: &str) -> String {
    format!(
        "this program was built without real RDMA, which `{name}` needs. On Debian:\n  \
         apt-get install libibverbs-dev librdmacm-dev libclang-dev pkg-config\n  \
         cargo build --release --package rdma-migration-conformance --features verbs"
    )
}
