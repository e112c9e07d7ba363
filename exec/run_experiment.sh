# What the run_GaLR_*.sh share; sourced by them: run_experiment OPTIONS [--set key=value ...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source exec/setup.sh requirements.txt
if [ -n "${CARD:-}" ]; then
  export CUDA_VISIBLE_DEVICES="$CARD"
fi

run_experiment() {
  local options="$1"
  shift
  "$PYTHON" train.py --path_opt "$options" --resume "$@"
  "$PYTHON" test.py --path_opt "$options" "$@"
}
