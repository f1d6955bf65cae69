//! What is allocated, and when: counted by the allocator.

use allocation_counter::{AllocationInfo, measure};
use rdma_migration_benches::codec::{
    Command, decode_into, encoded, requests, results, runs, unregistrations,
};
use rdma_migration_benches::machines::{
    SPAN_CHUNKS, TEBIBYTE_CHUNKS, destination_plans, source_plans,
};
use rdma_migration_benches::{destination, source};
use rdma_migration_protocol::limits::{COMMANDS_MAX, HEAP_BYTES_PER_CHUNK_MAX};
use rdma_migration_protocol::source::Registration;
use rdma_migration_protocol::wire::{Entries, Message};

/// Bytes of heap that a guest of 1 TiB may cost both sides together.
const TEBIBYTE_HEAP_BYTES: u64 = 32 << 20;

/// Chunks of the guests that are moved: enough for every queue to fill.
const CHUNKS: u64 = 1000;

fn assert_no_allocation(what: &str, work: impl FnOnce()) {
    let used = measure(work);
    assert_eq!((used.count_total, used.bytes_total), (0, 0), "{what} allocated");
}

fn assert_codec_does_not_allocate<T: Command>(what: &str, values: &[T], message: &Message<'_>) {
    let mut bytes = encoded(message);
    assert_no_allocation(what, || assert!(message.encode(&mut bytes).is_ok()));
    let mut read = values.to_vec();
    assert_no_allocation(what, || decode_into(&bytes, &mut read));
    assert_eq!(read, values);
}

#[test]
fn arrays_of_4096_commands_are_encoded_and_decoded_without_allocation() {
    let requests = requests(COMMANDS_MAX);
    let message = Message::RegisterRequest(Entries::new(&requests));
    assert_codec_does_not_allocate("REGISTER_REQUEST", &requests, &message);
    let results = results(COMMANDS_MAX);
    let message = Message::RegisterResult { repeat: 4096, results: Entries::new(&results) };
    assert_codec_does_not_allocate("REGISTER_RESULT", &results, &message);
    let runs = runs(COMMANDS_MAX);
    assert_codec_does_not_allocate("COMPRESS", &runs, &Message::Compress(Entries::new(&runs)));
    let requests = unregistrations(COMMANDS_MAX);
    let message = Message::UnregisterRequest(Entries::new(&requests));
    assert_codec_does_not_allocate("UNREGISTER_REQUEST", &requests, &message);
}

#[test]
fn a_source_does_not_allocate_after_the_ram_block_exchange() {
    for (name, plan) in source_plans(CHUNKS) {
        let mut session = source::Session::new(plan);
        session.exchange();
        assert_no_allocation(name, || session.migrate());
        assert_no_allocation(name, || session.close());
    }
}

#[test]
fn a_destination_does_not_allocate_after_the_ram_block_exchange() {
    for (name, plan) in destination_plans(CHUNKS) {
        let mut session = destination::Session::new(plan);
        session.exchange();
        assert_no_allocation(name, || session.migrate());
        assert_no_allocation(name, || session.close());
    }
}

/// Heap at its peak while the RAM blocks of `chunks` chunks are exchanged, source and destination.
fn set_up(chunks: u64) -> [u64; 2] {
    let registration = Some(Registration::default());
    let mut source = source::Session::new(source::Plan::once(chunks, registration));
    let commands = destination::Commands::Register(SPAN_CHUNKS);
    let mut destination = destination::Session::new(destination::Plan { chunks, commands });
    let peak = |used: AllocationInfo| used.bytes_max;
    [peak(measure(|| source.exchange())), peak(measure(|| destination.exchange()))]
}

#[test]
fn a_guest_of_a_tebibyte_costs_at_most_32_mebibytes() {
    let peak: u64 = set_up(TEBIBYTE_CHUNKS).into_iter().sum();
    assert!(peak <= TEBIBYTE_HEAP_BYTES, "{peak} bytes of heap");
}

#[test]
fn a_chunk_costs_either_side_at_most_16_bytes() {
    let (few, many) = (TEBIBYTE_CHUNKS / 4, TEBIBYTE_CHUNKS / 2);
    for (few_bytes, many_bytes) in set_up(few).into_iter().zip(set_up(many)) {
        let bytes = u64::try_from(HEAP_BYTES_PER_CHUNK_MAX).unwrap();
        assert!(many_bytes - few_bytes <= bytes * (many - few), "{few_bytes}, {many_bytes}");
        assert!(many_bytes - few_bytes > 0, "the tables were not counted");
    }
}
