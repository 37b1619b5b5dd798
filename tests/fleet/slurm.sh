#!/usr/bin/env bash
# deploy/slurm.sbatch on a Slurm of two nodes, both on this machine: namespace.sh slurm.sh CLASSIFY ASSETS
#
# As root, with the Debian packages slurm-wlm and munge. The rows of all parts must be those of one process, also after one part
# was deleted and the job ran again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
CLASSIFY=$(realpath "$1") CLASSIFY_HOME=$(realpath "$2")
export CLASSIFY CLASSIFY_HOME
directory=$(mktemp -d)
trap 'kill $(jobs -p) 2> /dev/null; wait; rm -rf "$directory"' EXIT
fail() { echo "FAILED: $1" >&2; tail -n 30 "$directory"/*.log >&2 || true; exit 1; }

ip addr add 127.0.0.2/8 dev lo
chmod 711 "$directory"
dd if=/dev/urandom of="$directory/munge.key" bs=1024 count=1 status=none
chmod 400 "$directory/munge.key"
munged --foreground --force --num-threads=2 --key-file="$directory/munge.key" --socket="$directory/munge.socket" \
    --pid-file="$directory/munge.pid" --log-file="$directory/munge.log" --seed-file="$directory/munge.seed" \
    > /dev/null 2>&1 &
export SLURM_CONF=$directory/slurm.conf
cat > "$SLURM_CONF" << END
ClusterName=fleet
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$directory/munge.socket
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool-%n
SlurmctldPidFile=$directory/slurmctld.pid
SlurmdPidFile=$directory/slurmd-%n.pid
SlurmctldLogFile=$directory/slurmctld.log
SlurmdLogFile=$directory/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
NodeName=one NodeHostname=$(hostname) NodeAddr=127.0.0.1 Port=17001 CPUs=1
NodeName=two NodeHostname=$(hostname) NodeAddr=127.0.0.2 Port=17002 CPUs=1
PartitionName=all Nodes=one,two Default=YES MaxTime=INFINITE State=UP
END
mkdir "$directory/state" "$directory/spool-one" "$directory/spool-two"
for _ in $(seq 50); do [ -S "$directory/munge.socket" ] && break; sleep 0.1; done
slurmctld -D > /dev/null 2>&1 &
slurmd -D -N one > /dev/null 2>&1 &
slurmd -D -N two > /dev/null 2>&1 &
for _ in $(seq 100); do
    [ "$(sinfo --noheader --states=idle --format=%D 2> /dev/null)" = 2 ] && break
    sleep 0.3
done
sinfo
sinfo --version

model=$CLASSIFY_HOME/models/squeezenet1.1.onnx
cd "$directory"
find "$CLASSIFY_HOME/photos/" -name '*.[jp]*g' | sort > all.txt
for _ in 1 2 3; do cat all.txt; done > list.txt
submit() { sbatch --wait --array=0-7 --output="$directory/task-%a.log" "$here/../../deploy/slurm.sbatch" 8 "$model" list.txt parts; }
# Times differ from run to run.
rows() { python3 -c 'import json, sys
for line in sys.stdin: print(json.dumps({k: v for k, v in json.loads(line).items() if not k.endswith("_ms")}, sort_keys=True))'; }

submit || fail "the array"
"$CLASSIFY" -m "$model" --input-list list.txt --format json --quiet | rows > whole.txt
"$CLASSIFY" merge parts | rows > merged.txt
cmp whole.txt merged.txt || fail "the merged rows differ"
echo "rows: $(wc -l < merged.txt), equal to those of one process; nodes: $(grep -o 'NodeList=[a-z]*' slurmctld.log | sort -u | xargs)"

rm parts/part-00003-of-00008.ndjson
before=$(stat --format='%n %Y %i' parts/part-*.ndjson)
submit || fail "the rerun"
after=$(stat --format='%n %Y %i' parts/part-*.ndjson | grep -v part-00003)
[ "$before" = "$after" ] || fail "the rerun wrote other parts anew"
"$CLASSIFY" merge parts | rows > again.txt
cmp whole.txt again.txt || fail "the merged rows after the rerun differ"
echo "rows after a deleted part and a rerun: $(wc -l < again.txt), equal; parts written by the rerun: 1 of 8"
