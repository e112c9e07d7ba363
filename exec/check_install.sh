#!/usr/bin/env bash
# Installs the project as a package in a new environment and runs it from another folder.
#
#   bash exec/check_install.sh     some minutes; the environment is deleted afterwards
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check "$root[search]"
export PATH="$folder/env/bin:$PATH"

galr --version
galr demo --out data/demo_precomp --train 48 --test 16 >/dev/null
galr vocab --data_path data --data_name demo_precomp --out vocab/demo_splits_vocab.json
galr local-features build --format paddledet --detections data/demo_precomp/detections \
  --images data/demo_precomp/images --out data/demo_precomp/local_features.h5
galr train --path_opt demo_GaLR --set optim.epochs=1 --set k_fold.nums=1
galr test --path_opt demo_GaLR --set k_fold.nums=1 --set optim.epochs=1
galr export --checkpoint checkpoint/demo_GaLR/0/best.pth --out shared
galr search index --checkpoint shared --images data/demo_precomp/images --out archive
galr search query --index archive "a white plane"
python -c "import galr; galr.load('shared').encode_texts('a white plane')"
if galr train --path_opt UCM_GaLR 2>message; then
  echo "check_install: training without data should have failed" >&2
  exit 1
fi
cat message
echo "check_install: all of it ran in $folder"
