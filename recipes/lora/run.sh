#!/usr/bin/env bash
# Fine-tune the starter on a folder of your own pictures with LoRA. Times: docs/training.md.
# From the root of the checkout: bash recipes/lora/run.sh /path/to/folder
set -euo pipefail
samespace train recipes/lora/run.toml train="${1:?give a folder of pictures with captions}"
