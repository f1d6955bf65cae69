//! Chapter 2: private data and what is agreed by it.

use rdma_migration_conformance::vectors::bytes::Bytes;
use rdma_migration_conformance::vectors::error_name::ErrorName;
use rdma_migration_conformance::vectors::vector::{Case, Content, Expected, Reader, Side, Vector};

use super::build::{private_data, vector, wrong};
use super::talk::Talk;
use Side::{Destination, Source};

pub(super) fn vectors() -> Vec<Vector> {
    [valid(), truncated(), requests(), replies()].concat()
}

fn valid() -> Vec<Vector> {
    let read = |id, requirements, title, version, flags, area: usize, filling: u8| {
        let (mut bytes, reading) = private_data(version, flags);
        bytes.resize(area, filling);
        let expected = Expected::Reading { reading };
        let case = Case { bytes: Bytes::whole(&bytes), expected };
        vector(id, requirements, title, Content::PrivateData(case))
    };
    vec![
        read("CON-V001", "CON-1 CON-10", "version 1, no capability", 1, 0, 8, 0),
        read("CON-V002", "CON-1 CON-10", "version 1 with PIN_ALL", 1, 1, 8, 0),
        read("CON-V003", "CON-3", "the area of a request, filled with zeroes", 1, 1, 56, 0),
        read("CON-V004", "CON-3", "the area of a reply, filled with zeroes", 1, 0, 196, 0),
        read("CON-V005", "CON-3", "an area filled with anything", 1, 0, 56, 0xa5),
        read("CON-V006", "CON-3", "one byte behind the capabilities", 1, 1, 9, 0xff),
        read("CON-V007", "CON-1", "every flag, of which all but one are unknown", 1, !0, 8, 0),
        read("CON-V008", "CON-1", "the highest flag alone", 1, 0x8000_0000, 8, 0),
        read("CON-V009", "CON-1", "the second flag, which is unknown", 1, 2, 8, 0),
        read("CON-V010", "CON-1 CON-12", "version 2", 2, 0, 8, 0),
        read("CON-V011", "CON-1", "the highest version", !0, 0, 8, 0),
        read("CON-V012", "CON-1 CON-11", "version 0, which is none", 0, 0, 8, 0),
        read("CON-V013", "CON-1", "the order of fields and bytes", 0x0102_0304, 0x0506_0708, 8, 0),
        read("CON-V014", "CON-1", "little-endian version 1", 1_u32.swap_bytes(), 0, 8, 0),
        read("CON-V015", "CON-1", "little-endian PIN_ALL", 1, 1_u32.swap_bytes(), 8, 0),
        read("CON-V016", "CON-1 CON-11", "an area of zeroes, as from no private data", 0, 0, 56, 0),
    ]
}

fn truncated() -> Vec<Vector> {
    let ids = ["CON-V020", "CON-V021", "CON-V022", "CON-V023", "CON-V024", "CON-V025", "CON-V026"];
    let cut = |(id, bytes): (&str, usize)| {
        let (mut private_data, _) = private_data(1, 1);
        private_data.truncate(bytes);
        let expected = wrong(&[ErrorName::PrivateDataTruncated]);
        let case = Case { bytes: Bytes::whole(&private_data), expected };
        vector(id, "CON-2", &format!("{bytes} bytes"), Content::PrivateData(case))
    };
    ids.into_iter().zip([0, 1, 3, 4, 5, 6, 7]).map(cut).collect()
}

fn requests() -> Vec<Vector> {
    let request = |version, flags| Talk::new().connect(Source, version, flags);
    let by = Reader::Destination;
    vec![
        request(0, 0).refused_by(
            by,
            "CON-V030",
            "CON-11",
            "a request of version 0",
            ErrorName::VersionZero,
        ),
        request(0, 1).refused_by(
            by,
            "CON-V031",
            "CON-11",
            "a request of version 0 with PIN_ALL",
            ErrorName::VersionZero,
        ),
        Talk::new().connect_truncated(Source, 7).refused_by(
            by,
            "CON-V032",
            "CON-2",
            "a request with 7 bytes of private data",
            ErrorName::PrivateDataTruncated,
        ),
        request(2, 0).connect(Destination, 1, 0).ready().accepted_by(
            by,
            "CON-V033",
            "CON-12",
            "version 2 is answered with version 1",
        ),
        request(!0, 0).connect(Destination, 1, 0).ready().accepted_by(
            by,
            "CON-V034",
            "CON-12",
            "the highest version is answered with version 1",
        ),
        request(1, !1).connect(Destination, 1, 0).ready().accepted_by(
            by,
            "CON-V035",
            "CON-13",
            "unknown flags are not granted",
        ),
        request(1, !0).connect(Destination, 1, 1).ready().accepted_by(
            by,
            "CON-V036",
            "CON-13 CON-14",
            "of every flag, PIN_ALL alone is granted",
        ),
        request(1, 0).connect(Destination, 1, 0).ready().accepted(
            "CON-V037",
            "CON-10 CON-13",
            "nothing asked for, nothing granted",
        ),
        request(1, 1).connect(Destination, 1, 1).ready().accepted(
            "CON-V038",
            "CON-14 CON-16",
            "PIN_ALL asked for and granted",
        ),
    ]
}

fn replies() -> Vec<Vector> {
    let reply = |offered, version, flags| {
        Talk::new().connect(Source, 1, offered).connect(Destination, version, flags)
    };
    let (by, observer) = (Reader::Source, Reader::Observer);
    vec![
        reply(0, 0, 0).refused_by(
            by,
            "CON-V040",
            "CON-17",
            "a reply of version 0",
            ErrorName::VersionZero,
        ),
        Talk::new().connect(Source, 1, 0).connect_truncated(Destination, 4).refused_by(
            by,
            "CON-V041",
            "CON-2",
            "a reply with 4 bytes of private data",
            ErrorName::PrivateDataTruncated,
        ),
        reply(0, 2, 0).ready().accepted_by(by, "CON-V042", "CON-17", "a reply of version 2"),
        reply(0, !0, 0).ready().accepted_by(
            by,
            "CON-V043",
            "CON-17",
            "a reply of the highest version",
        ),
        reply(1, 1, 0).exchanged().registered(0, 0, 0x501).write(0, 0, 0x1000, 0x501).accepted_by(
            by,
            "CON-V044",
            "CON-16",
            "PIN_ALL is declined, and chunks are registered one by one",
        ),
        reply(0, 1, 1).exchanged().registered(0, 0, 0x501).write(0, 0, 0x1000, 0x501).accepted_by(
            by,
            "CON-V045",
            "CON-16",
            "PIN_ALL is granted unasked, and chunks are registered one by one all the same",
        ),
        reply(0, 1, 1).refused_by(
            observer,
            "CON-V046",
            "CON-13",
            "PIN_ALL is granted unasked",
            ErrorName::FlagNotOffered,
        ),
        reply(1, 1, 0x8000_0001).refused_by(
            observer,
            "CON-V047",
            "CON-13",
            "an unknown flag is granted",
            ErrorName::FlagNotOffered,
        ),
        reply(0x8000_0000, 1, 0x8000_0000).refused_by(
            observer,
            "CON-V048",
            "CON-13",
            "an unknown flag is granted because it was asked for",
            ErrorName::FlagNotOffered,
        ),
        reply(0, 1, 2).ready().accepted_by(
            by,
            "CON-V049",
            "CON-16",
            "an unknown flag in a reply says nothing to a source",
        ),
    ]
}
