#!/bin/bash
# Scores a folder on a SLURM cluster: each task of the array takes a stable share of the same folder.
#
#     zsic models pull openai/clip-vit-base-patch32        # once, into a cache that every node sees
#     sbatch --array=1-64 --export=ALL,SHARES=64,PHOTOS=/data/photos,OUT=/data/scores slurm.sh
#     cat /data/scores/*.jsonl > scores.jsonl              # when all are done
#
# SHARES is the number of tasks, and stays the same when some are submitted again (--array=17 with the same SHARES): a task
# that was stopped goes on where it was, and a task whose file is finished does nothing. The cache of embeddings must be on a
# disk of each node's own, and so is the note of how a finished file was made: to add new photos to finished files, give
# --cache-dir a folder that every node sees.
#SBATCH --job-name=zsic
#SBATCH --cpus-per-task=8
#SBATCH --requeue
set -euo pipefail
mkdir -p "$OUT"
out="$OUT/$SLURM_ARRAY_TASK_ID.jsonl"
if [ -e "$out" ]; then exit 0; fi
status=0
zsic classify "$PHOTOS" --shard "$SLURM_ARRAY_TASK_ID/$SHARES" \
    -l cat,dog -m openai/clip-vit-base-patch32 --offline -j "$SLURM_CPUS_PER_TASK" \
    --cache-dir "${SLURM_TMPDIR:-/tmp}/zsic-$(id -u)" --resume -o "$out" || status=$?
[ "$status" -le 1 ] # 1: some image failed, and has its record
