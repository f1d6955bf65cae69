//! The protocol crate agrees with every vector: its wire types read the bytes, and its two machines
//! play the dialogues.

use rdma_migration_conformance::vectors::all;
use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_conformance::vectors::judge::compare;
use rdma_migration_conformance::vectors::protocol_name::of_stream;
use rdma_migration_conformance::vectors::reading::{
    CapabilitiesReading, Entries, Entry, MessageReading, NamedBlock, StreamEndReading,
    StreamReading, Wide,
};
use rdma_migration_conformance::vectors::vector::{Act, Case, Content, Expected, Reader, Vector};
use rdma_migration_protocol::stream::end::vm_description;
use rdma_migration_protocol::stream::setup::{SetupFault, Unsupported, ram_blocks};
use rdma_migration_protocol::wire::{Capabilities, Message};

use crate::machine::{check, malformed_name};
use crate::{destination_machine, source_machine};

#[test]
fn the_wire_types_agree_with_every_vector() {
    let mut wrong = Vec::new();
    for Vector { id, content, .. } in all().unwrap() {
        if let Err(difference) = read(&content) {
            wrong.push(format!("{id}: {difference}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

fn read(content: &Content) -> Result<(), String> {
    match content {
        Content::PrivateData(case) => {
            compare(&case.expected, read_capabilities(&case.bytes.expand()))
        }
        Content::Message(case) => read_case(case),
        Content::Stream(case) => {
            let bytes = case.bytes.expand();
            let expected = match &case.expected {
                Expected::Reading { reading } => {
                    Expected::Reading { reading: as_a_set(reading.clone()) }
                }
                errors @ Expected::Errors { .. } => errors.clone(),
            };
            compare(&expected, read_stream(&bytes).map(as_a_set))
        }
        Content::StreamEnd(case) => {
            let bytes = case.bytes.expand();
            let found = vm_description(&bytes).map(|description| StreamEndReading {
                description: u32::try_from(description.len()).unwrap(),
            });
            compare(&case.expected, found.ok_or(ErrorName::StreamIncomplete))
        }
        Content::Dialogue(dialogue) => {
            for (number, step) in (1..).zip(&dialogue.steps) {
                let read = match &step.act {
                    Act::Connect { hex: private_data, expected, .. } => {
                        compare(expected, read_capabilities(&private_data.0))
                    }
                    Act::Message(case) => read_case(case),
                    Act::Write { .. } => Ok(()),
                };
                read.map_err(|difference| format!("step {number}: {difference}"))?;
            }
            Ok(())
        }
    }
}

fn read_capabilities(private_data: &[u8]) -> Result<CapabilitiesReading, ErrorName> {
    let capabilities = Capabilities::parse(private_data).map_err(|error| malformed_name(&error))?;
    Ok(CapabilitiesReading { version: capabilities.version, flags: capabilities.flags.bits() })
}

fn read_case(case: &Case<MessageReading>) -> Result<(), String> {
    let bytes = case.bytes.expand();
    let expected = match &case.expected {
        Expected::Reading { reading } => Expected::Reading { reading: reading.clone().grouped() },
        errors @ Expected::Errors { .. } => errors.clone(),
    };
    let found = Message::parse(&bytes).map_err(|error| malformed_name(&error));
    compare(&expected, found.map(|message| reading(&message)))
}

fn reading(message: &Message<'_>) -> MessageReading {
    let (repeat, entries) = match message {
        Message::RamBlocksResult(blocks) => (None, Some(blocks.iter().map(ram_block).collect())),
        Message::Compress(runs) => {
            let run = |run: rdma_migration_protocol::wire::Compress| Entry::Compress {
                value: run.value,
                block: run.block.get(),
                offset: Wide(run.offset.get()),
                length: Wide(run.length),
            };
            (Some(runs.len()), Some(runs.iter().map(run).collect()))
        }
        Message::RegisterRequest(requests) => {
            let request =
                |request: rdma_migration_protocol::wire::RegisterRequest| Entry::RegisterRequest {
                    address: Wide(request.address.get()),
                    block: request.block.get(),
                    chunks: Wide(request.chunks),
                };
            (Some(requests.len()), Some(requests.iter().map(request).collect()))
        }
        Message::RegisterResult { repeat, results } => {
            let result =
                |result: rdma_migration_protocol::wire::RegisterResult| Entry::RegisterResult {
                    rkey: result.rkey.get(),
                    host_address: Wide(result.host_address.get()),
                };
            let repeat = usize::try_from(*repeat).unwrap();
            (Some(repeat), Some(results.iter().map(result).collect()))
        }
        Message::UnregisterRequest(requests) => {
            let request = |request: rdma_migration_protocol::wire::UnregisterRequest| {
                Entry::UnregisterRequest { chunk: Wide(request.chunk), block: request.block.get() }
            };
            (Some(requests.len()), Some(requests.iter().map(request).collect()))
        }
        Message::UnregisterFinished { repeat } => (Some(usize::try_from(*repeat).unwrap()), None),
        _ => (None, None),
    };
    MessageReading {
        kind: message.kind().name().to_owned(),
        length: u32::try_from(message.encoded_len() - 16).unwrap(),
        repeat: repeat.map(|repeat| u32::try_from(repeat).unwrap()),
        entries: entries.map(|entries: Vec<_>| Entries::group(entries)),
    }
}

fn ram_block(block: rdma_migration_protocol::wire::RamBlock) -> Entry {
    Entry::RamBlock {
        remote_address: Wide(block.remote_address.get()),
        offset: Wide(block.offset.get()),
        length: Wide(block.length),
        rkey: block.rkey.get(),
    }
}

fn read_stream(stream: &[u8]) -> Result<StreamReading, ErrorName> {
    let setup = ram_blocks(stream).map_err(|error| fault_name(&error.fault))?;
    let capabilities = setup.unsupported.iter().filter_map(|unsupported| match unsupported {
        Unsupported::IgnoreShared => Some("x-ignore-shared".to_owned()),
        Unsupported::Capability(name) => name.as_str().map(str::to_owned),
        _ => None,
    });
    let blocks = setup.blocks.iter().map(|block| NamedBlock {
        name: block.name.as_str().unwrap().to_owned(),
        length: Wide(block.length),
        page_size: block.page_size.map(Wide),
    });
    Ok(StreamReading {
        capabilities: capabilities.collect(),
        return_path: setup.unsupported.contains(&Unsupported::ReturnPath),
        postcopy: setup.unsupported.contains(&Unsupported::Postcopy),
        blocks: blocks.collect(),
    })
}

/// The crate gives what is unsupported as a set.
fn as_a_set(mut reading: StreamReading) -> StreamReading {
    reading.capabilities.sort();
    reading.capabilities.dedup();
    reading
}

pub(crate) fn fault_name(fault: &SetupFault) -> ErrorName {
    of_stream(fault).unwrap_or_else(|| panic!("{fault:?} has no name"))
}

#[test]
fn the_destination_takes_every_dialogue_as_its_verdict_says() {
    let mut played = 0;
    for Vector { id, reader, content, .. } in all().unwrap() {
        let Content::Dialogue(dialogue) = content else { continue };
        if matches!(reader, None | Some(Reader::Destination)) {
            check(&id, &dialogue, &destination_machine::play(&id, &dialogue));
            played += 1;
        }
    }
    assert!(played > 100, "{played} dialogues");
}

/// Dialogues whose source says what ours never does: two requests in one message.
const NOT_FROM_OUR_SOURCE: [&str; 1] = ["REG-V055"];

#[test]
fn the_source_takes_every_dialogue_as_its_verdict_says() {
    let mut played = 0;
    for Vector { id, reader, content, .. } in all().unwrap() {
        let Content::Dialogue(dialogue) = content else { continue };
        let ours = !NOT_FROM_OUR_SOURCE.contains(&id.as_str());
        if matches!(reader, None | Some(Reader::Source)) && ours {
            check(&id, &dialogue, &source_machine::play(&id, &dialogue));
            played += 1;
        }
    }
    assert!(played > 75, "{played} dialogues");
}
