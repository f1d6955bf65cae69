//! Every departure from the protocol, made on purpose and seen.

use rdma_migration_conformance::codec::{
    Capabilities, Command, Compress, Kind, RamBlock, RegisterRequest, RegisterResult,
    UnregisterRequest,
};

use crate::support::{
    BASE, Destination, Link, MIB, Report, Source, Trace, message, ram_block, stream_set_up,
};

const PLAIN: Capabilities = Capabilities { version: 1, flags: 0 };

/// The deviations of what follows a set-up that has none, with the key of the RAM block.
fn after_set_up(rkey: u32, act: impl FnOnce(&mut Link, &mut Trace)) -> Vec<String> {
    let mut trace = Trace::default();
    let mut link = Link::default();
    link.set_up(&mut trace, rkey);
    link.hook(&mut trace);
    assert!(Report::of_trace(&trace).deviations().is_empty());
    act(&mut link, &mut trace);
    deviations(&trace)
}

fn deviations(trace: &Trace) -> Vec<String> {
    let report = Report::of_trace(trace);
    let from = |line: &serde_json::Value| line["from"].as_str().unwrap_or("?").to_owned();
    let name = |line: &serde_json::Value| line["deviation"].as_str().unwrap().to_owned();
    report.events("deviation").map(|line| from(line) + " " + &name(line)).collect()
}

fn compress(offset: u64, length: u64) -> Command {
    Command::Compress(Compress { value: 0, block: 0, offset, length })
}

fn register(address: u64, chunks: u64) -> Command {
    Command::RegisterRequest(RegisterRequest { address, block: 0, chunks })
}

fn granted(rkey: u32) -> Command {
    Command::RegisterResult(RegisterResult { rkey, host_address: BASE })
}

fn register_chunk(link: &mut Link, trace: &mut Trace, chunk: u64, rkey: u32) {
    link.command(trace, Kind::RegisterRequest, &[register(0x1000 + chunk * MIB, 0)]);
    link.send(trace, Destination, Kind::RegisterResult, &[granted(rkey)]);
}

#[test]
fn negotiation() {
    let negotiate = |requested: Capabilities, granted: Capabilities| {
        let mut trace = Trace::default();
        Link::default().connect(&mut trace, requested, granted);
        deviations(&trace)
    };
    let version = |version| Capabilities { version, flags: 0 };
    let flags = |flags| Capabilities { version: 1, flags };
    assert_eq!(negotiate(version(0), PLAIN), ["source version_zero"]);
    assert_eq!(negotiate(PLAIN, version(2)), ["destination reply_version"]);
    assert_eq!(negotiate(flags(0xffff_fffe), flags(0xffff_fffe)), ["destination unmasked_flags"]);
    assert_eq!(negotiate(PLAIN, flags(1)), ["destination unmasked_flags"]);
    assert!(negotiate(version(2), PLAIN).is_empty());
    assert!(negotiate(flags(1), PLAIN).is_empty());
    assert!(negotiate(flags(0xffff_ffff), flags(1)).is_empty());
}

#[test]
fn credit() {
    let stream = |link: &mut Link, trace: &mut Trace| {
        link.send_payload(trace, Source, Kind::QemuFile, b"abc");
    };
    assert_eq!(after_set_up(0, stream), ["source command_without_ready"]);
    let second_ready = after_set_up(0, |link, trace| {
        link.send(trace, Destination, Kind::Ready, &[]);
        link.send(trace, Destination, Kind::Ready, &[]);
    });
    assert_eq!(second_ready, ["destination second_ready"]);
}

#[test]
fn replies() {
    let after_request = |act: fn(&mut Link, &mut Trace)| {
        after_set_up(0, |link, trace| {
            link.command(trace, Kind::RegisterRequest, &[register(0x1000, 0)]);
            act(link, trace);
        })
    };
    assert_eq!(
        after_request(|link, trace| link.send(trace, Destination, Kind::Ready, &[])),
        ["destination ready_before_reply"]
    );
    assert_eq!(
        after_request(|link, trace| {
            link.send(trace, Destination, Kind::RamBlocksResult, &[ram_block(0)]);
        }),
        ["destination wrong_reply"]
    );
    assert_eq!(
        after_request(|link, trace| {
            link.send(trace, Source, Kind::Compress, &[compress(0x1000, MIB)]);
        }),
        ["source command_before_reply"]
    );
    assert_eq!(
        after_request(|link, trace| {
            link.send(trace, Destination, Kind::RegisterResult, &[granted(7), granted(8)]);
        }),
        ["destination reply_repeat"]
    );
    assert_eq!(
        after_request(|link, trace| {
            link.send(trace, Destination, Kind::RegisterResult, &[granted(0)]);
        }),
        ["destination zero_key"]
    );
    assert_eq!(
        after_set_up(0, |link, trace| {
            link.send(trace, Destination, Kind::RegisterResult, &[granted(7)]);
        }),
        ["destination reply_without_request"]
    );
}

