#!/usr/bin/env bash
# Semantic localisation on drawn data: the demo's model (trained where it is missing), a scene of
# 4000 x 3000 pixels of its places, and the measures of twelve queries beside chance.
#
#   bash exec/run_localise_demo.sh                    all of it
#   bash exec/run_localise_demo.sh --windows 512      any option of python -m galr.localise evaluate
cd "$(dirname "${BASH_SOURCE[0]}")/.."
model=checkpoint/demo_GaLR/0/best.pth
[ -f "$model" ] || bash exec/run_GaLR_demo.sh || exit
set -euo pipefail
source exec/setup.sh requirements-scenes.txt
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"

"$PYTHON" -m galr.demo --large-scene --out data/demo_scene
"$PYTHON" -m galr.localise evaluate --annotations data/demo_scene/anno.json --images data/demo_scene \
  --checkpoint "$model" --out data/demo_scene/result --chance "$@"
