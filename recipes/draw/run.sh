#!/usr/bin/env bash
# Build the starter generator and measure it. Times: README.md beside this file.
# From the root of the checkout: bash recipes/draw/run.sh [WORK]
set -euo pipefail
work=${1:-work}
bash recipes/starter/fetch.sh "$work"
python recipes/starter/prepare.py "$work"
python recipes/draw/prepare.py "$work"
samespace train recipes/draw/run.toml
python recipes/draw/atlas.py "$work" "$work/draw/run/generator"
samespace train recipes/draw/judge.toml
samespace eval draw "$work/draw/test.jsonl" --judge "$work/draw/judge/space" --with "$work/draw/run/generator" --sheets "$work/draw/sheets"
