"""rclip's half, run by the interpreter of its own environment: `rclip_side.py index HOME PHOTOGRAPHS`."""

import json
import os
import sys
import tempfile
import time


def index(home: str, photographs: str) -> dict:
    """rclip's own indexing (RClip.ensure_index) into a new database, model loaded beforehand."""
    os.environ["RCLIP_DATADIR"] = home
    from rclip import db, main, model

    loaded = model.Model()
    _ = loaded._session_visual
    with tempfile.TemporaryDirectory() as scratch:
        database = db.DB(os.path.join(scratch, "bench.sqlite3"))
        rclip = main.RClip(loaded, database, 8, None)
        started = time.perf_counter()
        rclip.ensure_index(photographs)
        seconds = time.perf_counter() - started
        count = database._con.execute("SELECT COUNT(*) FROM images WHERE deleted IS NULL").fetchone()[0]
    assert count == len(os.listdir(photographs)), f"rclip indexed {count}"
    return {"seconds": seconds, "files": count}


if __name__ == "__main__":
    measured = index(*sys.argv[2:])
    print(json.dumps(measured))
