#!/usr/bin/env bash
# Take two emoji designs from npm and write pairs under $1 (default: work): train.tsv and val.tsv. ~130 MB, a minute.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-work}
mkdir -p "$work"
cd "$work"
for design in apple twitter; do
  npm pack --silent "emoji-datasource-$design@16.0.0" >/dev/null
  mkdir -p "$design" && tar xzf "emoji-datasource-$design-16.0.0.tgz" -C "$design" --strip-components=1
done
python3 "$here/pairs.py" .
