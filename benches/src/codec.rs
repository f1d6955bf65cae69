//! Encoding and decoding of messages, beside a byte-swapping loop and a copy of the same bytes.

use std::hint::black_box;

use rdma_migration_protocol::address::{BlockIndex, HostAddress, RamAddress, Rkey};
use rdma_migration_protocol::limits::{
    COMMANDS_MAX, CONTROL_BUFFER_BYTES, HEADER_BYTES, RAM_BLOCKS_MAX, STREAM_MESSAGE_BYTES_MAX,
};
use rdma_migration_protocol::wire::{
    Compress, Entries, Entry, Message, RamBlock, RegisterRequest, RegisterResult, UnregisterRequest,
};

use crate::MIB;
use crate::contest::{Amount, Contest, Contestant, Target};
use crate::laid::{INPUT, Laid, OUTPUT};
use crate::naive::{self, Plain};

/// Messages that one run works through where each is a few bytes.
const SMALL_REPEATED: u64 = 1000;

/// Speed that is wanted of an array of as many commands as fit, as a share of the naive loop's.
const ARRAY_SPEED_MIN: f64 = 0.9;

/// Lengths of the arrays that are measured.
const ARRAY_LENGTHS: [usize; 3] = [1, 64, COMMANDS_MAX];

/// The naive contestant.
pub const NAIVE: &str = "naive loop";

/// The contestant that only copies.
pub const COPY: &str = "memcpy";

/// Every contest of the codec.
#[must_use]
pub fn contests() -> Vec<Contest> {
    let mut contests = Vec::new();
    for (name, message) in small_messages() {
        contests.extend(small_contests(name, message));
    }
    contests.extend(stream_contests());
    for count in ARRAY_LENGTHS {
        contests.extend(array_contests("REGISTER_REQUEST", &requests(count), |values| {
            Message::RegisterRequest(Entries::new(values))
        }));
        contests.extend(array_contests("REGISTER_RESULT", &results(count), |values| {
            let repeat = u32::try_from(values.len()).unwrap_or(u32::MAX);
            Message::RegisterResult { repeat, results: Entries::new(values) }
        }));
        contests.extend(array_contests("COMPRESS", &runs(count), |values| {
            Message::Compress(Entries::new(values))
        }));
        contests.extend(array_contests("UNREGISTER_REQUEST", &unregistrations(count), |values| {
            Message::UnregisterRequest(Entries::new(values))
        }));
    }
    for count in [1, 64, RAM_BLOCKS_MAX] {
        contests.extend(array_contests("RAM_BLOCKS_RESULT", &ram_blocks(count), |values| {
            Message::RamBlocksResult(Entries::new(values))
        }));
    }
    contests
}

/// A command as ours and as the naive loop's.
pub trait Command: Entry + 'static {
    /// The plain struct of the same fields.
    type Plain: Plain + Copy + Default + 'static;

    /// The same values as a plain struct.
    fn plain(&self) -> Self::Plain;

    /// The array in a message of its kind.
    fn of<'a>(message: &Message<'a>) -> Option<Entries<'a, Self>>;
}

/// The messages without payload, by their names on the wire.
#[must_use]
pub fn small_messages() -> [(&'static str, Message<'static>); 7] {
    [
        ("NONE", Message::None),
        ("ERROR", Message::Error),
        ("READY", Message::Ready),
        ("RAM_BLOCKS_REQUEST", Message::RamBlocksRequest),
        ("REGISTER_FINISHED", Message::RegisterFinished),
        ("UNREGISTER_FINISHED", Message::UnregisterFinished { repeat: 1 }),
        ("RAM_BLOCKS_RESULT, empty", Message::RamBlocksResult(Entries::new(&[]))),
    ]
}

/// Requests for `count` chunks in their order.
#[must_use]
pub fn requests(count: usize) -> Vec<RegisterRequest> {
    let block = BlockIndex::new(3);
    let request =
        |chunk| RegisterRequest { address: RamAddress::new(chunk * MIB), block, chunks: chunk };
    (0..).map(request).take(count).collect()
}

/// Results with `count` different keys.
#[must_use]
pub fn results(count: usize) -> Vec<RegisterResult> {
    let host_address = HostAddress::new(0x7f12_3456_7000);
    let result = |key| RegisterResult { rkey: Rkey::new(key), host_address };
    (1..).map(result).take(count).collect()
}

/// Runs of `count` whole chunks.
#[must_use]
pub fn runs(count: usize) -> Vec<Compress> {
    let block = BlockIndex::new(3);
    let run =
        |chunk| Compress { value: 0, block, offset: RamAddress::new(chunk * MIB), length: MIB };
    (0..).map(run).take(count).collect()
}

/// Requests to unregister `count` chunks.
#[must_use]
pub fn unregistrations(count: usize) -> Vec<UnregisterRequest> {
    let block = BlockIndex::new(3);
    (0..).map(|chunk| UnregisterRequest { chunk, block }).take(count).collect()
}

