#!/usr/bin/env bash
# test.sh RDMA-MIGRATION
#
# Runs tshark with the dissector on the real captures, on traces of the simulator that `migrate` of this
# command makes, and on packets made by the tests, and compares what it says with the captures' README,
# with `migrate` and with a reading in Python that shares no code with it.
set -euo pipefail
RDMA_MIGRATION=$(realpath "$1")
export RDMA_MIGRATION PYTHONDONTWRITEBYTECODE=1
cd "$(dirname "$0")"
luac5.2 -p qemu_rdma.lua
luacheck --quiet qemu_rdma.lua
cd tests
python3 -m unittest "${@:2}"