#[test]
fn kinds() {
    let sent_by = |from, kind, payload: &'static [u8]| {
        after_set_up(0, move |link, trace| link.send_payload(trace, from, kind, payload))
    };
    assert_eq!(sent_by(Source, Kind::Ready, b""), ["source wrong_direction"]);
    assert_eq!(sent_by(Destination, Kind::QemuFile, b"abc"), ["destination wrong_direction"]);
    assert_eq!(sent_by(Source, Kind::None, b""), ["source unknown_kind"]);
    assert_eq!(sent_by(Source, Kind::Unknown(77), b""), ["source unknown_kind"]);
    assert!(sent_by(Source, Kind::Error, b"").is_empty());
    let after_error = after_set_up(0, |link, trace| {
        link.send(trace, Source, Kind::Error, &[]);
        link.stream(trace, b"abc");
    });
    assert_eq!(after_error, ["source after_error"]);
}

#[test]
fn lengths() {
    let sent = |bytes: Vec<u8>| {
        after_set_up(0, move |link, trace| {
            link.send(trace, Destination, Kind::Ready, &[]);
            link.send_bytes(trace, Source, &bytes);
        })
    };
    let mut longer = message(Kind::QemuFile, 1, b"abc");
    longer.push(0);
    assert_eq!(sent(longer), ["source length_mismatch"]);
    assert_eq!(sent(vec![0; 12]), ["source shorter_than_header"]);
    assert_eq!(sent(message(Kind::QemuFile, 1, &[])), ["source empty_stream"]);
    assert_eq!(sent(message(Kind::QemuFile, 1, &[1; 524_273])), ["source message_too_long"]);
    assert_eq!(sent(message(Kind::RegisterFinished, 1, b"1234")), ["source payload_length"]);
    let mut payload = Vec::new();
    compress(0x1000, MIB).encode(&mut payload);
    assert_eq!(sent(message(Kind::Compress, 2, &payload)), ["source payload_length"]);
    assert_eq!(sent(message(Kind::Compress, 0, &payload)), ["source repeat_out_of_range"]);
    assert_eq!(sent(message(Kind::Compress, 4097, &payload)), ["source repeat_out_of_range"]);
    // Old sources leave anything in the field, new ones 0.
    assert!(sent(message(Kind::QemuFile, 3_638_950_032, b"abc")).is_empty());
    assert!(sent(message(Kind::QemuFile, 0, b"abc")).is_empty());
}

#[test]
fn windows() {
    let no_hook = after_set_up(0, |link, trace| {
        link.stream(trace, b"abc");
        link.command(trace, Kind::Compress, &[compress(0x1000, MIB)]);
    });
    assert_eq!(no_hook, ["source outside_window"]);
    let stream_inside = after_set_up(0, |link, trace| {
        link.command(trace, Kind::Compress, &[compress(0x1000, MIB)]);
        link.stream(trace, b"abc");
    });
    assert_eq!(stream_inside, ["source stream_in_window"]);
    let after_the_end = after_set_up(7, |link, trace| {
        link.command(trace, Kind::RegisterFinished, &[]);
        link.write(trace, BASE, 7, 4096);
    });
    assert_eq!(after_the_end, ["source outside_window"]);
    let too_early = after_set_up(7, |link, trace| {
        link.send(trace, Destination, Kind::Ready, &[]);
        link.write_unacknowledged(trace, BASE, 7, 4096);
        let write = link.source_sequence - 1;
        link.packet(trace, Source, 0x04, &[], &message(Kind::RegisterFinished, 1, &[]));
        link.packet_numbered(trace, Destination, write, 0x11, &[0x1f, 0, 0, 1], &[], 0);
    });
    assert_eq!(too_early, ["source finished_before_writes"]);
    let acknowledged_twice = after_set_up(7, |link, trace| {
        link.send(trace, Destination, Kind::Ready, &[]);
        link.write(trace, BASE, 7, 4096);
        let write = link.source_sequence - 1;
        link.packet(trace, Source, 0x04, &[], &message(Kind::RegisterFinished, 1, &[]));
        link.packet_numbered(trace, Destination, write, 0x11, &[0x1f, 0, 0, 1], &[], 0);
    });
    assert!(acknowledged_twice.is_empty());
    let again = after_set_up(0, |link, trace| {
        link.command(trace, Kind::RamBlocksRequest, &[]);
        link.send(trace, Destination, Kind::RamBlocksResult, &[ram_block(0)]);
    });
    assert_eq!(again, ["source blocks_requested_again"]);
}

