//! What a host without RDMA says. In the lab there is a device, and nothing to test here.

use rdma_migration_transport_verbs::{VerbsConfig, VerbsError, VerbsTransport, devices};

#[test]
fn without_a_device_the_error_says_so_and_what_to_do() {
    if devices().is_ok_and(|present| !present.is_empty()) {
        println!("there is an RDMA device here: the absence of one cannot be tested");
        return;
    }
    let config = VerbsConfig::default;
    for made in [
        VerbsTransport::to("192.0.2.1", 4444, config()),
        VerbsTransport::listen("127.0.0.1", 0, config()),
    ] {
        let error = made.map(drop).unwrap_err();
        assert!(matches!(error, VerbsError::NoDevice { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("no RDMA device") && text.contains("rdma link add"), "{text}");
    }
}
