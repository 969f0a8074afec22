#!/usr/bin/env bash
# Run a JSONL file through a fresh embedded stack: every line answered once, every credit accounted for.
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
# The same command again takes up the same jobs: nothing is bought twice.
spent() { "$bin/fusionai" verify --json | "$bin/python" -c 'import json, sys; print(json.load(sys.stdin)["totals"]["revenue_micros"])'; }
before=$(spent)
"$bin/fusionai" submit "$input" --wait -o "$work/again.jsonl"
[ "$before" = "$(spent)" ] || { echo "the second run was charged" >&2; exit 1; }
cmp "$work/out.jsonl" "$work/again.jsonl"
"$bin/fusionai" verify
