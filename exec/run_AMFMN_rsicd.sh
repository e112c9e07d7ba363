#!/usr/bin/env bash
# Trains AMFMN on RSICD over the folds, then evaluates them with and without rerank.
#
#   bash exec/run_AMFMN_rsicd.sh                              on the first GPU, or on the CPU where there is none
#   CARD=1 bash exec/run_AMFMN_rsicd.sh                       on the GPU of that number
#   bash exec/run_AMFMN_rsicd.sh --set optim.lr=0.0001           any option; see docs/options.md
#
# Run again after an interruption, it goes on where it stopped.
source "$(dirname "${BASH_SOURCE[0]}")/run_experiment.sh"
run_experiment options/RSICD_AMFMN.yaml "$@"
