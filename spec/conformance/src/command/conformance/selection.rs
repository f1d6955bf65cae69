use clap::Args;

use rdma_migration_conformance::suite::selection::{Selected, Selection};
use rdma_migration_conformance::suite::{Level, Profile, Role, cases};

/// The arguments that say which cases are meant.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// Only cases with this side under test.
    #[arg(long, value_enum)]
    role: Option<Role>,

    /// Only cases whose name fits one of these patterns, in which `*` and `?` stand for anything.
    #[arg(long, value_name = "GLOB", num_args = 1..)]
    filter: Vec<String>,

    /// Only cases of these levels.
    #[arg(long, value_enum, value_delimiter = ',')]
    level: Vec<Level>,

    /// How much: one case for each kind of rule, or all; all for the reference, unless given.
    #[arg(long, value_enum)]
    profile: Option<Profile>,

    /// Also cases that have crashed deployed peers; the reference is not asked.
    #[arg(long)]
    dangerous: bool,
}

impl Which {
    /// The cases of the suite that are meant, if a crash does no harm or otherwise.
    /// `role`: the only side that can be judged, if it is one.
    pub(super) fn selection(&self, expendable: bool, role: Option<Role>) -> Selection {
        let default = if expendable { Profile::Full } else { Profile::Quick };
        Selection {
            role: self.role.or(role),
            filters: self.filter.clone(),
            levels: self.level.clone(),
            profile: self.profile.unwrap_or(default),
            dangerous: self.dangerous || expendable,
        }
    }
}

/// The cases that a selection takes, if there are any.
pub(super) fn select(selection: &Selection) -> Result<Selected, String> {
    let selected = selection.of(cases::all());
    if let [filter, ..] = selected.useless_filters.as_slice() {
        return Err(format!("--filter {filter}: no case has such a name; see `conformance list`"));
    }
    if selected.cases.is_empty() {
        let dangerous = match selected.dangerous_left_out {
            0 => String::new(),
            cases => format!(": {cases} need --dangerous"),
        };
        return Err(format!("no case is selected{dangerous}"));
    }
    Ok(selected)
}
