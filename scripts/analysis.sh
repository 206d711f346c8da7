#!/bin/sh
# Evaluate, probe and time base, SFT and CoAT, and draw what the block rebuilds, into one folder:
#   sh scripts/analysis.sh [FOLDER]
# Both arms must have been trained (make train). Evaluation and probes share the cores; latency has them to itself.
#   COAT=…     the command, .venv/bin/coat by default
#   CONFIG=…   what was trained, jobs/configs/embedded.yaml by default
set -eu
out=${1:-docs/results/analysis}
coat=${COAT:-.venv/bin/coat}
config=${CONFIG:-jobs/configs/embedded.yaml}
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
mkdir -p "$out"

"$coat" probe "$config" --model base --model sft --model coat --curves --report "$out" >"$out/probes.log" 2>&1 &
probes=$!
trap 'kill "$probes" 2>/dev/null || true' EXIT
"$coat" evaluate "$config" --model base --model sft --model coat --minus sft --report "$out"
wait "$probes"
trap - EXIT
"$coat" latency "$config" --model coat --report "$out"
"$coat" latency "$config" --model coat --answer-tokens 16 --report "$out/equal-lengths"
echo "all of it lies in $out"
