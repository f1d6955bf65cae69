//! The Python programs of the vectors, which share nothing with this project.

use std::path::Path;
use std::process::{Command, Output};

use rdma_migration_conformance::vectors::copy_to;

/// Runs the loader of a copy of the vectors; nothing, and loudly, where there is no Python.
fn check(folder: &Path) -> Option<Output> {
    match Command::new("python3").arg("-B").arg(folder.join("check.py")).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("SKIPPED: python3 does not run ({error}); `.ci/run vectors` would fail");
            None
        }
    }
}

#[test]
fn the_loader_agrees_with_every_vector() {
    let folder = tempfile::tempdir().unwrap();
    copy_to(folder.path()).unwrap();
    let Some(output) = check(folder.path()) else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let vectors = rdma_migration_conformance::vectors::all().unwrap().len();
    assert!(text.starts_with(&format!("all as expected: {vectors} vectors, ")), "{text}");
    let readme = std::fs::read_to_string(folder.path().join("README.md")).unwrap();
    assert!(readme.contains(&text), "README.md shows another output than: {text}");
}

#[test]
fn the_loader_names_the_vector_that_is_broken() {
    let broken = [
        ("02-connection.toml", "flags = 1", "flags = 2", "CON-V002"),
        ("03-control-channel.toml", "\"header_truncated\"", "\"empty_stream\"", "CTL-V060"),
        ("05-registration.toml", "times = 4096 }", "times = 4095 }", "REG-V012"),
        ("08-stream.toml", "postcopy = true", "postcopy = false", "STR-V021"),
        ("09-rounds.toml", "type = \"READY\"", "type = \"ERROR\"", "RND-V001"),
    ];
    for (file, from, to, id) in broken {
        let folder = tempfile::tempdir().unwrap();
        copy_to(folder.path()).unwrap();
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}: {from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let Some(output) = check(folder.path()) else { return };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(said.starts_with(&format!("{id}: ")), "{file}: {said}");
    }
}
