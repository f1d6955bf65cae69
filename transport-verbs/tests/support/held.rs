//! What the process holds. Only a program that runs one test at a time can use this.

use std::fs;
use std::process::Command;

/// What the kernel has of this process: RDMA objects and pinned memory.
pub(crate) fn held() -> Vec<String> {
    let mut held = Vec::new();
    for kind in ["qp", "mr", "cq", "pd", "cm_id"] {
        let output = Command::new("rdma").args(["resource", "show", kind]).output().unwrap();
        assert!(output.status.success(), "rdma resource show {kind}");
        let listing = String::from_utf8(output.stdout).unwrap();
        // The kernel's own objects have no process. Those of a process are listed under the thread
        // that has made them; no other process uses RDMA here.
        let lines = listing.lines().filter(|line| line.contains(" pid "));
        held.extend(lines.map(|line| format!("{kind}: {line}")));
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let pinned = status.lines().find(|line| line.starts_with("VmPin:")).unwrap();
    held.extend(Some(pinned.to_owned()).filter(|line| !line.ends_with(" 0 kB")));
    held
}

pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}
