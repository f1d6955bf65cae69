//! Which cases are run.

use wildmatch::WildMatch;

use super::{Case, Level, Profile, Role};

/// What a case has to be, to be run.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The side under test; both if there is none.
    pub role: Option<Role>,
    /// Patterns of identifiers, with `*` and `?`, one of which has to fit; all fit if there is none.
    pub filters: Vec<String>,
    /// The levels; all if there is none.
    pub levels: Vec<Level>,
    /// How much is run.
    pub profile: Profile,
    /// Whether cases are run that have crashed deployed peers.
    pub dangerous: bool,
}

/// The cases that a selection takes, and what it leaves out for want of a word.
#[derive(Clone, Debug, Default)]
pub struct Selected {
    /// The cases, in their order.
    pub cases: Vec<&'static Case>,
    /// Cases that would be taken if dangerous ones were.
    pub dangerous_left_out: usize,
    /// Filters that fit no case of the suite.
    pub useless_filters: Vec<String>,
}

impl Selection {
    /// All cases.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            role: None,
            filters: Vec::new(),
            levels: Vec::new(),
            profile: Profile::Full,
            dangerous: true,
        }
    }

    /// What it takes of `cases`.
    pub fn of(&self, cases: impl Iterator<Item = &'static Case>) -> Selected {
        let filters: Vec<_> = self.filters.iter().map(|filter| pattern(filter)).collect();
        let mut used = vec![false; filters.len()];
        let mut selected = Selected::default();
        for case in cases {
            let mut fits = filters.is_empty();
            for (filter, used) in filters.iter().zip(&mut used) {
                if filter.matches(case.id) {
                    fits = true;
                    *used = true;
                }
            }
            if !fits || !self.takes(case) {
                continue;
            }
            if case.dangerous && !self.dangerous {
                selected.dangerous_left_out += 1;
            } else {
                selected.cases.push(case);
            }
        }
        let useless = self.filters.iter().zip(used).filter(|(_, used)| !used);
        selected.useless_filters = useless.map(|(filter, _)| filter.clone()).collect();
        selected
    }

    fn takes(&self, case: &Case) -> bool {
        self.role.is_none_or(|role| role == case.role)
            && (self.levels.is_empty() || self.levels.contains(&case.level))
            && case.profile <= self.profile
    }
}

fn pattern(filter: &str) -> WildMatch {
    WildMatch::new_case_insensitive(filter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{Play, Stop};

    fn nothing(_: &mut Play<'_>) -> Result<(), Stop> {
        Ok(())
    }

    const CASES: &[Case] = &[
        Case::destination("D-REG-001", "a", &["REG-1"], nothing).quick(),
        Case::destination("D-REG-012", "b", &["REG-2"], nothing).dangerous(),
        Case::source("S-RND-001", "c", &["RND-1"], nothing).should(),
        Case::source("S-RND-002", "d", &["RND-2"], nothing).observed(),
    ];

    fn ids(selection: &Selection) -> Vec<&'static str> {
        selection.of(CASES.iter()).cases.iter().map(|case| case.id).collect()
    }

    #[test]
    fn each_word_of_a_selection_leaves_cases_out() {
        let all = Selection::everything();
        assert_eq!(ids(&all).len(), 4);
        let role = Selection { role: Some(Role::Source), ..all.clone() };
        assert_eq!(ids(&role), ["S-RND-001", "S-RND-002"]);
        let levels = Selection { levels: vec![Level::Must, Level::Observed], ..all.clone() };
        assert_eq!(ids(&levels), ["D-REG-001", "D-REG-012", "S-RND-002"]);
        let quick = Selection { profile: Profile::Quick, ..all.clone() };
        assert_eq!(ids(&quick), ["D-REG-001"]);
        let tame = Selection { dangerous: false, ..all };
        assert_eq!(tame.of(CASES.iter()).dangerous_left_out, 1);
        assert_eq!(ids(&tame), ["D-REG-001", "S-RND-001", "S-RND-002"]);
    }

    #[test]
    fn filters_add_up_and_the_useless_ones_are_named() {
        let filters = ["d-reg-?01".to_owned(), "S-*-002".to_owned(), "D-XYZ-*".to_owned()];
        let selection = Selection { filters: filters.to_vec(), ..Selection::everything() };
        assert_eq!(ids(&selection), ["D-REG-001", "S-RND-002"]);
        assert_eq!(selection.of(CASES.iter()).useless_filters, ["D-XYZ-*"]);
    }
}
