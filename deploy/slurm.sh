#!/bin/bash
# A Slurm array: each task classifies a part of the list. All nodes see the same files.
#
#   sbatch --wait --array=0-63 deploy/slurm.sh 64 resnet50.onnx all.txt parts
#   classify merge parts -o results.jsonl
#
# Once more, it does what is missing alone. The number of shards is an argument, because Slurm counts the tasks of a rerun
# such as --array=3,17 only.
#SBATCH --job-name=classify
#SBATCH --cpus-per-task=1
#SBATCH --requeue
#SBATCH --output=classify-%A_%a.log
set -euo pipefail
shards=$1 model=$2 list=$3 parts=$4
shift 4
exec "${CLASSIFY:-classify}" -m "$model" --input-list "$list" --format json --quiet \
    --shard "$SLURM_ARRAY_TASK_ID/$shards" --out-dir "$parts" "$@"
