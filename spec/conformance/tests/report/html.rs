//! The report as one page.

use std::collections::BTreeSet;

use quick_xml::Reader;
use quick_xml::events::Event as Markup;
use rdma_migration_conformance::suite::peers::Reference;
use rdma_migration_conformance::suite::report::Report;
use rdma_migration_conformance::suite::transcript::Event;
use rdma_migration_conformance::suite::{Action, Bytes, Entry, Observation, Transcript, cases};

use crate::support::{every_outcome, report, session};

fn written(report: &Report) -> String {
    let mut bytes = Vec::new();
    report.write_html(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn whole() -> Report {
    report(cases::all().map(|case| session().judge(&mut Reference, case)))
}

/// Reads a page strictly: what is opened is closed. Gives the names that it has, and those that it
/// leads to.
fn read(html: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut reader = Reader::from_str(html);
    let mut depth = 0;
    let (mut has, mut leads_to) = (BTreeSet::new(), BTreeSet::new());
    loop {
        let event = reader.read_event().unwrap();
        depth += i32::from(matches!(event, Markup::Start(_)));
        depth -= i32::from(matches!(event, Markup::End(_)));
        match event {
            Markup::Start(element) | Markup::Empty(element) => {
                for attribute in element.attributes() {
                    let attribute = attribute.unwrap();
                    let value = String::from_utf8(attribute.value.to_vec()).unwrap();
                    match attribute.key.as_ref() {
                        b"id" => assert!(has.insert(value.clone()), "{value} is there twice"),
                        b"popovertarget" | b"for" => drop(leads_to.insert(value)),
                        b"href" => {
                            leads_to.insert(value.strip_prefix('#').unwrap().to_owned());
                        }
                        _ => {}
                    }
                }
            }
            Markup::Eof => break,
            _ => {}
        }
    }
    assert_eq!(depth, 0);
    (has, leads_to)
}

#[test]
fn the_page_of_the_whole_suite_is_well_formed_whole_and_small() {
    let html = written(&whole());
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    let (has, leads_to) = read(&html);
    for case in cases::all() {
        assert!(has.contains(case.id), "{}", case.id);
    }
    let nowhere: Vec<_> = leads_to.difference(&has).collect();
    assert!(nowhere.is_empty(), "{nowhere:?}");
    // Every case has its chart.
    assert!(!html.contains("The chart is left out"));
    assert_eq!(html.matches("<ol class=\"q\">").count(), cases::all().count());
}

#[test]
fn the_page_needs_nothing_else() {
    let html = written(&every_outcome());
    for loads in ["://", "src=", "url(", "@import", "<script", "<link", "<iframe", "javascript:"] {
        assert!(!html.contains(loads), "{loads}");
    }
}

#[test]
fn what_a_peer_says_is_text() {
    let html = written(&every_outcome());
    read(&html);
    assert!(html.contains("&lt;script&gt;&#39;&quot;&amp;\\u{1b}[2J"));
    assert!(html.chars().all(|letter| !letter.is_control() || letter == '\n'));
}

#[test]
fn the_page_stays_small_whatever_was_said() {
    let mut report = whole();
    for (number, case) in report.cases.iter_mut().enumerate() {
        let entries = (0..1_000_u32).map(|index| {
            let mut message = vec![0, 0, 0, 24, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0];
            message.extend_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
            message.extend_from_slice(&u64::from(index).to_be_bytes());
            message.extend_from_slice(&[7; 8]);
            let message = Bytes(message);
            let event = match index % 2 {
                0 => Event::Did(Action::Send { message }),
                _ => Event::Saw(Observation::Received { message }),
            };
            Entry { time_us: u64::from(index), event }
        });
        case.transcript = Some(Transcript(entries.collect()));
    }
    let html = written(&report);
    assert!((2_500_000..3_000_000).contains(&html.len()), "{} bytes", html.len());
    assert!(html.contains("The chart is left out to keep the page small"));
    assert!(html.contains("and 600 more"));
    read(&html);
}
