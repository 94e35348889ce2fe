#!/usr/bin/env bash
# Build the starter generator and measure it. Times: README.md beside this file.
# From the root of the checkout: bash recipes/draw/run.sh [WORK]
set -euo pipefail
work=${1:-work}
bash recipes/starter/fetch.sh "$work"
python recipes/starter/prepare.py "$work"
python recipes/draw/prepare.py "$work"
sources() { echo "[{path=\"$work/draw/$1.jsonl\", image=\"filepath\", caption=\"captions\"}]"; }
samespace train recipes/draw/run.toml "out=$work/draw/run" "train=$(sources train)" "val=$(sources val)"
python recipes/draw/atlas.py "$work" "$work/draw/run/generator"
python recipes/draw/judge.py "$work"
samespace eval draw "$work/draw/test.jsonl" --judge "$work/draw/judge/space" --with "$work/draw/run/generator" --sheets "$work/draw/sheets"
