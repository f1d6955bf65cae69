//! The suite's own codec agrees with every vector.

use rdma_migration_conformance::codec::{self, find_ram_block_list};
use rdma_migration_conformance::vectors::all;
use rdma_migration_conformance::vectors::judge::judge;
use rdma_migration_conformance::vectors::vector::{Content, Vector, Verdict};

#[test]
fn the_suite_agrees_with_every_vector() {
    let vectors = all().unwrap();
    let wrong: Vec<_> = vectors
        .iter()
        .filter_map(|vector| Some(format!("{}: {}", vector.id, judge(vector).err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}

/// What an error is about has to be among what the vector says it is about.
#[test]
fn errors_stand_for_requirements_that_the_vector_cites() {
    for Vector { id, requirements, content, .. } in all().unwrap() {
        let (errors, reason) = match &content {
            Content::PrivateData(case) => (case.expected.errors().to_vec(), None),
            Content::Message(case) => (case.expected.errors().to_vec(), None),
            Content::Stream(case) => (case.expected.errors().to_vec(), None),
            Content::StreamEnd(case) => (case.expected.errors().to_vec(), None),
            Content::Dialogue(dialogue) => match &dialogue.verdict {
                Verdict::Accepted(_) => (Vec::new(), None),
                Verdict::Refused { refused_at, errors, requirement } => {
                    assert_eq!(*refused_at, dialogue.steps.len(), "{id}: steps behind the refusal");
                    (errors.clone(), Some(requirement))
                }
            },
        };
        assert!(reason.is_none_or(|requirement| requirements.contains(requirement)), "{id}");
        let cited = |error: &rdma_migration_conformance::vectors::error_name::ErrorName| {
            let stands_for = error.requirements();
            match reason {
                Some(requirement) => stands_for.contains(&requirement.as_str()),
                None => stands_for.iter().any(|id| requirements.iter().any(|cited| cited == id)),
            }
        };
        // The others are faults that come with the first one; any may be found first.
        assert!(errors.is_empty() || errors.iter().any(cited), "{id}: {errors:?}");
    }
}

/// The codec's reader of lists takes captures as they come, and so does not refuse what a
/// destination refuses. What is valid it reads as everybody does.
#[test]
fn the_lenient_reader_finds_every_valid_list() {
    let vectors = all().unwrap();
    let differs = |vector: &&Vector| {
        let Content::Stream(case) = &vector.content else { return false };
        let Some(reading) = case.expected.reading() else { return false };
        let found = find_ram_block_list(&case.bytes.expand());
        let named = |block: codec::NamedBlock| (block.name, block.length);
        let found = found.map(|blocks| blocks.into_iter().map(named).collect::<Vec<_>>());
        let expected = reading.blocks.iter().map(|block| (block.name.clone(), block.length.0));
        found != Some(expected.collect())
    };
    let found: Vec<_> = vectors.iter().filter(differs).map(|vector| vector.id.as_str()).collect();
    assert!(found.is_empty(), "{found:?}");
}
