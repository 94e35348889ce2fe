#!/usr/bin/env bash
# Build the starter assistant from its sources. Times: README.md beside this file.
# From the root of the checkout: bash recipes/assistant/run.sh [STARTER_WORK]
set -euo pipefail
starter=${1:-work}
bash recipes/starter/fetch.sh "$starter"
python recipes/starter/prepare.py "$starter"
python recipes/assistant/prepare.py "$starter" scenes pictures=40000
samespace assistants pull SmolLM2-135M-Instruct --yes
samespace train recipes/assistant/regions.toml train=scenes/train.json val=scenes/val.json
python recipes/assistant/labels.py "$starter" runs/regions/assistant half-labelled half=first
python recipes/assistant/prepare.py "$starter" other-half pictures=12000 half=second
python recipes/assistant/grounding.py half-labelled other-half/train.json other-half/val.json
samespace train recipes/assistant/answers.toml start=half-labelled train=other-half/train.json val=other-half/val.json
python recipes/assistant/labels.py "$starter" runs/answers/assistant labelled
python recipes/assistant/export.py labelled
samespace eval vqa scenes/held_out.json -a labelled
samespace eval vqa scenes/held_out.json -a labelled --blind