/// `count` RAM blocks, one after the other.
#[must_use]
pub fn ram_blocks(count: usize) -> Vec<RamBlock> {
    let block = |index: u32| RamBlock {
        remote_address: HostAddress::new(0x7f12_3456_7000 + u64::from(index) * MIB),
        offset: RamAddress::new(u64::from(index) * MIB),
        length: MIB,
        rkey: Rkey::new(index),
    };
    (0..).map(block).take(count).collect()
}

fn small_contests(name: &str, message: Message<'static>) -> [Contest; 2] {
    let amount = Amount::Things(SMALL_REPEATED);
    let mut bytes = [0; HEADER_BYTES];
    message.encode(&mut bytes).expect("it fits");
    let mut header = naive::Header::default();
    naive::decode(&bytes, core::slice::from_mut(&mut header));
    let (mut ours, mut theirs, mut copied) = (bytes, bytes, bytes);
    let encode = Contest {
        name: format!("encode {name}"),
        amount,
        contestants: vec![
            repeated("protocol", move || {
                black_box(black_box(&message).encode(black_box(&mut ours)).is_ok());
            }),
            repeated(NAIVE, move || black_box(&header).write(black_box(&mut theirs))),
            repeated(COPY, move || {
                black_box(&mut copied).copy_from_slice(black_box(&bytes));
            }),
        ],
        target: None,
    };
    let decode = Contest {
        name: format!("decode {name}"),
        amount,
        contestants: vec![
            repeated("protocol", move || {
                black_box(Message::parse(black_box(&bytes)).is_ok());
            }),
            repeated(NAIVE, move || {
                black_box(naive::Header::read(black_box(&bytes)));
            }),
            repeated(COPY, move || {
                black_box(&mut copied).copy_from_slice(black_box(&bytes));
            }),
        ],
        target: None,
    };
    [encode, decode]
}

fn repeated(name: &'static str, mut once: impl FnMut() + 'static) -> Contestant {
    Contestant::new(name, move || (0..SMALL_REPEATED).for_each(|_| once()))
}

/// Stream bytes are copied into a message, and only looked at in one that was received: so encoding
/// is measured alone.
fn stream_contests() -> [Contest; 1] {
    let stream: Vec<u8> = (0..=255).cycle().take(STREAM_MESSAGE_BYTES_MAX).collect();
    let (ours, theirs) = (stream.clone(), stream);
    let mut buffer = vec![0; CONTROL_BUFFER_BYTES];
    let mut copied = vec![0; HEADER_BYTES + STREAM_MESSAGE_BYTES_MAX];
    let amount = Amount::Bytes(as_u64(copied.len()));
    let contestants = vec![
        Contestant::new("protocol", move || {
            let message = Message::QemuFile(black_box(&ours));
            black_box(message.encode(black_box(&mut buffer)).is_ok());
        }),
        Contestant::new(COPY, move || {
            black_box(&mut copied)[HEADER_BYTES..].copy_from_slice(black_box(&theirs));
        }),
    ];
    let name = format!("encode QEMU_FILE of {STREAM_MESSAGE_BYTES_MAX} bytes");
    [Contest { name, amount, contestants, target: None }]
}

fn array_contests<T: Command>(
    kind: &str,
    values: &[T],
    message: impl Fn(&[T]) -> Message<'_> + Copy + 'static,
) -> [Contest; 2] {
    let count = values.len();
    let bytes = encoded(&message(values));
    let amount = Amount::Bytes(as_u64(bytes.len()));
    let wanted = count >= COMMANDS_MAX;
    let target = wanted.then_some(Target { baseline: NAIVE, speed_min: ARRAY_SPEED_MIN });
    let encode = Contest {
        name: format!("encode {kind} of {count}"),
        amount,
        contestants: encoders(values, &bytes, message),
        target,
    };
    let decode = Contest {
        name: format!("decode {kind} of {count}"),
        amount,
        contestants: decoders(values, &bytes),
        target,
    };
    [encode, decode]
}

fn encoders<T: Command>(
    values: &[T],
    bytes: &[u8],
    message: impl Fn(&[T]) -> Message<'_> + 'static,
) -> Vec<Contestant> {
    let plain: Vec<_> = values.iter().map(Command::plain).collect();
    let header = header_of(bytes);
    let (values, plain) = (Laid::new(values, INPUT), Laid::new(&plain, INPUT));
    let wire = Laid::new(bytes, INPUT);
    let [mut ours, mut theirs, mut copied] = [(); 3].map(|()| Laid::new(bytes, OUTPUT));
    vec![
        Contestant::new("protocol", move || {
            black_box(message(black_box(&values[..])).encode(black_box(&mut ours[..])).is_ok());
        }),
        Contestant::new(NAIVE, move || {
            let (front, payload) = black_box(&mut theirs[..]).split_at_mut(HEADER_BYTES);
            black_box(&header).write(front);
            naive::encode(black_box(&plain[..]), payload);
        }),
        Contestant::new(COPY, move || {
            black_box(&mut copied[..]).copy_from_slice(black_box(&wire[..]));
        }),
    ]
}

