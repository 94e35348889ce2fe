#!/usr/bin/env bash
# Build the starter space from its sources. Times: README.md beside this file.
# From the root of the checkout: bash recipes/starter/run.sh [WORK]
set -euo pipefail
work=${1:-work}
bash recipes/starter/fetch.sh "$work"
python recipes/starter/prepare.py "$work"
python recipes/starter/features.py "$work" 8
python recipes/starter/train.py "$work" steps=2500 lr=1e-3
python recipes/starter/export.py "$work"
python recipes/starter/calibrate.py "$work"
python recipes/starter/evaluate.py "$work"
python recipes/starter/heatmaps.py "$work"
