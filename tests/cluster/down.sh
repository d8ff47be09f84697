#!/usr/bin/env bash
# Stop the Slurm that up.sh started in FOLDER, and its jobs: these daemons and no others, by the numbers that they wrote down.
#   tests/cluster/down.sh FOLDER
set -uo pipefail
folder=$(realpath -m "$1")
export PATH=$PATH:/usr/sbin SLURM_CONF=$folder/slurm.conf
timeout 20 scancel --user "$(id -un)" 2>/dev/null
for _ in $(seq 20); do
  [ -z "$(timeout 20 squeue --noheader 2>/dev/null)" ] && break
  sleep 0.5
done
for file in slurmd.pid slurmctld.pid munge/pid; do
  [ -s "$folder/$file" ] || continue
  pid=$(cat "$folder/$file")
  # A number may be another process's by now.
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qE '(^|/)(slurmd|slurmctld|munged) ' || continue
  kill "$pid"
  for _ in $(seq 40); do
    [ -d "/proc/$pid" ] || break
    sleep 0.25
  done
done
