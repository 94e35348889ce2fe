#!/usr/bin/env bash
# Train a small space from new weights on two emoji designs. Times: docs/training.md.
# From the root of the checkout: bash recipes/emoji/run.sh
set -euo pipefail
bash recipes/emoji/fetch.sh work
samespace train recipes/emoji/run.toml
