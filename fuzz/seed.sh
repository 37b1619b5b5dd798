#!/bin/sh
# Copies the checked-in files that are good seeds of a target into its corpus: seed.sh TARGET [CORPUS-DIRECTORY]
# A target whose first byte is a choice gets each file behind several first bytes.
set -eu
target=$1
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
corpus=${2:-$root/fuzz/corpus/$target}
data=$root/tests/data
snapshots=$root/tests/cli/snapshots/files
own=$root/tests/mutants/seeds
mkdir -p "$corpus"

# Copies files of at most 64 KiB.
plain() {
    for file in "$@"; do
        if [ -f "$file" ] && [ "$(wc -c <"$file")" -le 65536 ]; then
            cp "$file" "$corpus/seed-$(basename "$file")"
        fi
    done
}

# Copies files behind each of the bytes from 0 to the first argument.
chosen() {
    last=$1
    shift
    for file in "$@"; do
        first=0
        while [ "$first" -le "$last" ]; do
            # shellcheck disable=SC2059 # The format is the byte.
            { printf "\\$(printf %03o "$first")"; cat "$file"; } >"$corpus/seed-$first-$(basename "$file")"
            first=$((first + 1))
        done
    done
}

case $target in
    answers | archives) plain "$own/$target"/* ;;
    arrays) chosen 1 "$own"/npy/* "$own"/npz/* ;;
    configuration) chosen 8 "$snapshots"/preprocess* "$own/$target"/* ;;
    decode) plain "$data"/jxl/*.jxl "$data"/jxl/*.png "$data"/cases/*.gif "$data"/cases/*.jpg "$data"/cases/*.tif "$data"/cases/*.webp ;;
    gates | lines) plain "$own/$target"/* ;;
    ir) plain "$data"/*.xml ;;
    labels | plugins | truth) plain "$own/$target"/* "$snapshots/$target"* ;;
    onnx) plain "$data"/*.onnx "$data"/cases/*.onnx ;;
    recordings) plain "$snapshots"/recording* ;;
    remote) plain "$own/$target"/* ;;
    sources) chosen 3 "$data"/plain.onnx "$data"/plain.xml "$data"/lite.tflite "$data"/paddle.pdmodel ;;
    tensorflow)
        plain "$data"/*.pb
        for directory in "$data"/tensorflow-saved-*; do
            cp "$directory/saved_model.pb" "$corpus/seed-$(basename "$directory").pb"
        done
        ;;
    tflite) plain "$data"/*.tflite ;;
    *)
        echo "there is no target $target" >&2
        exit 2
        ;;
esac
# A pattern without a file copies nothing.
if [ -z "$(ls "$corpus")" ]; then
    echo "$target has no seeds" >&2
    exit 1
fi
