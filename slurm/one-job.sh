#!/bin/sh
# A whole run as one job of Slurm, for runs of many short jobs: slurm/README.md
#   sbatch slurm/one-job.sh --configfile config/smoke.yaml
#   sbatch --cpus-per-task=32 --mem=64G --time=2-0 --gpus=1 slurm/one-job.sh
# From the root of the repository, in the environment of the project (. .venv/bin/activate). Options
# of sbatch before the script replace those below; what is behind it goes to snakemake.
#SBATCH --job-name=medtaskatlas
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@120
set -u

cpus=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}
memory=${SLURM_MEM_PER_NODE:-$((${SLURM_MEM_PER_CPU:-0} * cpus))}
have=
[ "$memory" -eq 0 ] || have="mem_mb=$memory"
[ "${SLURM_GPUS_ON_NODE:-0}" -eq 0 ] || have="$have gpu=$SLURM_GPUS_ON_NODE"

# Two minutes before the wall-clock limit all processes of the job are asked to stop: trainings
# leave a checkpoint. The job is then put back, and goes on when its turn comes again.
limit=
trap 'limit=reached; kill -TERM 0' USR1
# Slurm, or the line above: the processes hear it themselves, and are waited for.
trap : TERM

# --resources takes all that follows it up to the next option: a target must not.
# shellcheck disable=SC2086 # one word each
snakemake ${have:+--resources $have} --cores "$cpus" "$@" &
run=$!
wait "$run"
status=$?
# A signal ends the wait as well.
while kill -0 "$run" 2>/dev/null; do
  wait "$run"
  status=$?
done
if [ -n "$limit" ] && [ "$status" -ne 0 ]; then
  echo "one-job.sh: the wall-clock limit is near: put back, to go on"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
