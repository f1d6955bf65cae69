//! Text that people write: addresses, sizes, faults, expected results and vectors.

use rdma_migration_conformance::rdma_address::RdmaAddress;
use rdma_migration_conformance::size::Size;
use rdma_migration_conformance::suite::cases;
use rdma_migration_conformance::suite::expected::Expected;
use rdma_migration_conformance::vectors::judge::judge;
use rdma_migration_conformance::vectors::vector;
use rdma_migration_transport_sim::Fault;

/// Reads text as everything that it may be.
///
/// # Panics
///
/// If what was read and is shown is read as something else.
pub fn drive(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(address) = text.parse::<RdmaAddress>() {
        assert_eq!(address.to_string().parse(), Ok(address));
    }
    if let Ok(Size(bytes)) = text.parse::<Size>() {
        assert_eq!(bytes.to_string().parse(), Ok(Size(bytes)));
    }
    if let Ok(fault) = text.parse::<Fault>() {
        assert_eq!(fault.to_string().parse(), Ok(fault));
    }
    if let Ok(expected) = Expected::read(text, cases::all()) {
        for case in cases::all() {
            let _ = expected.of(case.id);
        }
    }
    // A vector says how often bytes come, which may be more often than there is room for.
    let long = text.contains("times") || text.contains("omitted");
    if let Some(file) = toml::from_str::<vector::File>(text).ok().filter(|_| !long) {
        for vector in file.vector {
            let _either_way = judge(&vector);
        }
    }
}
