#!/bin/sh
# A comparison as a Slurm job array, a shard a task. In an empty folder that all
# nodes share:
#
#   sbatch --array=0-7 .../slurm.sh TRACE... --policies lru,s3fifo
#   twostep merge shard-*.json --csv sweep.csv    # when all tasks are done
#
# TWOSTEP names the command where it is not in the PATH; it reads and writes
# nothing but the traces and its own shard.
#SBATCH --job-name=twostep
#SBATCH --cpus-per-task=1
#SBATCH --output=shard-%a.log
"${TWOSTEP:-twostep}" compare "$@" --quiet \
  --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
  --json "shard-$SLURM_ARRAY_TASK_ID.json"
code=$?
# 3: some cells could not run. Their rows say so; the shard is whole.
[ "$code" -ne 3 ] || code=0
exit "$code"
