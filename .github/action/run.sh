#!/usr/bin/env bash
# Runs a command of classify with all reports: files for the artifact, the summary of the job, and its annotations.
set -euo pipefail
case "$COMMAND" in
    compare | evaluate | check) ;;
    *)
        echo "::error title=classify::unknown command, expected compare, evaluate or check"
        exit 2
        ;;
esac
mkdir -p "$REPORT"
read -ra runs <<< "$RUNS"
read -ra further <<< "$ARGUMENTS"
arguments=("$COMMAND")
if [ "$COMMAND" = check ]; then
    arguments+=(--config "$CONFIG")
    # `classify check` replaces {command} by compare or evaluate.
    given="{command}-"
else
    arguments+=("${runs[@]}")
    # Each run may have a model of its own.
    if [ -n "$MODEL" ]; then arguments+=(-m "$MODEL"); fi
    if [ -n "$INPUT" ]; then arguments+=(-i "$INPUT"); fi
    given=""
fi
arguments+=("${further[@]}")
for name in report.json report.html junit.xml summary.md job.annotations; do
    # The reports of an earlier run in the same directory are not this one's.
    rm -f "$REPORT/$name" "$REPORT/compare-$name" "$REPORT/evaluate-$name"
    arguments+=(--report "$REPORT/$given$name")
done
code=0
classify "${arguments[@]}" || code=$?
explained=""
for prefix in "" compare- evaluate-; do
    if [ -f "$REPORT/${prefix}summary.md" ]; then
        cat "$REPORT/${prefix}summary.md" >> "$GITHUB_STEP_SUMMARY"
    fi
    if [ -f "$REPORT/${prefix}job.annotations" ]; then
        cat "$REPORT/${prefix}job.annotations"
        if grep -q '^::error' "$REPORT/${prefix}job.annotations"; then explained=yes; fi
    fi
done
if [ -z "$explained" ] && [ "$code" -ne 0 ]; then
    echo "::error title=classify $COMMAND::exit code $code, and no report has the reason; the log has it"
fi
# The job, the step and the arguments tell the artifacts of a matrix apart.
digest="$(printf '%s\0' "${arguments[@]}" "$RUNNER_OS" "$RUNNER_ARCH" | sha256sum | cut -c 1-8)"
artifact="classify-$GITHUB_JOB-$GITHUB_ACTION-$digest"
{
    echo "report=$REPORT"
    echo "exit-code=$code"
    echo "artifact=${artifact//[!A-Za-z0-9_-]/-}"
} >> "$GITHUB_OUTPUT"
exit "$code"
