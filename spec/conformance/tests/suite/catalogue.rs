//! All cases together: their names, their texts, and what they reach.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rdma_migration_conformance::suite::{Case, Profile, Role, cases};

const CHAPTERS: [&str; 10] =
    ["CON", "CTL", "BLK", "REG", "WRITE", "ZERO", "STR", "RND", "ERR", "LIM"];

/// The identifiers that open a sentence of the specification.
fn requirements() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../text");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.map(|file| fs::read_to_string(file).unwrap());
    let found: BTreeSet<_> = texts
        .flat_map(|text| text.lines().filter_map(opening_identifier).collect::<Vec<_>>())
        .collect();
    assert!(!found.is_empty(), "no requirement found");
    found
}

fn opening_identifier(line: &str) -> Option<String> {
    let (id, _) = line.strip_prefix('[')?.split_once(']')?;
    let (chapter, number) = id.split_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (CHAPTERS.contains(&chapter) && is_number).then(|| id.to_owned())
}

fn named() -> BTreeSet<String> {
    cases::all().flat_map(|case| case.requirements).map(|id| (*id).to_owned()).collect()
}

fn is_well_formed(case: &Case) -> bool {
    let parts: Vec<_> = case.id.split('-').collect();
    let [role, chapter, number] = parts[..] else { return false };
    let wanted = match case.role {
        Role::Destination => "D",
        Role::Source => "S",
    };
    role == wanted
        && CHAPTERS.contains(&chapter)
        && number.len() == 3
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn identifiers_are_unique_and_well_formed() {
    let mut seen = BTreeSet::new();
    for case in cases::all() {
        assert!(is_well_formed(case), "{}", case.id);
        assert!(seen.insert(case.id), "{} is there twice", case.id);
    }
}

#[test]
fn every_requirement_that_a_case_names_exists() {
    let unknown: Vec<_> = named().difference(&requirements()).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_requirement_is_named_by_a_case() {
    let missing: Vec<_> = requirements().difference(&named()).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_case_has_a_title_texts_and_requirements() {
    for case in cases::all() {
        assert!(!case.title.is_empty() && !case.requirements.is_empty(), "{}", case.id);
        for text in [case.sends, case.accepts] {
            assert!(text.ends_with('.'), "{}: {text:?}", case.id);
        }
    }
}

#[test]
fn each_role_has_quick_cases() {
    for role in [Role::Source, Role::Destination] {
        let quick = |case: &&Case| case.role == role && case.profile == Profile::Quick;
        assert!(cases::all().any(|case| quick(&case)), "{role:?}");
    }
}

#[test]
fn there_are_at_least_120_cases() {
    assert!(cases::all().count() >= 120);
}
