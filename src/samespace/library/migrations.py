"""What people said of their files in another program, Google Takeout, digiKam or Immich, taken over as marks: albums, tags, people, stars.

The files themselves must be indexed here, by the path that the other program knows, or by one that takes its place.
"""

import contextlib
import json
import os
import re
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.characters import joined_spaces
from ..core.errors import LibraryError, QueryError
from ..media.kinds import kind_of
from .library import Library
from .store.marks import MAX_NAME, Change

TIMEOUT_SECONDS = 30
_YEAR = re.compile(r"\D(?:18|19|20)\d\d$")
"""How the names of the folders end that hold all pictures of a year."""
PEOPLE = ("people", "personen", "personnes", "personas", "persone")
"""Names of digiKam's tag whose children are people, in lower case."""

Statements = Iterator[tuple[str, Change]]
"""(path, what is said of the file)"""


@dataclass(frozen=True)
class Migrated:
    """What was taken over."""

    marked: int
    """Files."""
    missing: tuple[str, ...]
    """Paths of which something is said, and which are not indexed here."""


def takeout(folder: str) -> Statements:
    """Yield what an unpacked Google Takeout says: each folder with a title is an album. Raises LibraryError.

    Descriptions, people and times in the files beside pictures are read by indexing.
    """
    if not os.path.isdir(folder):
        raise LibraryError(f"{folder} is no folder; unpack the archives of Google Takeout, and give the folder that holds them")
    for where, _, names in os.walk(os.path.abspath(folder)):
        title = next((title for name in names if name.endswith(".json") and (title := _album_title(Path(where, name)))), "")
        if _YEAR.search(title) and title == os.path.basename(where):
            continue  # "Photos from 2019", which Google makes of every year
        for name in names:
            if title and kind_of(Path(name)):
                yield os.path.join(where, name), Change(albums=(title,))


def _album_title(path: Path) -> str:
    """Return an album's title in Google's metadata.json, whose name is in the user's language; otherwise nothing."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        values = json.loads(path.read_bytes()) if path.stat().st_size < 1_000_000 else {}
        if isinstance(values, dict) and "photoTakenTime" not in values and isinstance(values.get("title"), str):
            return _name(values["title"])
    return ""


def digikam(database: str) -> Statements:
    """Yield what digiKam's database, digikam4.db, says: tags, people, stars. Raises LibraryError."""
    if not os.path.isfile(database):
        raise LibraryError(f"{database} is no file; digiKam keeps its database, digikam4.db, in its folder of pictures")
    try:
        with contextlib.closing(sqlite3.connect(f"{Path(database).absolute().as_uri()}?mode=ro", uri=True)) as opened:
            tags = {id: (parent, name) for id, parent, name in opened.execute("SELECT id, pid, name FROM Tags")}
            of_image: dict[int, list[int]] = defaultdict(list)
            for image, tag in opened.execute("SELECT imageid, tagid FROM ImageTags"):
                of_image[image].append(tag)
            rows = opened.execute(
                "SELECT Images.id, AlbumRoots.specificPath, AlbumRoots.identifier, Albums.relativePath, Images.name, ImageInformation.rating "
                "FROM Images JOIN Albums ON Images.album = Albums.id JOIN AlbumRoots ON Albums.albumRoot = AlbumRoots.id "
                "LEFT JOIN ImageInformation ON ImageInformation.imageid = Images.id WHERE Images.status IN (1, 2)"
            ).fetchall()
    except sqlite3.Error as error:
        raise LibraryError(f"{database} cannot be read as digiKam's database ({error}); give its digikam4.db") from None
    for image, root, identifier, album, name, rating in rows:
        base = _collection(identifier or "", root or "")
        paths = [_tag_path(tag, tags) for tag in of_image[image]]
        plain = [path[-1] for path in paths if path and not path[0].startswith("_Digikam") and path[0].lower() not in PEOPLE]
        people = [path[-1] for path in paths if len(path) > 1 and path[0].lower() in PEOPLE]
        change = Change(_names(plain), people=_names(people), rating=rating if rating in (1, 2, 3, 4, 5) else None)
        if change != Change():
            yield os.path.normpath(f"{base}/{album}/{name}"), change


