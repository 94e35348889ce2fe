#!/usr/bin/env bash
# Fine-tune the starter's audio tower, add its Hopfield layer and calibrate it. Needs espeak-ng. Times: README.md beside this file.
# From the root of the checkout: bash recipes/sound/run.sh [STARTER_WORK] [WORK]
set -euo pipefail
starter=${1:-work} work=${2:-sounds}
bash recipes/starter/fetch.sh "$starter"
python recipes/starter/prepare.py "$starter"
python recipes/sound/prepare.py "$starter" "$work"
python recipes/sound/train.py "$work" steps=4000 start=shipped
python recipes/sound/export.py "$work"
python recipes/sound/hopfield.py "$work"
python recipes/starter/calibrate.py "$starter" "$work"
python recipes/sound/evaluate.py "$work"
