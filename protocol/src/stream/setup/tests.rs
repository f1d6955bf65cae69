use super::*;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;

const HOOK: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0x80];

/// The first message of QEMU 7.2 with 16 MiB of RAM and no devices, byte for byte.
const QEMU_7_2: &[u8] = b"QEVM\0\0\0\x03\
    \x07\0\0\0\x0dpc-i440fx-7.2\
    \x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04\
    \0\0\0\0\x01\x08\x20\x04\
    \x06pc.ram\0\0\0\0\x01\0\0\0\
    \x14/rom@etc/acpi/tables\0\0\0\0\0\x02\0\0\
    \x07pc.bios\0\0\0\0\0\x04\0\0\
    \x06pc.rom\0\0\0\0\0\x02\0\0\
    \x15/rom@etc/table-loader\0\0\0\0\0\0\x10\0\
    \x12/rom@etc/acpi/rsdp\0\0\0\0\0\0\x10\0\
    \0\0\0\0\0\0\0\x80";

const MAGIC: &[u8] = b"QEVM\0\0\0\x03";

fn configuration(capabilities: &[&str]) -> Vec<u8> {
    let mut bytes = b"\x07\0\0\0\x02pc".to_vec();
    if !capabilities.is_empty() {
        bytes.extend(subsection("configuration/capabilities"));
        bytes.extend(u32::try_from(capabilities.len()).unwrap().to_be_bytes());
        bytes.extend(capabilities.iter().flat_map(|name| short_string(name)));
    }
    bytes
}

fn subsection(name: &str) -> Vec<u8> {
    [&[0x05][..], &short_string(name), &1u32.to_be_bytes()].concat()
}

