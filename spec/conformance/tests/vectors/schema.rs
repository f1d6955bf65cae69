//! The published schema: every file is valid by it, and it is strict enough to be of use.

use std::fs;

use rdma_migration_conformance::vectors::FILES;
use rdma_migration_conformance::vectors::error_name::ErrorName;
use serde_json::{Value, json};

use crate::committed::folder;

fn schema() -> Value {
    let text = fs::read_to_string(folder().join("vector.schema.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn vector_file(name: &str) -> Value {
    toml::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

#[test]
fn the_schema_is_one_and_every_file_is_valid_by_it() {
    let schema = schema();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let names = FILES.iter().map(|(name, _)| *name);
    let mut files = 0;
    for name in names.filter(|name| name.ends_with(".toml") && *name != "manifest.toml") {
        let file = vector_file(name);
        let errors: Vec<_> = validator
            .iter_errors(&file)
            .map(|error| format!("{}: {error:.300}", error.instance_path))
            .collect();
        assert!(errors.is_empty(), "{name}: {}", errors.join("\n"));
        files += 1;
    }
    assert_eq!(files, 12);
}

#[test]
fn the_schema_lists_the_error_names_that_there_are() {
    let names: Vec<_> = ErrorName::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(schema()["$defs"]["errors"]["items"]["enum"], json!(names));
}

#[test]
fn the_schema_rejects_what_is_not_in_the_format() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let good = json!({ "title": "t", "vector": [{
        "id": "CTL-V001", "title": "t", "requirements": ["CTL-1"], "input": "message",
        "hex": "00 11", "errors": ["header_truncated"],
    }] });
    assert!(validator.is_valid(&good));
    let changes = [
        ("id", json!("CTL-1")),
        ("requirements", json!([])),
        ("reader", json!("nobody")),
        ("input", json!("packet")),
        ("hex", json!("0")),
        ("parts", json!([{ "hex": "00" }])),
        ("errors", json!(["unheard_of"])),
        ("errors", json!([])),
        ("reading", json!({ "type": "READY", "length": 0 })),
        ("comment", json!("text")),
    ];
    for (key, value) in changes {
        let mut changed = good.clone();
        changed["vector"][0][key] = value;
        assert!(!validator.is_valid(&changed), "{key} of {changed}");
    }
    let mut dialogue = vector_file("09-rounds.toml");
    assert!(validator.is_valid(&dialogue));
    dialogue["vector"][0]["steps"][0]["from"] = json!("observer");
    assert!(!validator.is_valid(&dialogue));
}

#[test]
fn the_schema_names_no_host() {
    let schema = schema();
    assert!(schema["$id"].as_str().unwrap().starts_with("urn:uuid:"));
}
