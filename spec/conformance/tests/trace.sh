#!/usr/bin/env bash
# trace.sh RDMA-MIGRATION
#
# Traces of the simulator, judged by others: tshark finds no malformed packet in them and counts, by
# operation code, what `migrate` printed; `inspect` reads back the messages that `migrate` counted. The
# packets in the evidence of the conformance suite are well formed too, and carry the messages beside them.
set -euo pipefail
command=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# tshark guesses that some payloads are RPC over RDMA, those of real captures too. The guess goes by one
# of two names, depending on the version.
for guess in rpcordma_infiniband rpcrdma_infiniband; do
  tshark=(tshark --disable-heuristic "$guess")
  if "${tshark[@]}" -c 1 -r "$(dirname "$0")/../../captures/qemu-7.2-dynamic.pcap" >/dev/null 2>&1; then break; fi
done

for mode in "" --pin-all; do
  trace=$folder/trace.pcapng
  "$command" migrate --guest-memory 32MiB $mode --trace "$trace" --format json >"$folder/report.json" 2>/dev/null
  "$command" inspect "$trace" --format json >"$folder/inspected.jsonl"
  "${tshark[@]}" -r "$trace" -T fields -e infiniband.bth.opcode >"$folder/opcodes" 2>/dev/null
  "${tshark[@]}" -r "$trace" -Y _ws.malformed -T fields -e frame.number -e _ws.col.Info >"$folder/malformed" 2>/dev/null
  python3 - "$folder" "${mode:-dynamic}" <<'PYTHON'
import collections, json, sys

folder, mode = sys.argv[1:]
report = json.load(open(f"{folder}/report.json"))
names = {0: "SEND first", 1: "SEND middle", 2: "SEND last", 4: "SEND only", 6: "WRITE first", 7: "WRITE middle",
         8: "WRITE last", 10: "WRITE only", 17: "acknowledge", 100: "connection management"}
opcodes = collections.Counter(names[int(line)] for line in open(f"{folder}/opcodes"))
assert opcodes == report["packets"], f"tshark counts {dict(opcodes)}, migrate {report['packets']}"
malformed = open(f"{folder}/malformed").read()
assert not malformed, f"malformed packets:\n{malformed}"
events = [json.loads(line) for line in open(f"{folder}/inspected.jsonl")]
messages = collections.Counter(event["kind"] for event in events if event["event"] == "message")
assert messages == report["control_messages"], f"inspect {dict(messages)}, migrate {report['control_messages']}"
writes = [event for event in events if event["event"] == "write"]
assert len(writes) == report["writes"] and sum(write["length"] for write in writes) == report["bytes_written"]
deviations = [event for event in events if event["event"] == "deviation"]
assert not deviations, deviations
print(f"{mode.lstrip('-')}: {sum(opcodes.values())} packets, {sum(messages.values())} messages, {len(writes)} WRITEs agree")
PYTHON
done

# A case sends what is malformed on purpose; tshark does not know this protocol and sees whole packets only.
"$command" conformance run --filter 'D-WRITE-00*' 'S-RND-00?' 'S-WRITE-00?' 'D-CTL-02?' --evidence "$folder/evidence" \
  >/dev/null || [[ $? == 1 ]]
for case in "$folder"/evidence/*/; do
  "${tshark[@]}" -r "$case/dialogue.pcapng" -Y _ws.malformed -T fields -e frame.number >"$folder/malformed" 2>/dev/null
  "${tshark[@]}" -r "$case/dialogue.pcapng" -T fields -e infiniband.bth.opcode >"$folder/opcodes" 2>/dev/null
  python3 - "$folder" "$case" <<'PYTHON'
import json, sys

folder, case = sys.argv[1:]
malformed = open(f"{folder}/malformed").read()
assert not malformed, f"malformed packets of {case}:\n{malformed}"
events = [entry["event"] for entry in json.load(open(f"{case}/dialogue.json"))["entries"]]
messages = sum("message" in event for event in events)
# SEND last and SEND only.
ends = sum(line.strip() in ("2", "4") for line in open(f"{folder}/opcodes"))
assert messages == ends, f"{case}: {messages} messages, tshark sees {ends}"
PYTHON
done
echo "evidence: $(ls "$folder/evidence" | grep -c -- -) cases agree"
echo "3 passed, 0 failed"
