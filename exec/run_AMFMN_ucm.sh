#!/usr/bin/env bash
# Trains AMFMN on UCM over the folds, then evaluates them with and without rerank.
#
#   bash exec/run_AMFMN_ucm.sh                              on the first GPU, or on the CPU where there is none
#   CARD=1 bash exec/run_AMFMN_ucm.sh                       on the GPU of that number
#   bash exec/run_AMFMN_ucm.sh --set optim.lr=0.0001           any option; see docs/options.md
#
# Run again after an interruption, it goes on where it stopped.
source "$(dirname "${BASH_SOURCE[0]}")/run_experiment.sh"
run_experiment options/UCM_AMFMN.yaml "$@"
