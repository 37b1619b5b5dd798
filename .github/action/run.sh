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
    # classify puts the name of each of its commands there.
    given="{command}-"
else
    arguments+=("${runs[@]}" -m "$MODEL" -i "$INPUT")
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
reported=""
for prefix in "" compare- evaluate-; do
    if [ -f "$REPORT/${prefix}summary.md" ]; then
        cat "$REPORT/${prefix}summary.md" >> "$GITHUB_STEP_SUMMARY"
    fi
    if [ -f "$REPORT/${prefix}job.annotations" ]; then
        cat "$REPORT/${prefix}job.annotations"
        reported=yes
    fi
done
if [ -z "$reported" ] && [ "$code" -ne 0 ]; then
    echo "::error title=classify $COMMAND::exit code $code, and no report; the log has the reason"
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
