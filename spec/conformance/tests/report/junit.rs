//! The report as JUnit XML.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;
use rdma_migration_conformance::suite::report::Report;

use crate::support::{every_outcome, judged, report};

fn written(report: &Report) -> String {
    let mut bytes = Vec::new();
    report.write_junit(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// How often each element is there, and the attributes of the outermost.
fn read(xml: &str) -> (BTreeMap<String, usize>, BTreeMap<String, String>) {
    let mut reader = Reader::from_str(xml);
    let (mut elements, mut outermost) = (BTreeMap::new(), BTreeMap::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) | Event::Empty(element) => {
                let name = String::from_utf8(element.name().as_ref().to_vec()).unwrap();
                for attribute in element.attributes() {
                    let attribute = attribute.unwrap();
                    let key = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                    let value = String::from_utf8(attribute.value.to_vec()).unwrap();
                    if name == "testsuites" {
                        outermost.insert(key, value);
                    }
                }
                *elements.entry(name).or_default() += 1;
            }
            Event::Eof => return (elements, outermost),
            _ => {}
        }
    }
}

#[test]
fn each_outcome_is_the_element_that_it_should_be() {
    let xml = written(&every_outcome());
    let (elements, outermost) = read(&xml);
    // Failed and stale; timed out and inconclusive; skipped and waived.
    let expected = [("testcase", 7), ("failure", 2), ("error", 2), ("skipped", 2)];
    for (element, count) in expected {
        assert_eq!(elements.get(element), Some(&count), "{element}");
    }
    let expected = [("tests", "7"), ("failures", "2"), ("errors", "2"), ("skipped", "2")];
    for (attribute, count) in expected {
        assert_eq!(outermost.get(attribute).map(String::as_str), Some(count), "{attribute}");
    }
}

#[test]
fn no_control_character_gets_through() {
    let xml = written(&every_outcome());
    let harmless = |letter: char| !letter.is_control() || letter == '\n';
    assert!(xml.chars().all(harmless));
    assert!(xml.contains("\\u{1b}[2J") && !xml.contains("<script>"));
}

#[test]
fn a_pass_has_nothing_in_it() {
    let (elements, outermost) = read(&written(&report(["D-CON-001", "S-CON-001"].map(judged))));
    assert_eq!(elements.len(), 3);
    assert_eq!((elements["testsuite"], elements["testcase"]), (2, 2));
    assert_eq!(outermost["failures"], "0");
}
