#!/usr/bin/env bash
# A Slurm of one node wholly inside one folder, for any user: no systemd, nothing in /etc, no database, no cgroups.
#   eval "$(tests/cluster/up.sh FOLDER [PID])"   then sbatch, squeue and snakemake --profile profiles/slurm work in this shell
#   tests/cluster/down.sh FOLDER                 stops it; so does the end of process PID, however it ends
# Root installs what is missing (Debian's slurm-wlm and munge); others are told.
set -euo pipefail
folder=$(realpath -m "$1") owner=${2:-} cpus=2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/usr/sbin
# Daemons must not keep what the caller holds open, such as a lock or the pipe of $( ).
detached() { "$@" </dev/null >>"$folder/log/start.log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; }

if ! command -v slurmctld slurmd munged sbatch >/dev/null; then
  if [ "$(id -u)" != 0 ]; then
    echo "up.sh: no Slurm here; expected Debian's packages slurm-wlm and munge (apt-get install slurm-wlm munge)" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  { apt-get -qq update; apt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends slurm-wlm munge; } >&2
fi

mkdir -p "$folder"/{bin,log,munge,spool,state}
chmod 755 "$folder" "$folder/munge"
(umask 077 && head -c 1024 /dev/urandom >"$folder/munge/key")
read -r controller_port node_port < <(python3 - <<'PYTHON'
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in sockets))
PYTHON
)
host=$(hostname -s)

# Two GPUs of one model, as far as Slurm can tell: any two character devices.
printf 'Name=gpu Type=toy File=%s\n' /dev/zero /dev/full >"$folder/gres.conf"
echo "CgroupAutomount=no" >"$folder/cgroup.conf"
cat >"$folder/slurm.conf" <<CONF
ClusterName=toy
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
# A job that goes back into the queue waits for its credential to expire: not two minutes here.
AuthInfo=socket=$folder/munge/socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
# A job's record outlives it, for there is no database to ask.
MinJobAge=3600
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
KillWait=5
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=16000 Gres=gpu:toy:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=gpus Nodes=ALL MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$folder/slurm.conf
# Snakemake takes SLURM_CONF from the environment of the srun inside a job; on a cluster the file lies in /etc/slurm.
printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$SLURM_CONF" "$(command -v srun)" >"$folder/bin/srun"
chmod +x "$folder/bin/srun"

detached munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
  --log-file="$folder/log/munged.log" --seed-file="$folder/munge/seed"
detached slurmctld -c
detached slurmd -c
# shellcheck disable=SC2016
watch='while [ -e "$3/munge/pid" ]; do kill -0 "$1" || exec "$2/down.sh" "$3"; sleep 1; done'
[ -z "$owner" ] || detached setsid --fork bash -c "$watch" watch "$owner" "$here" "$folder"
for _ in $(seq 120); do
  if [ "$(sinfo --noheader --partition main --format %t 2>/dev/null)" = idle ]; then
    printf "export SLURM_CONF=%q PATH=%q:\"\$PATH\"\n" "$SLURM_CONF" "$folder/bin"
    exit
  fi
  sleep 0.5
done
echo "up.sh: no idle node after a minute; see $folder/log" >&2
exit 1
