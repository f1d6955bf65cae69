//! The report as JSON, and its published schema. After a change of the report:
//!
//! ```text
//! UPDATE_SCHEMA=1 cargo test -p rdma-migration-conformance --test report schema
//! ```

use std::path::Path;
use std::{env, fs};

use rdma_migration_conformance::suite::report::{Report, schema};
use serde_json::{Value, json};

use crate::support::{every_outcome, judged, report};

fn made() -> String {
    format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap())
}

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(&made()).unwrap()).unwrap()
}

fn written(report: &Report) -> Value {
    let mut bytes = Vec::new();
    report.write_json(&mut bytes).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn the_committed_schema_is_that_of_the_report() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/report.schema.json");
    if env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, made()).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made(), "the schema has changed; see the head of json.rs");
    assert!(jsonschema::meta::is_valid(&serde_json::from_str(&committed).unwrap()));
}

#[test]
fn reports_are_valid_by_the_schema_and_can_be_read_again() {
    let validator = validator();
    let plain = report(["D-CON-010", "S-REG-001"].map(judged));
    for report in [plain, every_outcome()] {
        let value = written(&report);
        let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let mut again: Report = serde_json::from_value(value).unwrap();
        for (again, case) in again.cases.iter_mut().zip(&report.cases) {
            // As JSON the dialogue is in the evidence.
            again.transcript.clone_from(&case.transcript);
        }
        assert_eq!(again, report);
    }
}

#[test]
fn the_schema_rejects_what_is_no_report() {
    let validator = validator();
    let good = written(&report([judged("D-CON-010")]));
    let changes = [
        ("/policy", json!("fine")),
        ("/cases/0/outcome", json!("passed")),
        ("/cases/0/role", json!("observer")),
        ("/cases/0/verdict/findings", json!([{ "column": "safety" }])),
        ("/cases/0/took_seconds", json!("long")),
        ("/requirements/0", json!({ "id": "CON-1", "comment": "" })),
        ("/seed", json!(-1)),
    ];
    for (place, value) in changes {
        let mut changed = good.clone();
        *changed.pointer_mut(place).unwrap() = value;
        assert!(!validator.is_valid(&changed), "{place}");
    }
}
