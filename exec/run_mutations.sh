#!/usr/bin/env bash
# Mutation testing of the modules that numbers come from, by cosmic-ray in an environment of its own.
#
#   bash exec/run_mutations.sh                             a sample of each module
#   bash exec/run_mutations.sh galr/training/loss.py --most 1000   every mutant of one module
#
# GALR_PYTHON names the Python of the project's environment, by default .venv/bin/python;
# GALR_MUTATION_VENV the folder of the other environment, by default .venv-mutations.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PYTHON="${GALR_PYTHON:-.venv/bin/python}"
VENV="${GALR_MUTATION_VENV:-.venv-mutations}"
if [ ! -x "$VENV/bin/cosmic-ray" ]; then
    "$PYTHON" -m venv "$VENV"
    # the project's packages beside its own
    "$PYTHON" -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
        > "$("$VENV/bin/python" -c "import sysconfig; print(sysconfig.get_path('purelib'))")/project.pth"
    "$VENV/bin/python" -m pip install --quiet "cosmic-ray>=8.4,<9"
fi
OMP_NUM_THREADS=1 "$VENV/bin/python" tests/mutations.py "$@"