fn command(number: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [&[0x08][..], &number.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

fn short_string(name: &str) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
}

fn ram(total: u64, blocks: &[Vec<u8>]) -> Vec<u8> {
    let start = b"\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04";
    [&start[..], &(total | words::MEM_SIZE).to_be_bytes(), &blocks.concat()].concat()
}

fn block(name: &str, length: u64) -> Vec<u8> {
    [short_string(name), length.to_be_bytes().to_vec()].concat()
}

fn stream(parts: &[&[u8]]) -> Vec<u8> {
    [MAGIC, &parts.concat(), &HOOK].concat()
}

fn found(setup: &Setup<'_>) -> Vec<(alloc::string::String, u64, Option<u64>)> {
    let block = |block: &SetupBlock<'_>| (block.name.to_string(), block.length, block.page_size);
    setup.blocks.iter().map(block).collect()
}

fn fault(stream: &[u8]) -> (usize, SetupFault) {
    let error = ram_blocks(stream).expect_err("the stream is at fault");
    (error.offset, error.fault)
}

#[test]
fn the_list_of_a_real_guest_is_found() {
    assert_eq!(QEMU_7_2.len(), 191);
    let setup = ram_blocks(QEMU_7_2).unwrap();
    assert_eq!(setup.machine, Some(Name::new(b"pc-i440fx-7.2")));
    let expected = [
        ("pc.ram", 0x100_0000),
        ("/rom@etc/acpi/tables", 0x2_0000),
        ("pc.bios", 0x4_0000),
        ("pc.rom", 0x2_0000),
        ("/rom@etc/table-loader", 0x1000),
        ("/rom@etc/acpi/rsdp", 0x1000),
    ];
    assert_eq!(found(&setup), expected.map(|(name, length)| (name.to_string(), length, None)));
    assert_eq!((setup.unsupported, setup.unread), (vec![], None));
}

#[test]
fn every_truncation_of_a_real_stream_is_an_error() {
    for length in 0..QEMU_7_2.len() {
        assert!(ram_blocks(&QEMU_7_2[..length]).is_err(), "{length} bytes");
    }
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-20] A destination MUST reject a stream that does not start with `QEVM` and version 3.
#[test]
fn what_is_no_migration_stream_is_rejected() {
    assert_eq!(fault(b"QEVX\0\0\0\x03"), (0, SetupFault::Magic { found: 0x5145_5658 }));
    assert_eq!(fault(b"QEVM\0\0\0\x02"), (4, SetupFault::Version { found: 2 }));
    let truncated = SetupFault::Truncated { field: "version of the stream", wanted: 4, left: 3 };
    assert_eq!(fault(b"QEVM\0\0\0"), (4, truncated));
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-21] A destination MUST reject a `RAM_BLOCKS_REQUEST` if the stream so far does not end with
//# a hook word.
#[test]
fn a_stream_that_does_not_end_with_a_hook_is_rejected() {
    let mut eos = QEMU_7_2.to_vec();
    eos[190] = 0x10;
    assert_eq!(fault(&eos), (183, SetupFault::NoHook { found: words::EOS }));
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-22] A destination MUST take the list from the last RAM section that starts in the stream so
//# far.
#[test]
fn the_last_ram_section_counts_even_behind_unknown_sections() {
    let unknown = b"\x04\0\0\0\x01\x03foo\0\0\0\0\0\0\0\x01 with bytes of unknown length \xff\xff";
    let decoy = ram(0x1000, &[block("decoy", 0x1000)]);
    let section = ram(0x2000, &[block("pc.ram", 0x2000)]);
    let all = stream(&[&configuration(&[]), unknown, &decoy, unknown, &section]);
    let setup = ram_blocks(&all).unwrap();
    assert_eq!(found(&setup), [("pc.ram".to_string(), 0x2000, None)]);

    // Names that hold all of it but the first byte, or all but the flag in the word behind.
    let names = ["\x02\0\0\0\0\x03ram\0\0\0\0\0\0\0\x04", "\x01\0\0\0\0\x03ram\0\0\0\0\0\0\0\x04"];
    let [first, second] = names.map(|name| Name::new(name.as_bytes()).to_string());
    let all = stream(&[&ram(0x2000, &[block(names[0], 0x1004), block(names[1], 0xffc)])]);
    let expected = [(first, 0x1004, None), (second, 0xffc, None)];
    assert_eq!(found(&ram_blocks(&all).unwrap()), expected);

    let none = stream(&[&configuration(&[]), unknown]);
    assert_eq!(fault(&none), (0, SetupFault::NoRamSection { searched: none.len() - 8 }));
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-23] A destination MUST reject a RAM block whose name is empty.
#[test]
fn a_block_without_a_name_is_rejected() {
    let all = stream(&[&ram(0x2000, &[block("", 0x2000)])]);
    assert_eq!(fault(&all), (33, SetupFault::EmptyName));
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-24] A destination MUST reject a RAM block whose length is 0.
#[test]
fn a_block_without_a_byte_is_rejected() {
    let all = stream(&[&ram(0x2000, &[block("a", 0), block("b", 0x2000)])]);
    assert_eq!(fault(&all), (35, SetupFault::EmptyBlock));
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-25] A destination MUST reject a RAM block that is longer than what the blocks before leave
//# of the total.
#[test]
fn a_block_longer_than_the_total_leaves_is_rejected() {
    let all = stream(&[&ram(0x3000, &[block("a", 0x2000), block("b", 0x2000)])]);
    let expected = SetupFault::BlockExceedsTotal { found: 0x2000, left: 0x1000 };
    assert_eq!(fault(&all), (45, expected));
    let wraps = stream(&[&ram(0x3000, &[block("a", 0x1000), block("b", u64::MAX - 0xfff)])]);
    assert!(matches!(fault(&wraps), (45, SetupFault::BlockExceedsTotal { .. })));
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-26] A destination MUST reject a list that does not end where the hook word starts that ends
//# the stream so far.
#[test]
fn a_list_that_does_not_end_at_the_hook_is_rejected() {
    let one = ram(0x1000, &[block("a", 0x1000)]);
    let all = stream(&[&one, &[0x55; 3]]);
    assert_eq!(fault(&all), (43, SetupFault::NotAtHook { left: 3 }));
    let all = stream(&[&ram(0x1000, &[block("a", 0x1000), block("b", 0x1000)])]);
    assert_eq!(fault(&all), (43, SetupFault::NotAtHook { left: 10 }));
    // The hook word, a power of two, is not taken for a page size.
    let all = stream(&[&ram(0x2000, &[block("a", 0x1000)])]);
    let field = "name of a RAM block";
    assert_eq!(fault(&all), (43, SetupFault::Truncated { field, wanted: 1, left: 0 }));
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-27] A destination MUST reject a list that names a RAM block twice.
#[test]
fn a_name_for_two_blocks_is_rejected() {
    let blocks = [block("a", 0x1000), block("b", 0x1000), block("a", 0x1000)];
    let all = stream(&[&ram(0x3000, &blocks)]);
    assert_eq!(fault(&all), (53, SetupFault::DuplicateName { first_offset: 33 }));
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-28] A destination MUST read a page size after a RAM block where the stream fits no other
//# reading.
#[test]
fn a_page_size_is_read_wherever_one_stands() {
    let page_size = |size: u64| size.to_be_bytes().to_vec();
    for mask in 0..8 {
        let size = |bit| (mask & (1 << bit) != 0).then_some(0x20_0000);
        let with = |name, bit| {
            [block(name, 0x1000), size(bit).map(page_size).unwrap_or_default()].concat()
        };
        let all = stream(&[
            &configuration(&[]),
            &command(3, &[0; 16]),
            &ram(0x3000, &[with("a", 0), with("b", 1), with("c", 2)]),
        ]);
        let setup = ram_blocks(&all).unwrap();
        let expected = [("a", 0), ("b", 1), ("c", 2)];
        let expected = expected.map(|(name, bit)| (name.to_string(), 0x1000, size(bit)));
        assert_eq!(found(&setup), expected);
        assert_eq!(setup.unsupported, [Unsupported::Postcopy]);
    }
}

#[test]
fn a_page_size_gives_postcopy_away_without_its_command() {
    let block = [block("a", 0x1000), 0x20_0000u64.to_be_bytes().to_vec()].concat();
    let all = stream(&[&ram(0x1000, &[block])]);
    assert_eq!(ram_blocks(&all).unwrap().unsupported, [Unsupported::Postcopy]);
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-29] A destination MUST reject a page size that is not a power of two below 2^56.
#[test]
fn a_page_size_that_is_no_power_of_two_is_rejected() {
    for size in [0, 0x20_1000u64] {
        let odd = [block("a", 0x1000), size.to_be_bytes().to_vec()].concat();
        let all = stream(&[&ram(0x1000, core::slice::from_ref(&odd))]);
        assert_eq!(fault(&all), (43, SetupFault::PageSize { found: size }));
        let all = stream(&[&ram(0x2000, &[odd, block("b", 0x1000)])]);
        assert_eq!(fault(&all), (43, SetupFault::PageSize { found: size }));
    }
}

/// Between two blocks its first byte would be the length of the next name.
#[test]
fn a_page_size_that_does_not_start_with_a_zero_byte_is_rejected() {
    let page_size = |size: u64| {
        let block = [block("a", 0x1000), size.to_be_bytes().to_vec()].concat();
        stream(&[&ram(0x1000, &[block])])
    };
    assert!(ram_blocks(&page_size(1 << 55)).is_ok());
    for size in [1 << 56, 1 << 63] {
        assert_eq!(fault(&page_size(size)), (43, SetupFault::PageSize { found: size }));
    }
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-30] A destination MUST read a guest address after each RAM block if the stream names the
//# capability `x-ignore-shared`.
#[test]
fn with_shared_ram_each_block_has_a_guest_address() {
    let guest_address = 0x1_0000_0000u64.to_be_bytes();
    let small = [&block("a", 0x1000)[..], &guest_address].concat();
    let huge = [&block("b", 0x1000)[..], &0x20_0000u64.to_be_bytes(), &guest_address].concat();
    for (order, sizes) in
        [([&small, &huge], [None, Some(0x20_0000)]), ([&huge, &small], [Some(0x20_0000), None])]
    {
        let list = ram(0x2000, &order.map(Clone::clone));
        let with = stream(&[&configuration(&["x-ignore-shared"]), &list]);
        let setup = ram_blocks(&with).unwrap();
        assert_eq!([setup.blocks[0].page_size, setup.blocks[1].page_size], sizes);
        assert_eq!(setup.unsupported, [Unsupported::IgnoreShared, Unsupported::Postcopy]);
        assert!(ram_blocks(&stream(&[&configuration(&[]), &list])).is_err());
    }
}

/// Two blocks, what stands behind each, and the page sizes that this says.
fn page_sizes_are_read(numbers: [&[u64]; 2], sizes: [Option<u64>; 2]) {
    let named = ["pc.ram", "pc.rom"].iter().zip(numbers).map(|(name, numbers)| {
        let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
        [block(name, 0x1000), numbers.collect()].concat()
    });
    let list = ram(0x2000, &named.collect::<Vec<_>>());
    let all = stream(&[&configuration(&["x-ignore-shared"]), &list]);
    let [first, second] = sizes;
    let expected = [("pc.ram".to_string(), 0x1000, first), ("pc.rom".to_string(), 0x1000, second)];
    assert_eq!(found(&ram_blocks(&all).unwrap()), expected, "{numbers:x?}");
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-28] A destination MUST read a page size after a RAM block where the stream fits no other
//# reading.
#[test]
fn page_sizes_are_told_from_guest_addresses_by_what_follows() {
    const PAGE: u64 = 0x20_0000;
    // Guest addresses that start with bytes of their own.
    page_sizes_are_read([&[PAGE, 1 << 56], &[0]], [Some(PAGE), None]);
    page_sizes_are_read([&[PAGE, u64::MAX], &[PAGE, u64::MAX]], [Some(PAGE); 2]);
    page_sizes_are_read([&[PAGE, 0x0662_0000_0000_0000], &[u64::MAX]], [Some(PAGE), None]);
    // Guest addresses that look like page sizes.
    page_sizes_are_read([&[PAGE], &[PAGE]], [None, None]);
    page_sizes_are_read([&[PAGE], &[PAGE, PAGE]], [None, Some(PAGE)]);
    page_sizes_are_read([&[PAGE, PAGE], &[PAGE]], [Some(PAGE), None]);
}

#[test]
fn numbers_that_do_not_start_with_a_zero_byte_are_no_page_sizes() {
    let list = |numbers: &[u64]| {
        let numbers = numbers.iter().flat_map(|number| number.to_be_bytes());
        let first = [block("pc.ram", 0x1000), numbers.collect()].concat();
        let second = [&block("pc.rom", 0x1000)[..], &u64::MAX.to_be_bytes()].concat();
        stream(&[&configuration(&["x-ignore-shared"]), &ram(0x2000, &[first, second])])
    };
    assert!(ram_blocks(&list(&[u64::MAX])).is_ok());
    assert!(ram_blocks(&list(&[1 << 55, u64::MAX])).is_ok());
    assert!(ram_blocks(&list(&[1 << 56, u64::MAX])).is_err());
}

#[test]
#[cfg_attr(miri, ignore = "megabytes are too much for an interpreter")]
fn many_guest_addresses_that_look_like_page_sizes_cost_no_more_than_the_list_is_long() {
    const PAGE: [u8; 8] = (1_u64 << 21).to_be_bytes();
    let many = RAM_BLOCKS_MAX - 1;
    let named = |index: usize| [block(&format!("{index:05}"), 0x1000), PAGE.to_vec()].concat();
    let mut blocks: Vec<_> = (0..many).map(named).collect();
    let total = u64::try_from(many).unwrap() * 0x1000;
    let capabilities = configuration(&["x-ignore-shared"]);
    let all = stream(&[&capabilities, &ram(total, &blocks)]);
    assert_eq!(ram_blocks(&all).unwrap().blocks.len(), many);
    // No reading of this one fits.
    blocks.push(vec![1]);
    let all = stream(&[&capabilities, &ram(total, &blocks)]);
    assert_eq!(fault(&all).1, SetupFault::NotAtHook { left: 1 });
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-33] A destination MUST reject a list that names no RAM block.
#[test]
fn a_list_of_nothing_is_rejected() {
    let all = stream(&[&ram(0, &[])]);
    assert_eq!(fault(&all), (25, SetupFault::NoBlocks));
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-31] A destination MUST recognise the return path and postcopy by the commands before the
//# first section.
#[test]
fn the_return_path_and_postcopy_are_seen_before_the_first_section() {
    let list = ram(0x1000, &[block("a", 0x1000)]);
    let commands =
        [command(1, &[]), command(2, &[0, 0, 0, 1]), command(3, &[0; 16]), command(3, &[])];
    let all = stream(&[&configuration(&[]), &commands.concat(), &list]);
    let setup = ram_blocks(&all).unwrap();
    assert_eq!(setup.unsupported, [Unsupported::ReturnPath, Unsupported::Postcopy]);

    let harmless = [command(2, &[0, 0, 0, 1]), command(11, &[])].concat();
    let all = stream(&[&configuration(&[]), &harmless, &list]);
    assert_eq!(ram_blocks(&all).unwrap().unsupported, []);

    let all = stream(&[&configuration(&[]), &command(8, &[]), &list]);
    assert_eq!(ram_blocks(&all).unwrap().unsupported, [Unsupported::Command(8)]);
}

//= spec/text/08-stream.md#ram-block-list
//= type=test
//# [STR-32] A destination MUST recognise every capability that the configuration names.
#[test]
fn every_capability_of_the_configuration_is_seen() {
    let capabilities = configuration(&["mapped-ram", "x-ignore-shared"]);
    let uuid = [subsection("configuration/uuid"), vec![0x07; 16]].concat();
    let page_bits = [subsection("configuration/target-page-bits"), vec![0, 0, 0, 12]].concat();
    let block = [block("a", 0x1000), vec![0; 8]].concat();
    let all = stream(&[&capabilities, &uuid, &page_bits, &command(1, &[]), &ram(0x1000, &[block])]);
    let setup = ram_blocks(&all).unwrap();
    let mapped_ram = Unsupported::Capability(Name::new(b"mapped-ram"));
    let expected = [mapped_ram, Unsupported::IgnoreShared, Unsupported::ReturnPath];
    assert_eq!((&setup.unsupported[..], setup.unread), (&expected[..], None));
}

#[test]
fn an_unknown_part_of_the_configuration_is_named() {
    let unknown = [subsection("configuration/new"), vec![0x08; 5]].concat();
    let list = ram(0x1000, &[block("a", 0x1000)]);
    let all = stream(&[&configuration(&[]), &unknown, &command(1, &[]), &list]);
    let setup = ram_blocks(&all).unwrap();
    assert_eq!(setup.unread, Some(Name::new(b"configuration/new")));
    assert_eq!((setup.unsupported, setup.blocks.len()), (vec![], 1));
}

#[test]
fn a_length_that_leaves_the_front_of_the_stream_is_rejected() {
    let mut long = QEMU_7_2.to_vec();
    long[9..13].fill(0xff);
    let (offset, fault) = fault(&long);
    assert_eq!(offset, 13);
    let expected = SetupFault::Truncated {
        field: "machine name",
        wanted: usize::try_from(u32::MAX).unwrap(),
        left: 13,
    };
    assert_eq!(fault, expected);
}

//= spec/text/11-limits.md#ram-blocks
//= type=test
//# [LIM-3] A destination MUST reject a migration of more than 16383 RAM blocks.
#[test]
#[cfg_attr(miri, ignore = "minutes for an interpreter")]
fn more_blocks_than_one_answer_carries_are_rejected() {
    let blocks = |count: usize| -> Vec<_> {
        (0..count).map(|index| block(&format!("{index}"), 0x1000)).collect()
    };
    let most = stream(&[&ram(16_383 * 0x1000, &blocks(16_383))]);
    assert_eq!(ram_blocks(&most).unwrap().blocks.len(), 16_383);
    let more = stream(&[&ram(16_384 * 0x1000, &blocks(16_384))]);
    assert!(matches!(fault(&more), (_, SetupFault::TooManyBlocks { left: 0x1000 })));
}

//= spec/text/11-limits.md#stream
//= type=test
//# [LIM-4] A destination MUST reject a stream that names more than 64 capabilities.
#[test]
fn more_than_64_capabilities_are_rejected() {
    let list = ram(0x1000, &[block("a", 0x1000)]);
    let most = stream(&[&configuration(&["mapped-ram"; 64]), &list]);
    assert_eq!(ram_blocks(&most).unwrap().unsupported.len(), 1);
    let more = stream(&[&configuration(&["mapped-ram"; 65]), &list]);
    assert_eq!(fault(&more), (47, SetupFault::TooManyCapabilities { found: 65 }));
}

//= spec/text/11-limits.md#stream
//= type=test
//# [LIM-5] A destination MUST reject a stream that sends more than 64 commands before its first
//# section.
#[test]
fn more_than_64_commands_are_rejected() {
    let list = ram(0x1000, &[block("a", 0x1000)]);
    let commands = |count| command(2, &[0, 0, 0, 1]).repeat(count);
    assert!(ram_blocks(&stream(&[&commands(64), &list])).is_ok());
    let more = stream(&[&commands(65), &list]);
    assert_eq!(fault(&more), (8 + 64 * 9, SetupFault::TooManyCommands));
}

//= spec/text/11-limits.md#stream
//= type=test
//# [LIM-6] A destination MUST NOT look for the RAM block list further back than 4587265 bytes from
//# the hook word.
#[test]
#[cfg_attr(miri, ignore = "megabytes are too much for an interpreter")]
fn the_list_is_not_looked_for_without_end() {
    let longest: Vec<_> = (0..16_383u32)
        .map(|index| {
            let name = format!("{index:0255}");
            [block(&name, 0x1000), 0x20_0000u64.to_be_bytes().to_vec(), vec![0; 8]].concat()
        })
        .collect();
    let mut all = [MAGIC, &configuration(&["x-ignore-shared"])].concat();
    let offset = all.len();
    all.extend(ram(16_383 * 0x1000, &longest));
    all.extend(HOOK);
    assert_eq!(all.len() - offset, 4_587_265 + 8);
    assert_eq!(ram_blocks(&all).unwrap().blocks.len(), 16_383);

    all.push(0);
    all.extend(HOOK);
    let expected = SetupFault::NoRamSection { searched: 4_587_265 };
    assert_eq!(fault(&all), (offset + 9, expected));
}

#[test]
fn an_error_says_where_it_is_and_what_was_expected() {
    let all = stream(&[&ram(0x3000, &[block("a", 0x2000), block("b", 0x2000)])]);
    assert_eq!(
        ram_blocks(&all).unwrap_err().to_string(),
        "stream offset 45: RAM block of 8192 bytes, expected 4096 at most"
    );
    let unsupported = [
        (Unsupported::ReturnPath, "return path (command OPEN_RETURN_PATH)"),
        (Unsupported::Postcopy, "postcopy (command POSTCOPY_ADVISE)"),
        (Unsupported::IgnoreShared, "ignored shared RAM (capability x-ignore-shared)"),
        (Unsupported::Capability(Name::new(b"mapped-ram")), "capability mapped-ram"),
        (Unsupported::Command(8), "command 8"),
    ];
    for (unsupported, text) in unsupported {
        assert_eq!(unsupported.to_string(), text);
    }
}