#[test]
fn ram_blocks() {
    let exchange = |flags, blocks: &[Command]| {
        let mut trace = Trace::default();
        let mut link = Link::default();
        let capabilities = Capabilities { version: 1, flags };
        link.connect(&mut trace, capabilities, capabilities);
        link.stream(&mut trace, &stream_set_up(&[("pc.ram", 16 * MIB)]));
        link.command(&mut trace, Kind::RamBlocksRequest, &[]);
        link.send(&mut trace, Destination, Kind::RamBlocksResult, blocks);
        deviations(&trace)
    };
    assert!(exchange(0, &[ram_block(0)]).is_empty());
    assert_eq!(exchange(1, &[ram_block(0)]), ["destination zero_key"]);
    assert_eq!(exchange(0, &[ram_block(0), ram_block(0)]), ["destination block_count"]);
    let shorter = RamBlock { remote_address: BASE, offset: 0, length: MIB, rkey: 0 };
    assert_eq!(exchange(0, &[Command::RamBlock(shorter)]), ["destination block_length"]);
    let mut trace = Trace::default();
    let mut link = Link::default();
    link.connect(&mut trace, PLAIN, PLAIN);
    link.stream(&mut trace, &stream_set_up(&[("pc.ram", 16 * MIB)]));
    link.command(&mut trace, Kind::Compress, &[compress(0, MIB)]);
    assert_eq!(deviations(&trace), ["source before_blocks"]);
}

#[test]
fn addresses() {
    let command =
        |kind, command| after_set_up(0, move |link, trace| link.command(trace, kind, &[command]));
    assert_eq!(command(Kind::Compress, compress(0, MIB)), ["source outside_block"]);
    assert_eq!(
        command(Kind::Compress, compress(0x1000 + 15 * MIB, MIB + 1)),
        ["source outside_block"]
    );
    assert_eq!(command(Kind::Compress, compress(0x1000, 0)), ["source empty_run"]);
    let other_block = Compress { value: 0, block: 1, offset: 0x1000, length: MIB };
    assert_eq!(command(Kind::Compress, Command::Compress(other_block)), ["source no_such_block"]);
    assert_eq!(command(Kind::RegisterRequest, register(0x1000, 16)), ["source outside_block"]);
    let chunk = Command::UnregisterRequest(UnregisterRequest { chunk: 16, block: 0 });
    assert_eq!(command(Kind::UnregisterRequest, chunk), ["source outside_block"]);
}

#[test]
fn writes() {
    let written = |offset: u64, rkey, length| {
        after_set_up(0, move |link, trace| {
            register_chunk(link, trace, 3, 0x55);
            link.write(trace, BASE + offset, rkey, length);
        })
    };
    assert!(written(3 * MIB, 0x55, 0x8000).is_empty());
    assert_eq!(written(3 * MIB, 0x56, 0x8000), ["source unknown_key"]);
    assert_eq!(written(2 * MIB, 0x55, 0x8000), ["source outside_grant"]);
    assert_eq!(written(4 * MIB - 0x1000, 0x55, 0x8000), ["source outside_grant"]);
    assert_eq!(written(16 * MIB - 0x1000, 0x55, 0x8000), ["source write_outside_blocks"]);
    let after_unregistering = after_set_up(0, |link, trace| {
        register_chunk(link, trace, 3, 0x55);
        let chunk = UnregisterRequest { chunk: 3, block: 0 };
        link.command(trace, Kind::UnregisterRequest, &[Command::UnregisterRequest(chunk)]);
        link.send(trace, Destination, Kind::UnregisterFinished, &[]);
        link.write(trace, BASE + 3 * MIB, 0x55, 0x8000);
    });
    assert_eq!(after_unregistering, ["source outside_grant"]);
}

#[test]
fn transport() {
    let mut range = (BASE + 4096).to_be_bytes().to_vec();
    range.extend_from_slice(&[0, 0, 0, 7, 0, 0, 0x20, 0]);
    let header = range.clone();
    let shorter = after_set_up(7, move |link, trace| {
        link.packet(trace, Source, 0x06, &header, &[0; 4096]);
        link.packet(trace, Source, 0x08, &[], &[0; 2048]);
    });
    assert_eq!(shorter, ["source write_length"]);
    let header = range.clone();
    let by_destination = after_set_up(7, move |link, trace| {
        link.packet(trace, Destination, 0x0a, &header, &[0; 8192])
    });
    assert_eq!(by_destination, ["destination write_by_destination"]);
    let read = after_set_up(7, |link, trace| link.packet(trace, Source, 0x0c, &range, &[]));
    assert_eq!(read, ["source other_operation"]);
    let refused = |syndrome| {
        after_set_up(7, move |link, trace| {
            link.packet(trace, Source, 0x04, &[], &message(Kind::Error, 1, &[]));
            link.answer(trace, Destination, syndrome);
        })
    };
    // The side that sent what was refused has to answer for it.
    assert_eq!(refused(0x20), ["source refused"]);
    assert_eq!(refused(0x62), ["source refused"]);
    assert!(refused(0x60).is_empty());
}
