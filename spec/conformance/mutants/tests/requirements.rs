//! Mutants and requirements belong together.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rdma_migration_mutants::{UNOBSERVABLE, all};

/// The requirements of the text, with their sentences.
fn requirements() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../text");
    let mut found: Vec<(String, String)> = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let mut open = false;
        for line in text.lines() {
            let opening = line.strip_prefix('[').and_then(|line| line.split_once("] "));
            match opening.filter(|(id, _)| is_requirement(id)) {
                Some((id, sentence)) => {
                    found.push((id.to_owned(), sentence.to_owned()));
                    open = true;
                }
                None if line.trim().is_empty() => open = false,
                None if open => {
                    let (_, sentence) = found.last_mut().unwrap();
                    *sentence = format!("{sentence} {}", line.trim());
                }
                None => {}
            }
        }
    }
    found
}

fn is_requirement(id: &str) -> bool {
    let Some((word, number)) = id.split_once('-') else { return false };
    word.bytes().all(|letter| letter.is_ascii_uppercase()) && number.parse::<u32>().is_ok()
}

#[test]
fn every_must_has_a_mutant_or_a_reason() {
    let musts: BTreeSet<_> = requirements()
        .into_iter()
        .filter(|(_, sentence)| sentence.contains("MUST"))
        .map(|(id, _)| id)
        .collect();
    assert!(musts.len() > 100, "{}", musts.len());
    let broken: BTreeSet<_> = all().map(|mutant| mutant.requirement.to_owned()).collect();
    let reasoned: BTreeSet<_> =
        UNOBSERVABLE.iter().map(|reason| reason.requirement.to_owned()).collect();
    let neither: Vec<_> =
        musts.iter().filter(|id| !broken.contains(*id) && !reasoned.contains(*id)).collect();
    assert!(neither.is_empty(), "without a mutant and without a reason: {neither:?}");
    let both: Vec<_> = broken.intersection(&reasoned).collect();
    assert!(both.is_empty(), "with a mutant and with a reason why there is none: {both:?}");
    let unknown: Vec<_> = broken.union(&reasoned).filter(|id| !musts.contains(*id)).collect();
    assert!(unknown.is_empty(), "no requirement with MUST: {unknown:?}");
}

#[test]
fn names_are_unique_and_in_kebab_case() {
    let mut seen = BTreeSet::new();
    for mutant in all() {
        let name = mutant.name;
        assert!(seen.insert(name), "{name} is there twice");
        let fits =
            |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
        assert!(name.bytes().all(fits), "{name}");
        assert!(mutant.says.ends_with('.'), "{name}: {:?}", mutant.says);
    }
    assert!(seen.len() >= 50, "{}", seen.len());
}

#[test]
fn every_reason_is_a_sentence_and_given_once() {
    let mut seen = BTreeSet::new();
    for reason in UNOBSERVABLE {
        assert!(seen.insert(reason.requirement), "{}", reason.requirement);
        assert!(reason.reason.ends_with('.'), "{}: {:?}", reason.requirement, reason.reason);
    }
}
