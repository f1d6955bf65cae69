//! The README of the vectors says what is the case.

use std::fs;

use rdma_migration_conformance::vectors::error_name::ErrorName;

use crate::committed::folder;

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

#[test]
fn the_readme_shows_the_python_programs_as_they_are() {
    let readme = read("README.md");
    let mut shown = readme.split("```python\n").skip(1).map(|rest| rest.split("```").next());
    for name in ["check.py", "stream.py"] {
        assert!(
            shown.next().flatten() == Some(read(name).as_str()),
            "{name} is not as README shows it"
        );
    }
    assert_eq!(shown.next(), None);
}

#[test]
fn the_loader_has_at_most_sixty_lines_of_a_hundred_columns() {
    assert!(read("check.py").lines().count() <= 60);
    for name in ["check.py", "stream.py"] {
        assert!(read(name).lines().all(|line| line.chars().count() <= 100), "{name}");
    }
}

#[test]
fn the_python_programs_need_the_standard_library_alone() {
    let standard = ["collections", "pathlib", "re", "struct", "sys", "tomllib", "stream"];
    for line in [read("check.py"), read("stream.py")].concat().lines() {
        let words: Vec<_> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            ["import", modules @ ..] => {
                assert!(modules.iter().all(|module| standard.contains(module)), "{line}");
            }
            ["from", module, "import", ..] => assert!(standard.contains(module), "{line}"),
            _ => {}
        }
    }
}

#[test]
fn the_readme_explains_every_error_name() {
    let readme = read("README.md");
    let rows = ErrorName::ALL.iter().map(|error| {
        format!("| `{error}` | {} | {} |\n", error.requirements().join(", "), error.meaning())
    });
    let table: String = rows.collect();
    assert!(readme.contains(&table), "the table of error names has to be:\n{table}");
}
