"""The real captures, and what their README says of them."""

from dialogue import (
    BLOCKS_REQUEST,
    BLOCKS_RESULT,
    COMPRESS,
    QEMU_FILE,
    READY,
    REGISTER_FINISHED,
    REGISTER_REQUEST,
    REGISTER_RESULT,
)
from tshark import HERE

CAPTURES = HERE.parent.parent / "captures"
DYNAMIC = CAPTURES / "qemu-7.2-dynamic.pcap"
PIN_ALL = CAPTURES / "qemu-7.2-pin-all.pcap"

# From spec/captures/README.md.
DYNAMIC_COUNTS = {
    READY: 245,
    QEMU_FILE: 107,
    COMPRESS: 95,
    REGISTER_FINISHED: 35,
    REGISTER_REQUEST: 7,
    REGISTER_RESULT: 7,
    BLOCKS_REQUEST: 1,
    BLOCKS_RESULT: 1,
}
PIN_ALL_COUNTS = {
    READY: 95,
    QEMU_FILE: 71,
    REGISTER_FINISHED: 23,
    BLOCKS_REQUEST: 1,
    BLOCKS_RESULT: 1,
}
