//! The kinds of migrations of the sweep, each as small as it can be.

use crate::plan::Plan;

/// Each with its name and its plan.
const KINDS: [(&str, &str); 30] = [
    ("dynamic", "blocks=3f,2m"),
    ("pinned", "pin=required blocks=3f,2m"),
    ("pinning preferred", "pin=preferred blocks=2f,1z"),
    ("pinning declined", "pin=preferred answer=decline blocks=2f,1m"),
    ("pinning required and declined", "pin=required answer=decline"),
    ("pinning refused", "pin=preferred answer=refuse"),
    ("zero chunks", "blocks=4z,2z,1f"),
    ("pinned zero chunks", "pin=required blocks=4z,2z"),
    ("runs of pages", "blocks=6m,3f by-pages=true"),
    ("pinned runs of pages", "pin=required blocks=5m,3f by-pages=true"),
    ("dirtied again", "blocks=4m,3f,2z rounds=3 work=4"),
    ("pinned and dirtied again", "pin=required blocks=4m,3f rounds=3 work=4"),
    ("many blocks", "blocks=1f,1z,2f,1m,1f,3z,1f,2m"),
    ("several chunks of a block", "blocks=515m,1f"),
    ("several chunks of a pinned block", "pin=required blocks=515m,1f"),
    ("larger chunks", "chunk=2097152 blocks=514m,1f work=2"),
    ("unregistration", "blocks=3f,2f,2m rounds=3 work=5 unregister=true"),
    ("one byte of stream", "stream=1/1 blocks=1f"),
    ("a long stream", "stream=40000/70000 taken=30000 blocks=2f"),
    ("announced windows", "announced=true blocks=3f,2z rounds=2 work=2 taken=3"),
    ("few writes in flight", "signal=2/3 blocks=6f by-pages=true rounds=2 work=3"),
    ("a late finish", "late=true blocks=2f"),
    ("free of cost", "cost=free blocks=3f,2m rounds=2 work=3 unregister=true"),
    ("chunk by chunk", "registration=chunks blocks=3f,2m,2z rounds=2 work=3"),
    ("spans", "registration=spans/2 blocks=515m,1f"),
    ("small spans ahead", "registration=ahead/1 blocks=515f,2m rounds=2 work=2"),
    ("batches", "registration=batches/2/3 blocks=1f,515f,2z,1f"),
    ("bounded at the source", "registration=ahead/1 pinned=2 blocks=1f,2m,1f,1f rounds=2 work=3"),
    (
        "bounded on both sides",
        "registration=spans/2 pinned=2 blocks=515f,1f,2m rounds=2 work=3 unregister=true",
    ),
    ("slow owners", "cost=roce-100g pause=3000000 blocks=3f,2m rounds=2 work=2"),
];

/// All kinds, by name.
pub(crate) fn kinds() -> impl Iterator<Item = (&'static str, Plan)> {
    KINDS
        .into_iter()
        .map(|(name, text)| (name, text.parse().unwrap_or_else(|error| panic!("{name}: {error}"))))
}
