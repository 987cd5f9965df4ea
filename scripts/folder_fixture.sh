#!/usr/bin/env bash
# Makes the model folder that a test reads for as long as its format version is read: run it once, when FORMAT_VERSION
# (src/checkpoint/saved.rs) has become another, and commit what it writes.
#   scripts/folder_fixture.sh VERSION
set -euo pipefail
out="$(cd "$(dirname "$0")/.." && pwd)/tests/fixtures/folder_v$1"
if [ -e "$out" ]; then echo "$out is there already: a fixture is never changed" >&2; exit 1; fi
program() { cargo run --quiet --release -p candle-recurrent-cli -- "$@"; }
program train gru --vocab-size 200 --max-len 12 --epochs 3 --learning-rate 1e-2 --out "$out" --quiet
# Pictures and the run's state are no part of what later versions promise to read.
rm "$out"/loss.svg "$out"/loss.png "$out"/state.safetensors
program predict "$out" "a wonderful film" "a boring film" --json \
  | python3 -c 'import json, sys; print(*(answer["probability"] for answer in json.load(sys.stdin)), sep="\n")' > "$out/expected.txt"
grep -q "\"format_version\": $1\b" "$out/config.json"
