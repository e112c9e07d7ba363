#!/usr/bin/env bash
# Builds the documentation as a site, build/site/index.html, which opens and is searched from disk.
#
#   bash exec/build_docs.sh              stops at the first warning, such as a broken link
#   bash exec/build_docs.sh --site-dir DIR   any arguments of mkdocs build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source exec/setup.sh requirements-docs.txt
# the theme announces its successor at every build
NO_MKDOCS_2_WARNING=1 "$PYTHON" -m mkdocs build --strict --quiet "$@"
