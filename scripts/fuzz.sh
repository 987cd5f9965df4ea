#!/usr/bin/env bash
# Fuzzes the readers of files, each for so many minutes: scripts/fuzz.sh MINUTES [READER…]
#
# Needs a nightly compiler and `cargo install cargo-fuzz --locked`. Starts from the small files of `tests/common/seeds.rs` and
# the hostile ones of `tests/hostile/`; what was found of interest stays in fuzz/corpus/. What fails is kept in
# fuzz/artifacts/READER/ and shown by `cargo +nightly fuzz run READER FILE`; it becomes a test before it is mended.
# CARGO names another cargo, FUZZ_TARGET another folder for what is compiled.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:?how many minutes each reader is fuzzed}
shift
cargo=${CARGO:-cargo}
into=${FUZZ_TARGET:-fuzz/target}
# The versions that the crate itself is tested with.
[ -f fuzz/Cargo.lock ] || cp Cargo.lock fuzz/Cargo.lock
if [ $# -gt 0 ]; then readers=("$@"); else mapfile -t readers < <("$cargo" +nightly fuzz list); fi
CANDLE_RECURRENT_SEEDS=$PWD/fuzz/corpus "$cargo" test --release --test mutations seeds_are_there
for file in tests/hostile/*; do
  suffix=${file##*.}
  if [ -d "fuzz/corpus/$suffix" ]; then cp "$file" "fuzz/corpus/$suffix/"; fi
done
"$cargo" +nightly fuzz build --sanitizer none --target-dir "$into"
failed=()
for reader in "${readers[@]}"; do
  echo "== $reader"
  # Memory is bounded by the targets themselves (tests/common/memory.rs), so that no sanitizer is needed for it.
  "$cargo" +nightly fuzz run --sanitizer none --target-dir "$into" "$reader" -- \
    -max_total_time=$((minutes * 60)) -dict="fuzz/dictionaries/$reader.dict" -max_len=65536 -timeout=10 \
    -rss_limit_mb=4096 -print_final_stats=1 || failed+=("$reader")
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}; see fuzz/artifacts/" >&2
  exit 1
fi
