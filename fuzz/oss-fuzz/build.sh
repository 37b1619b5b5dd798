#!/bin/bash -eu
# Builds all targets and their seed corpora for OSS-Fuzz.
cd "$SRC/classify"
cargo fuzz build -O
for source in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    cp "fuzz/target/x86_64-unknown-linux-gnu/release/$target" "$OUT/"
    fuzz/seed.sh "$target" "$WORK/seeds/$target"
    zip -q -j "$OUT/${target}_seed_corpus.zip" "$WORK/seeds/$target"/*
done
# The limits of README.md: a reader that takes more has a defect.
for source in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    printf '[libfuzzer]\nmax_len = 65536\ntimeout = 25\nrss_limit_mb = 2048\n' >"$OUT/$target.options"
done
