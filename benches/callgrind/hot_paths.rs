//! The hot paths, one after the other, for callgrind to count: `benches/callgrind/run`.
//!
//! With a word, only those with it in their names. Each is prepared outside [`counted`] and run once inside it, and its name is printed. Nothing here
//! depends on time, on chance or on where memory lies.

use std::hint::black_box;

use rdma_migration_benches::codec::{
    decode_into, encoded, ram_blocks, requests, results, runs, small_messages, unregistrations,
};
use rdma_migration_benches::machines::{
    SPAN_CHUNKS, TEBIBYTE_CHUNKS, destination_plans, source_plans,
};
use rdma_migration_benches::migrations::{Ram, migrate};
use rdma_migration_benches::{destination, source};
use rdma_migration_protocol::limits::{COMMANDS_MAX, CONTROL_BUFFER_BYTES, RAM_BLOCKS_MAX};
use rdma_migration_protocol::ram::is_zero;
use rdma_migration_protocol::source::Registration;
use rdma_migration_protocol::wire::{Entries, Message};

/// Chunks of the guests that are moved.
const CHUNKS: u64 = 1024;

fn main() {
    for (name, message) in small_messages() {
        codec(name, &message);
    }
    arrays();
    zero_scan();
    machines();
    for (name, registration) in [
        ("all RAM pinned", None),
        ("look-ahead", Some(Registration::default())),
        ("chunk by chunk", Some(Registration::Chunks)),
    ] {
        let mut ram = Ram::without_bytes(CHUNKS << 20);
        path(&format!("migration of {CHUNKS} chunks without bytes, {name}"), || {
            migrate(&mut ram, registration, Vec::new());
        });
    }
}

fn arrays() {
    let requests = requests(COMMANDS_MAX);
    let message = Message::RegisterRequest(Entries::new(&requests));
    codec("REGISTER_REQUEST of 4096", &message);
    let (bytes, mut read) = (encoded(&message), requests.clone());
    path("decode and store REGISTER_REQUEST of 4096", || decode_into(black_box(&bytes), &mut read));

    let results = results(COMMANDS_MAX);
    let message = Message::RegisterResult { repeat: 4096, results: Entries::new(&results) };
    codec("REGISTER_RESULT of 4096", &message);
    let (bytes, mut read) = (encoded(&message), results.clone());
    path("decode and store REGISTER_RESULT of 4096", || decode_into(black_box(&bytes), &mut read));

    let runs = runs(COMMANDS_MAX);
    let message = Message::Compress(Entries::new(&runs));
    codec("COMPRESS of 4096", &message);
    let (bytes, mut read) = (encoded(&message), runs.clone());
    path("decode and store COMPRESS of 4096", || decode_into(black_box(&bytes), &mut read));

    let requests = unregistrations(COMMANDS_MAX);
    let message = Message::UnregisterRequest(Entries::new(&requests));
    codec("UNREGISTER_REQUEST of 4096", &message);
    let (bytes, mut read) = (encoded(&message), requests.clone());
    path("decode and store UNREGISTER_REQUEST of 4096", || {
        decode_into(black_box(&bytes), &mut read)
    });

    let blocks = ram_blocks(RAM_BLOCKS_MAX);
    let message = Message::RamBlocksResult(Entries::new(&blocks));
    codec("RAM_BLOCKS_RESULT of 16383", &message);
    let (bytes, mut read) = (encoded(&message), blocks.clone());
    path("decode and store RAM_BLOCKS_RESULT of 16383", || {
        decode_into(black_box(&bytes), &mut read)
    });
}

fn codec(name: &str, message: &Message<'_>) {
    let mut buffer = vec![0; CONTROL_BUFFER_BYTES];
    path(&format!("encode {name}"), || {
        black_box(black_box(message).encode(black_box(&mut buffer)).is_ok());
    });
    let bytes = encoded(message);
    path(&format!("parse {name}"), || {
        black_box(Message::parse(black_box(&bytes)).is_ok());
    });
}

fn zero_scan() {
    let mut run = vec![0; 1 << 20];
    path("zero scan of 1 MiB, all zero", || {
        black_box(is_zero(black_box(&run)));
    });
    run[0] = 1;
    path("zero scan of 1 MiB, first byte set", || {
        black_box(is_zero(black_box(&run)));
    });
}

fn machines() {
    for (name, plan) in source_plans(CHUNKS) {
        let mut session = source::Session::new(plan);
        path(&format!("source, {CHUNKS} chunks, {name}"), || session.run());
    }
    for (name, plan) in destination_plans(CHUNKS) {
        let mut session = destination::Session::new(plan);
        path(&format!("destination, {CHUNKS} chunks, {name}"), || session.run());
    }
    let mut session =
        source::Session::new(source::Plan::once(TEBIBYTE_CHUNKS, Some(Registration::default())));
    path("source, setting up 1 TiB", || session.exchange());
    let commands = destination::Commands::Register(SPAN_CHUNKS);
    let plan = destination::Plan { chunks: TEBIBYTE_CHUNKS, commands };
    let mut session = destination::Session::new(plan);
    path("destination, setting up 1 TiB", || session.exchange());
}

fn path(name: &str, mut work: impl FnMut()) {
    if std::env::args().nth(1).is_none_or(|word| name.contains(&word)) {
        println!("{name}");
        counted(&mut work);
    }
}

/// What is counted: callgrind is told to collect inside this function and nowhere else.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    black_box(());
}
