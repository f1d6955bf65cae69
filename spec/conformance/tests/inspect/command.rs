//! The command itself: arguments, exit status, standard error.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};

const DYNAMIC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../captures/qemu-7.2-dynamic.pcap");

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rdma-migration"));
    command.arg("inspect");
    command
}

fn with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut standard_input = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || {
        // The command may end before it has read everything.
        let _ = standard_input.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

fn error(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_capture_without_deviations_ends_with_0() {
    let output = command().arg(DYNAMIC).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(error(&output), "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("no deviation from the protocol") && !text.contains('\u{1b}'));
}

#[test]
fn a_capture_with_deviations_ends_with_1() {
    use crate::support::{Link, Source, Trace, file::pcap};
    use rdma_migration_conformance::codec::Kind;
    let mut trace = Trace::default();
    let mut link = Link::default();
    link.set_up(&mut trace, 0);
    link.send_payload(&mut trace, Source, Kind::QemuFile, b"without READY");
    let output = with_input(&["-"], &pcap(&trace));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("DEVIATION: QEMU_FILE without a READY to pay for it"), "{text}");
    assert!(text.contains("1 deviation from the protocol"), "{text}");
}

#[test]
fn a_damaged_capture_is_reported_as_far_as_it_goes_and_ends_with_2() {
    let file = std::fs::read(DYNAMIC).unwrap();
    let output = with_input(&["-"], &file[..100_000]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stdout.clone()).unwrap().contains("Connection 1"));
    assert_eq!(
        error(&output),
        "error: -: cut short in the record of packet 1227, which begins at offset 99948\n"
    );
}

#[test]
fn what_cannot_be_read_ends_with_2() {
    let nothing = with_input(&["-"], b"");
    assert_eq!(
        (nothing.status.code(), error(&nothing).as_str()),
        (Some(2), "error: -: the file is empty\n")
    );
    let missing = command().arg("/nonexistent/file").output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(error(&missing).starts_with("error: cannot open /nonexistent/file: "));
    let no_connection = with_input(&["-"], &crate::support::file::pcap(&Default::default()));
    assert_eq!(no_connection.status.code(), Some(2));
    assert!(error(&no_connection).contains("no RDMA connection"), "{}", error(&no_connection));
}

#[test]
fn absurd_arguments_end_with_2() {
    for arguments in [&["--chunk-size", "3", DYNAMIC][..], &["--format", "xml", DYNAMIC], &[]] {
        let output = command().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = command()
        .args(["--format", "json", DYNAMIC])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 10]).unwrap();
    drop(output);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0));
}
