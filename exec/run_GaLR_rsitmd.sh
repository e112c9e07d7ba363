#!/usr/bin/env bash
# Trains GaLR on RSITMD over the folds, then evaluates them with and without rerank.
#
#   bash exec/run_GaLR_rsitmd.sh                              on the first GPU, or on the CPU where there is none
#   CARD=1 bash exec/run_GaLR_rsitmd.sh                       on the GPU of that number
#   bash exec/run_GaLR_rsitmd.sh --set dataset.local_path=null   any option; see docs/options.md
#
# Run again after an interruption, it goes on where it stopped.
source "$(dirname "${BASH_SOURCE[0]}")/run_experiment.sh"
run_experiment options/RSITMD_GaLR.yaml "$@"
