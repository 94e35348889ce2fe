"""What files say about themselves, in their segments."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ...core.errors import error_summary
from ...core.machine import usable_cpus
from ...media.metadata.description import Description, describe
from ..store.filter import microseconds
from ..store.lance import BATCH, Store, path_conditions
from ..store.records import File, Segment
from .places import place_name
from .report import Report


def described(segment: Segment, file: File, description: Description) -> Segment:
    """Return a segment with what its file says about itself."""
    taken_at, lat, lon = description.taken_at, description.lat, description.lon
    return replace(
        segment,
        taken_at=taken_at,
        time=microseconds(taken_at) if taken_at else file.mtime // 1000,
        lat=lat,
        lon=lon,
        place=None if lat is None or lon is None else place_name(lat, lon),
        caption=description.caption or None,
        keywords="\n".join(description.keywords) or None,
        people="\n".join(description.people) or None,
        camera=description.camera or None,
        rating=description.rating,
        described=file.described,
    )


def describe_again(store: Store, files: list[File], report: Report) -> None:
    """Read again what describes files whose content is unchanged, and store it."""
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for i in range(0, len(files), BATCH):
            batch = files[i : i + BATCH]
            described = [(file, found) for file, found in zip(batch, pool.map(_describe, batch))]
            _store(store, {file.path: (file, found) for file, found in described if isinstance(found, Description)})
            for file, found in described:
                report.skipped += found.problems if isinstance(found, Description) else [(file.path, found)]


def _describe(file: File) -> Description | str:
    """Return what a file says about itself; or why it cannot be read now: what is known of it stays, and it is asked again the next time.

    One that no reader was prepared for is a problem of its own, and of no other file.
    """
    try:
        with open(file.path, "rb") as opened:  # the readers take what cannot be read for something that says nothing
            opened.read(1)
        return describe(Path(file.path), file.kind)
    except OSError as error:
        return f"it cannot be read now ({error_summary(error)}); index its folder again"
    except Exception as error:  # what is in files is made by many programs
        return Description(problems=((file.path, f"what describes it cannot be read ({error_summary(error)}); write it again"),))


def _store(store: Store, found: dict[str, tuple[File, Description]]) -> None:
    """Store descriptions, by path."""
    for condition in path_conditions(found):
        store.annotate(condition, lambda segment: described(segment, *found[segment.path]))
