"""All scenarios, in the order in which `--all` runs them."""

from scenarios import (
    bench,
    bench_dirtying,
    bounded,
    capture,
    capture_ours,
    conformance,
    faults,
    ours_to_ours,
    qemu_and_ours,
    qemu_to_qemu,
    soak,
    unsupported,
    verbs_tests,
    verbs_tools,
)

ALL = (
    *verbs_tools.SCENARIOS,
    *verbs_tests.SCENARIOS,
    *qemu_to_qemu.SCENARIOS,
    *qemu_and_ours.SCENARIOS,
    *ours_to_ours.SCENARIOS,
    *bounded.SCENARIOS,
    *unsupported.SCENARIOS,
    *capture.SCENARIOS,
    *capture_ours.SCENARIOS,
    *faults.SCENARIOS,
    *conformance.SCENARIOS,
    *soak.SCENARIOS,
    *bench.SCENARIOS,
    *bench_dirtying.SCENARIOS,
)
