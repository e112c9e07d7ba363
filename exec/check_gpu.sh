#!/usr/bin/env bash
# Checks on one CUDA GPU, in a few minutes, what the project claims for CUDA, and prints one table.
#
#   bash exec/check_gpu.sh                     without a GPU it says so and checks on the CPU
#   bash exec/check_gpu.sh --out check.json    the rows as JSON, too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source exec/setup.sh requirements.txt
"$PYTHON" benchmarks/check_device.py "$@"
