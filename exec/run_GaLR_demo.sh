#!/usr/bin/env bash
# The whole of GaLR on drawn demo data: environment, data, vocabulary, local features, training over
# the folds, evaluation with and without rerank. Minutes on two CPU cores; nothing is downloaded but
# the Python packages.
#
#   bash exec/run_GaLR_demo.sh                       all of it; a second call does only what is missing
#   bash exec/run_GaLR_demo.sh --set optim.epochs=20   any option; see docs/options.md
source "$(dirname "${BASH_SOURCE[0]}")/run_experiment.sh"

# threads that wait do not spin: on two cores that others use as well, spinning halves the speed
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"

data=data/demo_precomp
"$PYTHON" -m galr.demo --out "$data"
"$PYTHON" vocab.py --data_path data --data_name demo_precomp --out vocab/demo_splits_vocab.json
"$PYTHON" -m galr.local_features build --format paddledet \
  --detections "$data/detections" --images "$data/images" --out "$data/local_features.h5"

run_experiment options/demo_GaLR.yaml "$@"

cat <<'END'

What there is now:
  checkpoint/demo_GaLR/results.json      the table above, with options, seed and versions
  checkpoint/demo_GaLR/<fold>/           best.pth, last.pth, log.csv, options.yaml, TensorBoard events
Next:
  .venv/bin/tensorboard --logdir checkpoint/demo_GaLR     the curves
  bash exec/run_GaLR_rsitmd.sh                            the same on RSITMD (docs/data.md: where to get it)
END
