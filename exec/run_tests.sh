#!/usr/bin/env bash
# Sets up the environment, then runs format check, lint, types, the test suite, the tour and the documentation, and
# compares requirements.lock with the ranges and the package index and installs from it.
#
#   bash exec/run_tests.sh                    everything
#   bash exec/run_tests.sh tests/model -x     any arguments of pytest
#
# Tests on real data run where GALR_DATA_ROOT names a folder that holds rsitmd_precomp and its kin.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source exec/setup.sh requirements-dev.txt

"$PYTHON" -m ruff format --check .
"$PYTHON" -m ruff check .
"$PYTHON" -m mypy
# one process per core, each with one thread; neighbours share fixtures, so they stay on one process
OMP_NUM_THREADS=1 "$PYTHON" -m pytest -n auto --dist worksteal "$@"
if [ $# -eq 0 ]; then
  bash exec/check_lock.sh --resolve --install
  "$PYTHON" -m pytest -m tour tests/test_tour.py # docs/tour.ipynb, on all cores
  bash exec/build_docs.sh
fi
