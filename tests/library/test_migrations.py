"""Albums, tags, people and stars of Google Takeout, digiKam and Immich, taken over."""

import json
import sqlite3
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from samespace.core.errors import LibraryError, QueryError
from samespace.library.library import Library
from samespace.library.migrations import digikam, immich, migrate, takeout


@pytest.fixture
def library(tmp_path, album, tiny_space) -> Library:
    opened = Library(tmp_path / "library", tiny_space)
    opened.add([album])
    return opened


def found(library: Library, query: str) -> list[str]:
    return sorted(Path(hit.path).name for hit in library.search(query, top=100))


def test_takeouts_folders_with_a_title_are_albums(library, album):
    (album / "more" / "métadonnées.json").write_text(json.dumps({"title": 'Space "2019"', "access": "protected"}), "utf-8")
    (album / "more" / "astronaut.png.json").write_text(
        json.dumps({"title": "astronaut.png", "photoTakenTime": {"timestamp": "1"}})
    )
    (album / "broken.json").write_text("{")
    done = migrate(library, takeout(str(album)))
    assert (done.marked, done.missing) == (1, ())
    assert found(library, 'album:"space 2019"') == ["astronaut.png"]


def test_takeouts_folders_of_years_are_no_albums(library, album):
    year = album / "Photos from 2019"
    year.mkdir()
    (album / "chelsea.png").rename(year / "cat.png")
    (year / "metadata.json").write_text(json.dumps({"title": "Photos from 2019"}))
    assert migrate(library, takeout(str(album))).marked == 0


def digikam_database(path: Path, root: str) -> Path:
    with sqlite3.connect(path) as made:
        made.executescript(
            """CREATE TABLE AlbumRoots (id INTEGER, label TEXT, status INTEGER, type INTEGER, identifier TEXT, specificPath TEXT);
            CREATE TABLE Albums (id INTEGER, albumRoot INTEGER, relativePath TEXT);
            CREATE TABLE Images (id INTEGER, album INTEGER, name TEXT, status INTEGER);
            CREATE TABLE ImageInformation (imageid INTEGER, rating INTEGER);
            CREATE TABLE Tags (id INTEGER, pid INTEGER, name TEXT);
            CREATE TABLE ImageTags (imageid INTEGER, tagid INTEGER);"""
        )
        made.execute("INSERT INTO AlbumRoots VALUES (1, 'p', 0, 1, ?, '/')", (root if ":" in root else f"volumeid:?path={root}",))
        made.executemany("INSERT INTO Albums VALUES (?, 1, ?)", [(1, "/"), (2, "/more")])
        images = [
            (1, 1, "chelsea.png", 1),
            (2, 2, "astronaut.png", 1),
            (3, 1, "gone.png", 1),
            (4, 1, "coffee.png", 3),
            (5, 1, "rocket.jpg", 1),
        ]
        made.executemany("INSERT INTO Images VALUES (?, ?, ?, ?)", images)
        made.executemany("INSERT INTO ImageInformation VALUES (?, ?)", [(1, 4), (2, -1), (3, 5), (4, 5)])
        tags = [
            (1, 0, "animals"),
            (2, 1, "cat"),
            (3, 0, "People"),
            (4, 3, "Eileen"),
            (5, 0, "_Digikam_Internal_Tags_"),
            (6, 5, "Picked"),
        ]
        made.executemany("INSERT INTO Tags VALUES (?, ?, ?)", tags)
        made.executemany("INSERT INTO ImageTags VALUES (?, ?)", [(1, 2), (2, 4), (5, 6), (3, 2)])
    return path


def test_digikams_tags_people_and_stars(library, album, tmp_path):
    done = migrate(library, digikam(str(digikam_database(tmp_path / "digikam4.db", str(album)))))
    assert done.marked == 2 and [Path(path).name for path in done.missing] == ["gone.png"]
    assert found(library, "tag:cat rating:4") == ["chelsea.png"]
    assert found(library, "person:eileen") == ["astronaut.png"]
    assert found(library, "rating:5") == [] and found(library, "tag:picked") == []


