//! The commands `conformance run` and `conformance verify`, as somebody types them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn conformance(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rdma-migration"));
    command.arg("conformance").args(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_run_leaves_what_it_was_asked_for_and_verify_agrees() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (evidence, json, junit, html) =
        (file("evidence"), file("report.json"), file("report.xml"), file("report.html"));
    let mut arguments = vec!["run", "--filter", "D-CON-00*", "--evidence", name(&evidence)];
    arguments.extend(["--json", name(&json), "--junit", name(&junit), "--html", name(&html)]);
    let run = conformance(&arguments);
    assert_eq!(code(&run), 0, "{}", text(&run.stderr));
    let said = text(&run.stdout);
    assert!(said.contains("requirements reached"), "{said}");
    assert!(said.contains("reference does in all 9 cases what is required of it"), "{said}");
    assert!(text(&fs::read(&json).unwrap()).contains("\"evidence\": \"D-CON-001\""));
    assert!(text(&fs::read(&junit).unwrap()).contains("tests=\"9\""));
    assert!(text(&fs::read(&html).unwrap()).contains("id=\"D-CON-009\""));

    let verify = conformance(&["verify", name(&evidence)]);
    assert_eq!(code(&verify), 0);
    assert_eq!(
        text(&verify.stdout),
        "9 of 9 verdicts follow from their dialogues (9 pass)\n\
         nothing is missing, added or changed\n"
    );

    // Evidence of two runs does not mix.
    let again = conformance(&arguments);
    assert_eq!(code(&again), 2);
    assert!(text(&again.stderr).contains("it is not empty"));
}

#[test]
fn verify_names_what_was_changed_and_fails() {
    let folder = TempDir::new().unwrap();
    let evidence = folder.path().join("evidence");
    let run = conformance(&["run", "--filter", "D-CON-010", "--evidence", name(&evidence)]);
    assert_eq!(code(&run), 0);
    let verdict = evidence.join("D-CON-010/verdict.json");
    let changed = text(&fs::read(&verdict).unwrap()).replace("\"pass\"", "\"fail\"");
    fs::write(&verdict, changed).unwrap();
    let verify = conformance(&["verify", name(&evidence)]);
    assert_eq!(code(&verify), 1);
    assert_eq!(
        text(&verify.stdout),
        "D-CON-010/verdict.json: its SHA-256 is not the one in the manifest\n\
         D-CON-010/verdict.json: it says fail, and pass follows from the dialogue\n\
         0 of 1 verdicts follow from their dialogues\n\
         2 disagreements\n"
    );
}

#[test]
fn what_is_no_evidence_is_bad_input() {
    let folder = TempDir::new().unwrap();
    let verify = conformance(&["verify", name(&folder.path().join("none"))]);
    assert_eq!(code(&verify), 2);
    assert!(text(&verify.stderr).starts_with("error: cannot verify "));
}

#[test]
fn no_case_is_bad_input() {
    assert_eq!(code(&conformance(&["run", "--filter", "D-XYZ-*"])), 2);
}