def _collection(identifier: str, within: str) -> str:
    """Return the folder of one of digiKam's collections: volumeid:?path=/home/me/Pictures, or networkshareid:?mountpath=%2Fmnt%2Fnas."""
    pairs = (pair.partition("=") for pair in identifier.partition("?")[2].split("&"))
    values = {name: urllib.parse.unquote(value) for name, _, value in pairs}
    place = values.get("path") or values.get("mountpath") or ""
    return f"{place}/{within.strip('/')}" if place else within


def _tag_path(tag: int, tags: dict[int, tuple[int, str]]) -> list[str]:
    """Return the names from the top to a tag."""
    path: list[str] = []
    while tag in tags and len(path) < 50:
        tag, name = tags[tag]
        path.insert(0, name)
    return path


def immich(address: str) -> Statements:
    """Yield what an Immich server says: albums, favourites, tags, people, stars. Raises LibraryError.

    address: of the server, such as http://127.0.0.1:2283; its API key is $IMMICH_API_KEY.
    """
    key = os.environ.get("IMMICH_API_KEY", "")
    if not key:
        raise LibraryError("Immich asks for a key; make one in its account settings, and set IMMICH_API_KEY to it")

    def get(path: str, body: dict[str, Any] | None = None) -> Any:
        url, data = f"{address.rstrip('/')}/api/{path}", None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            url, data, {"x-api-key": key, "Accept": "application/json", "Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            remedy = (
                "make a key that may read albums and assets"
                if error.code in (401, 403)
                else "give the address of an Immich server"
            )
            raise LibraryError(f"{url} answers {error.code}; {remedy}") from None
        except (OSError, ValueError) as error:
            raise LibraryError(f"{url} cannot be read ({error}); give the address of an Immich server") from None

    try:
        yield from _of_immich(get)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise LibraryError(f"{address} answers what no Immich does ({error!r}); give the address of an Immich server") from None


def _of_immich(get: Callable[..., Any]) -> Statements:
    """Yield what a server says; `get` asks it. Raises KeyError, TypeError, AttributeError, ValueError where it answers something else."""
    for album in get("albums"):
        for asset in get(f"albums/{album['id']}").get("assets", ()):
            yield str(asset["originalPath"]), Change(albums=_names([album.get("albumName", "")]))
    page: int | None = 1
    while page:
        assets = get("search/metadata", {"page": page, "size": 1000, "withExif": True, "withPeople": True})["assets"]
        for asset in assets["items"]:
            tags = _names([tag.get("name", "") for tag in asset.get("tags") or ()])
            people = _names([person.get("name", "") for person in asset.get("people") or ()])
            rating = (asset.get("exifInfo") or {}).get("rating")
            stars = rating if rating in (1, 2, 3, 4, 5) else None
            change = Change(tags, people=people, favourite=True if asset.get("isFavorite") else None, rating=stars)
            if change != Change():
                yield str(asset["originalPath"]), change
        page = int(assets["nextPage"]) if assets.get("nextPage") else None


PROGRAMS = {"takeout": takeout, "digikam": digikam, "immich": immich}


def migrate(library: Library, statements: Iterable[tuple[str, Change]], moved: Iterable[str] = ()) -> Migrated:
    """Mark indexed files with what another program says of them.

    moved: entries FROM=TO, for beginnings of paths that the files have here instead. Raises QueryError, LibraryError, LibraryBusy.
    """
    library.check_exists()
    pairs = [_moved(entry) for entry in moved]
    changes: dict[str, list[Change]] = defaultdict(list)
    for path, change in statements:
        begins, becomes = next(
            ((old, new) for old, new in pairs if path.startswith(os.path.join(old, "")) or path == old), ("", "")
        )
        changes[os.path.abspath(becomes + path.removeprefix(begins))].append(change)
    hashes = library.store.hashes(changes)
    library.marks.change_each({path: (hash, changes[path]) for path, hash in hashes.items()})
    return Migrated(len(hashes), tuple(sorted(changes.keys() - hashes.keys())))


def _moved(entry: str) -> tuple[str, str]:
    old, separator, new = entry.partition("=")
    if not (separator and old and new):
        raise QueryError(f"{entry!r} does not say what takes whose place; write /their/folder=/my/folder")
    return old, os.path.abspath(os.path.expanduser(new)) + ("/" if old.endswith("/") else "")


def _names(names: Iterable[object]) -> tuple[str, ...]:
    return tuple(name for name in map(_name, names) if name)


def _name(text: object) -> str:
    """Return a name that can be asked for: without quotation marks and control characters, not too long."""
    return joined_spaces(str(text or "").replace('"', " "))[:MAX_NAME]
