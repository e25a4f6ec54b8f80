#!/bin/sh
# A Slurm of one node on this machine, for tests and to try things out: start | stop | status.
# Needs root, and the packages slurm-wlm and munge of Debian or Ubuntu. No systemd, no accounting.
# Its files: $SLURM_HOME (default /tmp/medtaskatlas-slurm); slurm.conf there is copied to /etc/slurm.
set -eu

HOME_DIR=${SLURM_HOME:-/tmp/medtaskatlas-slurm}
CONF=/etc/slurm/slurm.conf
MARK="# made by slurm/local-cluster.sh of medtaskatlas"
PATH=$PATH:/usr/sbin:/sbin

fail() {
  echo "local-cluster.sh: $1" >&2
  exit 1
}

ready() {
  [ "$(id -u)" -eq 0 ] || fail "only root can start and stop a cluster (sudo sh slurm/local-cluster.sh ...)"
  for program in slurmctld slurmd munged scontrol runuser; do
    command -v $program >/dev/null ||
      fail "$program is missing: apt-get install -y --no-install-recommends slurm-wlm munge"
  done
  # Never a real cluster's.
  if [ -e $CONF ] && ! grep -qF "$MARK" $CONF; then
    fail "$CONF is there and not from here: this machine belongs to another cluster"
  fi
}

alive() { # pid file
  [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null
}

answers() {
  alive "$HOME_DIR/slurmctld.pid" && alive "$HOME_DIR/slurmd.pid" &&
    timeout 5 sinfo --noheader --format %T 2>/dev/null | grep -qE '^(idle|mixed|allocated|completing)$'
}

configure() {
  name=$(uname -n)
  name=${name%%.*}
  memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  mkdir -p "$HOME_DIR/state" "$HOME_DIR/spool" "$HOME_DIR/log" /etc/slurm
  # Ports of our own. A job that is put back waits until its credential has expired: 2 minutes by
  # default. Ended jobs are remembered, since there is no accounting (MinJobAge).
  cat >"$HOME_DIR/slurm.conf" <<END
$MARK
ClusterName=local
SlurmctldHost=$name(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation=$HOME_DIR/state
SlurmdSpoolDir=$HOME_DIR/spool
SlurmctldPidFile=$HOME_DIR/slurmctld.pid
SlurmdPidFile=$HOME_DIR/slurmd.pid
SlurmctldLogFile=$HOME_DIR/log/slurmctld.log
SlurmdLogFile=$HOME_DIR/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$HOME_DIR/log/jobcomp.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=2
MinJobAge=300
ReturnToService=2
SwitchType=switch/none
MpiDefault=none
NodeName=$name NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$name Default=YES MaxTime=INFINITE State=UP
END
  cp "$HOME_DIR/slurm.conf" $CONF
}

start_munge() {
  munge -n >/dev/null 2>&1 && return
  key=/etc/munge/munge.key
  if [ ! -s $key ]; then
    (umask 077 && dd if=/dev/urandom of=$key bs=1024 count=1 2>/dev/null)
    chown munge: $key
    chmod 400 $key
  fi
  mkdir -p /run/munge
  chown munge: /run/munge
  chmod 755 /run/munge
  runuser -u munge -- "$(command -v munged)" --pid-file=/run/munge/munged.pid
  touch "$HOME_DIR/munged-is-ours"
}

start() {
  ready
  if answers; then
    echo "running already"
    return
  fi
  configure
  start_munge
  alive "$HOME_DIR/slurmctld.pid" || slurmctld
  alive "$HOME_DIR/slurmd.pid" || slurmd
  n=0
  until answers; do
    n=$((n + 1))
    [ $n -lt 300 ] || fail "no node after 30 s: see $HOME_DIR/log"
    sleep 0.1
  done
  sinfo
}

end() { # pid file
  alive "$1" || return 0
  pid=$(cat "$1")
  kill "$pid" 2>/dev/null || true
  n=0
  while kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do
    n=$((n + 1))
    sleep 0.1
  done
}

stop() {
  ready
  if answers; then scancel --state=PENDING,RUNNING --user="$(id -un)" 2>/dev/null || true; fi
  end "$HOME_DIR/slurmd.pid"
  end "$HOME_DIR/slurmctld.pid"
  if [ -e "$HOME_DIR/munged-is-ours" ]; then
    end /run/munge/munged.pid
    rm -f "$HOME_DIR/munged-is-ours"
  fi
  rm -f $CONF
  echo "stopped"
}

status() {
  if command -v sinfo >/dev/null && answers; then
    sinfo
    squeue
  else
    echo "not running"
    return 3
  fi
}

case "${1:-}" in
start | stop | status) "$1" ;;
*)
  echo "usage: sh slurm/local-cluster.sh start|stop|status" >&2
  exit 2
  ;;
esac
