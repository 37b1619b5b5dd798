#!/usr/bin/env bash
# Installs classify and the engines into an environment of their own, and puts classify on the path of later steps.
set -euo pipefail
environment="$RUNNER_TEMP/classify"
"$(command -v python || command -v python3)" -m venv "$environment"
scripts="$environment/bin"
[ -d "$scripts" ] || scripts="$environment/Scripts"
if [ -n "$WHEEL" ]; then
    classify="$WHEEL"
else
    # The action and the program have the same version.
    manifest="$(dirname "${BASH_SOURCE[0]}")/../../Cargo.toml"
    classify="classify-cli==${VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$manifest" | head -n 1)}"
fi
packages=("$classify")
# An engine of version `none` is left out.
[ "$OPENVINO" = none ] || packages+=("openvino==$OPENVINO")
[ "$ONNXRUNTIME" = none ] || packages+=("onnxruntime==$ONNXRUNTIME")
"$scripts/python" -m pip install --quiet "${packages[@]}"
echo "$scripts" >> "$GITHUB_PATH"
"$scripts/classify" --version
