"""Emoji folders -> train.tsv and val.tsv: `filepath`, `title`; one emoji in twenty is for validation, in one design.

    python recipes/emoji/pairs.py WORK

A validation emoji's picture is not trained on in the Twitter design; its Apple picture is.
"""

import csv
import hashlib
import json
import sys
from pathlib import Path


def main(work: Path) -> None:
    rows: dict[str, list[tuple[str, str]]] = {"train": [], "val": []}
    for emoji in json.loads((work / "twitter" / "emoji.json").read_text("utf-8")):
        name = (emoji["name"] or emoji["short_name"].replace("_", " ")).lower()
        for design in ("apple", "twitter"):
            file = f"{design}/img/{design}/64/{emoji['image']}"
            kept_back = design == "twitter" and hashlib.sha256(file.encode()).digest()[0] < 13
            if (work / file).exists():
                rows["val" if kept_back else "train"].append((file, name))
    for split, pairs in rows.items():
        with open(work / f"{split}.tsv", "w", encoding="utf-8", newline="") as out:
            csv.writer(out, delimiter="\t", lineterminator="\n").writerows([("filepath", "title"), *pairs])
        print(f"{split}: {len(pairs)} pairs")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "work"))
