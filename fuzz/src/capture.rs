//! Capture files, as `inspect` reads them: pcap and pcapng, with anything in them.

use rdma_migration_conformance::inspect::{Format, Options, inspect};
use serde_json::Value;

use crate::allocator::measure;

/// Bytes of heap that a reading takes at most, whatever the file: the reader's window is 1 MiB, and
/// grows to twice that; the rest is what is held back of messages that are not whole yet.
const HEAP_BASE_MAX: usize = 8 << 20;
/// Bytes of heap for each byte of the file, besides.
const HEAP_PER_BYTE_MAX: usize = 256;

/// Reads a capture, and what is reported of it.
///
/// # Panics
///
/// If what is reported could move a terminal's cursor, or is no JSON where it should be; if reading
/// takes more memory than its bound.
pub fn drive(bytes: &[u8]) {
    let format = if bytes.len() & 1 == 0 { Format::Text } else { Format::Json };
    let options = Options { format, ..Options::default() };
    let mut report = Vec::new();
    let heap = measure(|| {
        let outcome = inspect(bytes, &options, &mut report).expect("memory takes all");
        for note in outcome.notes {
            assert_harmless(&note);
        }
    });
    let max = HEAP_BASE_MAX + HEAP_PER_BYTE_MAX * bytes.len();
    assert!(heap.peak <= max, "{} bytes of heap for {} bytes of file", heap.peak, bytes.len());
    let report = String::from_utf8(report).expect("a report is text");
    match format {
        Format::Text => assert_harmless(&report),
        Format::Json => {
            for line in report.lines() {
                let value: Value = serde_json::from_str(line).expect("each line is JSON");
                assert!(value.is_object(), "{line}");
            }
        }
    }
}

/// Asserts that text can be shown on a terminal.
pub(crate) fn assert_harmless(text: &str) {
    let harmful = text.chars().find(|each| each.is_control() && *each != '\n');
    assert_eq!(harmful, None, "in {text:?}");
}