@pytest.mark.parametrize("form", ["volumeid:?path={}&fileuuid=9d3b-1", "networkshareid:?mountpath={}", "volumeid:?path={}"])
def test_digikams_collections_of_every_kind(library, album, tmp_path, form):
    root = quote(str(album), safe="" if "mount" in form else "/")
    assert migrate(library, digikam(str(digikam_database(tmp_path / "digikam4.db", form.format(root))))).marked == 2
    assert next(digikam(str(digikam_database(tmp_path / "b.db", "volumeid:?path=/C++/a%26b"))))[0] == "/C++/a&b/chelsea.png"


def test_files_that_lie_elsewhere_here(library, album, tmp_path):
    database = str(digikam_database(tmp_path / "digikam4.db", "/mnt/photos"))
    assert migrate(library, digikam(database)).marked == 0
    assert migrate(library, digikam(database), [f"/mnt/photos={album}"]).marked == 2
    assert migrate(library, digikam(database), [f"/mnt/pho={album}"]).marked == 0  # a part of a folder's name is no folder
    with pytest.raises(QueryError, match="takes whose place"):
        migrate(library, digikam(database), ["/mnt/photos"])


class Immich(BaseHTTPRequestHandler):
    """As much of Immich's API as is asked for, in two pages."""

    root = ""

    def answer(self, values, code=200):
        data = json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def allowed(self) -> bool:
        if self.headers["x-api-key"] != "right":
            self.answer({"message": "Invalid API key"}, 401)
        return self.headers["x-api-key"] == "right"

    def do_GET(self):
        if not self.allowed():
            return
        if self.path == "/api/albums":
            self.answer([{"id": "a1", "albumName": "Pets"}])
        else:
            self.answer({"assets": [{"originalPath": f"{self.root}/chelsea.png"}]})

    def do_POST(self):
        if not self.allowed():
            return
        page = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["page"]
        asset = [
            {"originalPath": f"{self.root}/chelsea.png", "isFavorite": True, "exifInfo": {"rating": 5}, "tags": [{"name": "cat"}], "people": []},
            {"originalPath": f"{self.root}/more/astronaut.png", "isFavorite": False, "people": [{"name": "Eileen"}, {"name": ""}]},
        ][page - 1]  # fmt: skip
        self.answer({"assets": {"items": [asset], "nextPage": "2" if page == 1 else None}})

    def log_message(self, *_):
        pass


@pytest.fixture
def server(album, monkeypatch):
    monkeypatch.setattr(Immich, "root", str(album))
    made = HTTPServer(("127.0.0.1", 0), Immich)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    thread.join()
    made.server_close()


def test_immichs_albums_favourites_tags_and_people(library, server, monkeypatch):
    monkeypatch.setenv("IMMICH_API_KEY", "right")
    assert migrate(library, immich(server)).marked == 2
    assert found(library, "album:pets is:favourite rating:5 tag:cat") == ["chelsea.png"]
    assert found(library, "person:Eileen") == ["astronaut.png"]


@pytest.mark.parametrize(("key", "message"), [("", "IMMICH_API_KEY"), ("wrong", "answers 401; make a key")])
def test_a_key_that_is_missing_or_wrong_is_one_sentence(library, server, monkeypatch, key, message):
    monkeypatch.setenv("IMMICH_API_KEY", key)
    with pytest.raises(LibraryError, match=message):
        migrate(library, immich(server))


def test_what_is_not_there_is_one_sentence(library, tmp_path, monkeypatch):
    (tmp_path / "no.db").write_text("this is no database")
    monkeypatch.setenv("IMMICH_API_KEY", "right")
    for said, message in (
        (takeout(str(tmp_path / "none")), "is no folder; unpack the archives"),
        (digikam(str(tmp_path / "none")), "is no file; digiKam keeps its database"),
        (digikam(str(tmp_path / "no.db")), "cannot be read as digiKam's database"),
        (immich("http://127.0.0.1:1"), "cannot be read .* give the address of an Immich server"),
    ):
        with pytest.raises(LibraryError, match=message):
            migrate(library, said)
