#!/usr/bin/env bash
# Build the native model and measure it; needs espeak-ng. From the root of the checkout: bash recipes/native/run.sh [WORK]
set -euo pipefail
work=${1:-work}
[ -f "$work/draw/train.jsonl" ] || { bash recipes/starter/fetch.sh "$work"; python recipes/starter/prepare.py "$work"; python recipes/draw/prepare.py "$work"; }
[ -d "$work/draw/judge/space" ] || python recipes/draw/judge.py "$work"
python recipes/native/prepare.py "$work"
train=$(for one in captions:5 questions:1 stories:1 spoken:2; do echo "{path=\"$work/native/${one%:*}.jsonl\", weight=${one#*:}}"; done | paste -sd,)
samespace train recipes/native/run.toml "tokenizer=$work/native" "out=$work/native/run" "train=[$train]" "val=[\"$work/native/val.jsonl\", \"$work/native/val_spoken.jsonl\"]"
samespace eval native "$work/draw/test.jsonl" --spoken "$work/native/test_spoken.jsonl" --judge "$work/draw/judge/space" --with "$work/native/run/native"
