#!/usr/bin/env bash
# Run a JSONL file as a batch through a fresh embedded stack: every line answered once, every credit accounted for.
# Usage: deploy/real-input.sh FILE.jsonl
set -euo pipefail
input=$(realpath "${1:?usage: $0 FILE.jsonl}")
cd "$(dirname "$0")/.."

bin=$PWD/.venv/bin
work=$(mktemp -d)
export FUSIONAI_STATE_DIRECTORY=$work/state
"$bin/fusionai" up --quiet >"$work/up.log" 2>&1 &
stack=$!
trap 'kill "$stack" 2>/dev/null || true; wait "$stack" || true; rm -rf "$work"' EXIT

for _ in $(seq 600); do
    if [ -f "$work/state/stack.json" ]; then break; fi
    kill -0 "$stack" 2>/dev/null || break
    sleep 0.1
done
if [ ! -f "$work/state/stack.json" ]; then
    cat "$work/up.log"
    echo "the stack did not start" >&2
    exit 1
fi

"$bin/fusionai" submit "$input" --wait -o "$work/out.jsonl"
"$bin/python" deploy/check_output.py "$input" "$work/out.jsonl"
[ ! -e "$work/out.errors.jsonl" ] || { echo "there are errors" >&2; exit 1; }
# The same command again finds the same batch: nothing is bought twice.
spent() { "$bin/fusionai" verify --json | "$bin/python" -c 'import json, sys; print(json.load(sys.stdin)["totals"]["revenue_micros"])'; }
batches() { "$bin/fusionai" batches --json | "$bin/python" -c 'import json, sys; print([batch["id"] for batch in json.load(sys.stdin)["data"]])'; }
before="$(spent) $(batches)"
"$bin/fusionai" submit "$input" --wait -o "$work/again.jsonl"
[ "$before" = "$(spent) $(batches)" ] || { echo "the second run bought something" >&2; exit 1; }
cmp "$work/out.jsonl" "$work/again.jsonl"
# What was charged is what the batch says and what its statement says.
"$bin/fusionai" batches --json | "$bin/python" -c '
import json, sys
(batch,) = json.load(sys.stdin)["data"]
assert round(batch["credits_used"] * 10**6) == int(sys.argv[1]) > 0, (batch["credits_used"], sys.argv[1])
assert batch["invoice_id"] and not batch["credits_held"], batch' "$(spent)"
"$bin/fusionai" verify
