#!/usr/bin/env bash
# Trains AMFMN on Sydney over the folds, then evaluates them with and without rerank.
#
#   bash exec/run_AMFMN_sydney.sh                              on the first GPU, or on the CPU where there is none
#   CARD=1 bash exec/run_AMFMN_sydney.sh                       on the GPU of that number
#   bash exec/run_AMFMN_sydney.sh --set optim.lr=0.0001           any option; see docs/options.md
#
# Run again after an interruption, it goes on where it stopped.
source "$(dirname "${BASH_SOURCE[0]}")/run_experiment.sh"
run_experiment options/Sydney_AMFMN.yaml "$@"
