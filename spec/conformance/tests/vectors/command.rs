//! `rdma-migration conformance vectors`, as its users run it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use rdma_migration_conformance::vectors::vector::Content;
use rdma_migration_conformance::vectors::{FILES, all};

fn run(arguments: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rdma-migration"))
        .args(["conformance", "vectors"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn the_list_counts_every_vector() {
    let output = run(&[]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let last: Vec<_> = text.trim_end().lines().last().unwrap().split_whitespace().collect();
    let vectors = all().unwrap();
    let dialogues =
        vectors.iter().filter(|vector| matches!(vector.content, Content::Dialogue(_))).count();
    let [_, valid, invalid, said] = last[..] else { panic!("{last:?}") };
    let [valid, invalid, said] =
        [valid, invalid, said].map(|count| count.parse::<usize>().unwrap());
    assert_eq!((valid + invalid, said), (vectors.len() - dialogues, dialogues));
    assert!(valid > 0 && invalid > 0);
    for name in ["02-connection.toml", "11-limits.toml", "capture-pin-all.toml"] {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn the_files_are_copied_into_a_new_folder() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("vectors");
    let output = run(&[Path::new("--copy"), &copy]);
    assert!(output.status.success());
    assert_eq!(fs::read_dir(&copy).unwrap().count(), FILES.len());
}

#[test]
fn a_folder_that_is_not_empty_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("README.md"), "mine").unwrap();
    let output = run(&[Path::new("--copy"), folder.path()]);
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(complaint, format!("error: {} is not empty\n", folder.path().display()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(folder.path().join("README.md")).unwrap(), "mine");
}
