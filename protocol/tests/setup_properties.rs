//! What must hold for the RAM block list of every stream, and of bytes taken for one.

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use rdma_migration_protocol::limits::RAM_BLOCKS_MAX;
use rdma_migration_protocol::stream::setup;

#[derive(Clone, Debug)]
struct Block {
    name: Vec<u8>,
    length: u64,
    page_size: Option<u64>,
    guest_address: u64,
}

/// A stream up to the hook.
#[derive(Clone, Debug)]
struct Stream {
    machine: Option<Vec<u8>>,
    has_guest_addresses: bool,
    other_section: Vec<u8>,
    blocks: Vec<Block>,
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    // A guest address of 2^56 or more would read as the name behind a missing page size.
    let numbers = (1..=1u64 << 28, option::of(10..40u8), 0..1u64 << 56);
    btree_set(vec(any::<u8>(), 1..40), 1..20).prop_flat_map(move |names| {
        let numbers = vec(numbers.clone(), names.len());
        (Just(Vec::from_iter(names)).prop_shuffle(), numbers).prop_map(|(names, numbers)| {
            let block = |(name, (pages, page_bits, guest_address)): (_, (u64, Option<u8>, _))| {
                let page_size = page_bits.map(|bits| 1 << bits);
                Block { name, length: pages * 4096, page_size, guest_address }
            };
            names.into_iter().zip(numbers).map(block).collect()
        })
    })
}

fn stream() -> impl Strategy<Value = Stream> {
    let machine = option::of(vec(any::<u8>(), 0..30));
    let other_section = option::of(vec(any::<u8>(), 0..50))
        .prop_map(|bytes| bytes.map(|bytes| [vec![0x04], bytes].concat()).unwrap_or_default());
    (machine, any::<bool>(), other_section, blocks()).prop_map(
        |(machine, guest_addresses, other_section, blocks)| {
            // Only the configuration, which starts with the machine, can announce them.
            let has_guest_addresses = guest_addresses && machine.is_some();
            Stream { machine, has_guest_addresses, other_section, blocks }
        },
    )
}

impl Stream {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"QEVM\0\0\0\x03".to_vec();
        if let Some(machine) = &self.machine {
            bytes.push(0x07);
            bytes.extend(u32::try_from(machine.len()).unwrap().to_be_bytes());
            bytes.extend(machine);
        }
        if self.has_guest_addresses {
            bytes.extend(b"\x05\x1aconfiguration/capabilities\0\0\0\x01\0\0\0\x01");
            bytes.extend(b"\x0fx-ignore-shared");
        }
        bytes.extend(&self.other_section);
        bytes.extend(b"\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04");
        let total: u64 = self.blocks.iter().map(|block| block.length).sum();
        bytes.extend((total | 0x004).to_be_bytes());
        for block in &self.blocks {
            bytes.push(u8::try_from(block.name.len()).unwrap());
            bytes.extend(&block.name);
            bytes.extend(block.length.to_be_bytes());
            bytes.extend(block.page_size.iter().flat_map(|size| size.to_be_bytes()));
            if self.has_guest_addresses {
                bytes.extend(block.guest_address.to_be_bytes());
            }
        }
        bytes.extend(0x80u64.to_be_bytes());
        bytes
    }
}

/// Whether a list is found, after a check of what must hold for every one.
fn has_list(bytes: &[u8]) -> bool {
    match setup::ram_blocks(bytes) {
        Ok(setup) => {
            assert!(setup.blocks.len() <= RAM_BLOCKS_MAX);
            for block in setup.blocks {
                assert!(block.length > 0);
                assert!((1..=255).contains(&block.name.as_bytes().len()));
                assert!(block.page_size.is_none_or(u64::is_power_of_two));
            }
            true
        }
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error}");
            false
        }
    }
}

proptest! {
    #[test]
    fn the_ram_blocks_of_a_stream_are_found(stream in stream()) {
        let bytes = stream.bytes();
        let setup = setup::ram_blocks(&bytes).unwrap();
        prop_assert_eq!(setup.machine.map(|name| name.as_bytes()), stream.machine.as_deref());
        prop_assert_eq!(setup.blocks.len(), stream.blocks.len());
        for (found, sent) in setup.blocks.iter().zip(&stream.blocks) {
            prop_assert_eq!(found.name.as_bytes(), &sent.name[..]);
            prop_assert_eq!((found.length, found.page_size), (sent.length, sent.page_size));
        }
    }

    #[test]
    fn a_stream_cut_short_has_no_list(stream in stream(), index: Index) {
        let bytes = stream.bytes();
        prop_assert!(!has_list(&bytes[..index.index(bytes.len())]));
    }

    #[test]
    fn a_damaged_stream_is_read_or_rejected(
        stream in stream(),
        damage in vec((any::<Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = stream.bytes();
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        has_list(&bytes);
    }

    #[test]
    fn arbitrary_bytes_have_no_list(bytes in vec(any::<u8>(), 0..600)) {
        prop_assert!(!has_list(&bytes));
    }

    #[test]
    fn arbitrary_bytes_around_the_start_of_the_list_are_read_or_rejected(
        head in vec(any::<u8>(), 0..300),
        list in vec(any::<u8>(), 0..300),
    ) {
        let start = b"\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04\0\0\0\0\x01\x08\x20\x04";
        let hook = 0x80u64.to_be_bytes();
        has_list(&[b"QEVM\0\0\0\x03", &head[..], start, &list, &hook].concat());
    }
}