fn decoders<T: Command>(values: &[T], bytes: &[u8]) -> Vec<Contestant> {
    let mut read = Laid::new(values, OUTPUT);
    let mut plain = Laid::new(&vec![T::Plain::default(); values.len()], OUTPUT);
    let [ours, theirs, wire] = [(); 3].map(|()| Laid::new(bytes, INPUT));
    let mut copied = Laid::new(bytes, OUTPUT);
    vec![
        Contestant::new("protocol", move || {
            decode_into(black_box(&ours[..]), black_box(&mut read[..]));
        }),
        Contestant::new(NAIVE, move || {
            let (front, payload) = black_box(&theirs[..]).split_at(HEADER_BYTES);
            black_box(naive::Header::read(front));
            naive::decode(payload, black_box(&mut plain[..]));
        }),
        Contestant::new(COPY, move || {
            black_box(&mut copied[..]).copy_from_slice(black_box(&wire[..]));
        }),
    ]
}

/// Parses a message and stores each of its commands.
///
/// # Panics
/// If the bytes are no message of that kind, or there is no room for its commands.
pub fn decode_into<T: Command>(bytes: &[u8], values: &mut [T]) {
    let message = Message::parse(bytes).expect("it is well-formed");
    let received = T::of(&message).expect("it is of that kind");
    let values = &mut values[..received.len()];
    received.iter().enumerate().for_each(|(at, received)| values[at] = received);
}

/// The bytes of a message.
///
/// # Panics
/// If it has none.
#[must_use]
pub fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = vec![0; message.encoded_len()];
    message.encode(&mut bytes).expect("it fits");
    bytes
}

fn header_of(bytes: &[u8]) -> naive::Header {
    naive::Header::read(&bytes[..HEADER_BYTES])
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Says of a command which plain struct it is and in which message it travels.
macro_rules! command {
    ($name:ident, $variant:pat => $entries:expr, $command:ident => $plain:expr) => {
        impl Command for $name {
            type Plain = naive::$name;

            fn plain(&self) -> naive::$name {
                let $command = self;
                $plain
            }

            fn of<'a>(message: &Message<'a>) -> Option<Entries<'a, Self>> {
                match *message {
                    $variant => Some($entries),
                    _ => None,
                }
            }
        }
    };
}

command!(RegisterRequest, Message::RegisterRequest(entries) => entries, request =>
    naive::RegisterRequest {
        address: request.address.get(),
        block: request.block.get(),
        padding: 0,
        chunks: request.chunks,
    }
);
command!(RegisterResult, Message::RegisterResult { results, .. } => results, result =>
    naive::RegisterResult {
        rkey: result.rkey.get(),
        padding: 0,
        host_address: result.host_address.get(),
    }
);
command!(Compress, Message::Compress(entries) => entries, run =>
    naive::Compress {
        value: run.value,
        block: run.block.get(),
        offset: run.offset.get(),
        length: run.length,
    }
);
command!(UnregisterRequest, Message::UnregisterRequest(entries) => entries, request =>
    naive::UnregisterRequest {
        chunk: request.chunk,
        block: request.block.get(),
        padding: 0,
        chunks: 0,
    }
);
command!(RamBlock, Message::RamBlocksResult(entries) => entries, block =>
    naive::RamBlock {
        remote_address: block.remote_address.get(),
        offset: block.offset.get(),
        length: block.length,
        rkey: block.rkey.get(),
        padding: 0,
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    fn same_bytes<T: Command>(values: &[T], message: &Message<'_>) {
        let bytes = encoded(message);
        let plain: Vec<_> = values.iter().map(Command::plain).collect();
        let mut written = vec![0xff; bytes.len() - HEADER_BYTES];
        naive::encode(&plain, &mut written);
        assert_eq!(written, bytes[HEADER_BYTES..]);
        let mut read = vec![T::Plain::default(); values.len()];
        naive::decode(&written, &mut read);
        naive::encode(&read, &mut written);
        assert_eq!(written, bytes[HEADER_BYTES..]);
    }

    /// Otherwise the two would not do the same work.
    #[test]
    fn the_naive_loop_writes_the_bytes_that_the_codec_writes() {
        same_bytes(&requests(64), &Message::RegisterRequest(Entries::new(&requests(64))));
        let (repeat, results) = (64, results(64));
        same_bytes(&results, &Message::RegisterResult { repeat, results: Entries::new(&results) });
        same_bytes(&runs(64), &Message::Compress(Entries::new(&runs(64))));
        let requests = unregistrations(64);
        same_bytes(&requests, &Message::UnregisterRequest(Entries::new(&requests)));
        same_bytes(&ram_blocks(64), &Message::RamBlocksResult(Entries::new(&ram_blocks(64))));
    }
}
