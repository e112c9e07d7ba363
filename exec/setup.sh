#!/usr/bin/env bash
# Makes the Python environment of this project, once: .venv with requirements.txt in it.
#
#   bash exec/setup.sh                        what training and testing need
#   bash exec/setup.sh requirements-dev.txt   another list of requirements
#   source exec/setup.sh                      the same, and leaves its path in $PYTHON
#
# GALR_PYTHON=/path/to/python uses an environment of your own and installs nothing.
# A second call returns at once unless a list of requirements or the Python version has changed.

galr_setup() {
  local root requirements base stamp wanted
  root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
  requirements="$root/${1:-requirements.txt}"
  if [ ! -f "$requirements" ]; then
    echo "exec/setup.sh: $requirements: no such list of requirements; name one that is in the project's folder" >&2
    return 2
  fi

  if [ -n "${GALR_PYTHON:-}" ]; then
    if ! "$GALR_PYTHON" -c 'import torch, h5py, nltk, pydantic, skimage, sklearn, tensorboard' 2>/dev/null; then
      echo "GALR_PYTHON=$GALR_PYTHON: it does not run, or lacks the packages of requirements.txt;" \
        "install them there, or unset GALR_PYTHON to have .venv made" >&2
      return 2
    fi
    PYTHON="$GALR_PYTHON"
    galr_check_torchvision
    return
  fi

  PYTHON="$root/.venv/bin/python"
  base="$(command -v python3 || command -v python || true)"
  if [ -z "$base" ] || ! "$base" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "exec/setup.sh: Python 3.10 or later is needed and python3 is not that;" \
      "install one, or name an environment of your own by GALR_PYTHON" >&2
    return 2
  fi

  stamp="$root/.venv/installed-$(basename "$requirements")"
  wanted="$("$base" --version) $(cat "$root"/requirements*.txt | cksum)"
  if [ -x "$PYTHON" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    return 0
  fi

  echo "Setting up $root/.venv from $(basename "$requirements") (some minutes, once)" >&2
  if [ ! -x "$PYTHON" ] && ! "$base" -m venv "$root/.venv"; then
    rm -rf "$root/.venv"
    echo "exec/setup.sh: $base cannot make a virtual environment; install its venv module" \
      "(Debian: apt-get install python3-venv), or name an environment of your own by GALR_PYTHON" >&2
    return 1
  fi
  if ! "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2; then
    echo "exec/setup.sh: pip could not install $(basename "$requirements") (its message is above);" \
      "check the network, then run this again: it goes on where it stopped" >&2
    return 1
  fi
  galr_check_torchvision || return
  echo "$wanted" >"$stamp"
}

# torchvision's compiled operators load only beside the torch release and build they were made for.
galr_check_torchvision() {
  if ! "$PYTHON" -c '
import torch, torchvision
boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
assert torchvision.ops.nms(boxes, torch.ones(1), 0.5).tolist() == [0]' >/dev/null 2>&1; then
    echo "exec/setup.sh: torchvision is missing or does not match the installed torch; reinstall the pair:" \
      "$PYTHON -m pip install --force-reinstall torch torchvision" >&2
    return 1
  fi
}

galr_setup "$@"
