//! The files of `spec/vectors` are what the generator makes. After a change of the generator, or of a
//! file that the manifest names:
//!
//! ```text
//! UPDATE_VECTORS=1 cargo test -p rdma-migration-conformance --test vectors committed
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rdma_migration_conformance::vectors::FILES;
use rdma_migration_conformance::vectors::vector::File;
use sha2::{Digest, Sha256};

use crate::{generate, write};

const MANIFEST: &str = "manifest.toml";

/// Ids of vectors that were withdrawn. They are not given again.
const RETIRED: &[&str] = &[];

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

#[test]
fn the_committed_files_are_what_the_generator_makes() {
    let update = env::var_os("UPDATE_VECTORS").is_some();
    let files = generate::files();
    for (name, file) in &files {
        compare(name, &write::file(file), update);
    }
    compare(MANIFEST, &manifest(&files), update);
}

fn compare(name: &str, made: &str, update: bool) {
    let path = folder().join(name);
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if committed == made {
        return;
    }
    assert!(update, "{name} is not what the generator makes; see the head of committed.rs");
    fs::write(&path, made).unwrap();
}

/// The digest of every file but the manifest itself, and how many vectors there are.
fn manifest(files: &[(&str, File)]) -> String {
    let count = |name: &str| {
        files.iter().find(|(made, _)| *made == name).map(|(_, file)| file.vector.len())
    };
    let total: usize = files.iter().map(|(_, file)| file.vector.len()).sum();
    let retired: Vec<_> = RETIRED.iter().map(|id| write::quoted(id)).collect();
    let mut text = format!(
        "# The files of this folder and their SHA-256. Made with them; see README.md. CC0-1.0.\n\n\
         format = 1\nvectors = {total}\n# Ids of vectors that were withdrawn; they are not given \
         again.\nretired = [{}]\n",
        retired.join(", ")
    );
    for (name, _) in FILES.iter().filter(|(name, _)| *name != MANIFEST) {
        let contents = fs::read(folder().join(name)).unwrap();
        text += &format!("\n[[file]]\nname = \"{name}\"\nsha256 = \"{}\"\n", digest(&contents));
        if let Some(vectors) = count(name) {
            text += &format!("vectors = {vectors}\n");
        }
    }
    text
}

fn digest(contents: &[u8]) -> String {
    Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_text_of_a_file_reads_back_as_the_vectors_it_was_made_of() {
    for (name, file) in generate::files() {
        let text = write::file(&file);
        let read: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(read == file, "{name}");
    }
}

#[test]
fn every_id_belongs_to_one_vector_and_ids_ascend() {
    let mut seen = BTreeSet::new();
    for (name, file) in generate::files() {
        let ids: Vec<_> = file.vector.iter().map(|vector| vector.id.as_str()).collect();
        assert!(ids.is_sorted(), "{name}: {ids:?}");
        for vector in &file.vector {
            assert!(!RETIRED.contains(&vector.id.as_str()), "{} was withdrawn", vector.id);
            assert!(seen.insert(vector.id.clone()), "{} comes twice", vector.id);
        }
    }
    assert!(seen.len() >= 250, "{} vectors", seen.len());
}

#[test]
fn the_manifest_has_every_file_and_its_digest() {
    #[derive(serde::Deserialize)]
    struct Entry {
        name: String,
        sha256: String,
        vectors: Option<usize>,
    }
    #[derive(serde::Deserialize)]
    struct Manifest {
        vectors: usize,
        file: Vec<Entry>,
    }
    let manifest = fs::read_to_string(folder().join(MANIFEST)).unwrap();
    let manifest: Manifest = toml::from_str(&manifest).unwrap();
    let mut left: BTreeSet<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != MANIFEST && !name.starts_with("__"))
        .collect();
    let mut vectors = 0;
    for Entry { name, sha256, vectors: declared } in &manifest.file {
        assert!(left.remove(name), "{name} is not there, or comes twice");
        let contents = fs::read_to_string(folder().join(name)).unwrap();
        assert_eq!(*sha256, digest(contents.as_bytes()), "{name}");
        let found = declared.map(|_| toml::from_str::<File>(&contents).unwrap().vector.len());
        assert_eq!(*declared, found, "{name}");
        vectors += found.unwrap_or(0);
    }
    assert!(left.is_empty(), "not in the manifest: {left:?}");
    assert_eq!(manifest.vectors, vectors);
}
