"""The pages, and the routes that they ask. They load nothing from anywhere but here."""

import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader
from starlette.exceptions import HTTPException

from ..core.paths import absolute, to_path, to_text
from ..explain.heatmap import Looked, look, phrase
from ..library.demo import PHOTOGRAPHS
from ..library.indexing.segments import LONG, place, whole
from ..library.library import Library
from ..library.results import Hit
from ..library.store.filter import Filter
from ..media.document import marks
from ..spaces import hub
from .files import Pictures, inside
from .indexing import Indexing
from .installed import installed
from .pictures import picture
from .schemas import Folder, PageSearch, Weighted

HERE = Path(__file__).parent
POLICY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every page and picture: no script but ours, no request to anywhere else."""
COOKIE = "samespace-key"
LIKELY = 0.5
"""Hits of a lower relevance stand below the line."""
LOOKED = 64
"""Pictures whose windows are remembered."""


class Pages:
    """What the pages ask a library for."""

    def __init__(self, library: Library):
        self.library, self.pictures = library, Pictures(library)
        self.looked: OrderedDict[str, Looked] = OrderedDict()  # by id
        self.looking = threading.Lock()  # pictures are decoded and embedded one at a time: each may be large

    def segment(self, id: str) -> dict[str, Any]:
        """Raises 404."""
        segment = self.library.segment(id)
        if segment is None:
            raise HTTPException(404, f"no picture here has the id {id[:40]!r}; search again")
        return segment

    def search(self, said: PageSearch) -> dict[str, Any]:
        """Hits with all that a page shows of them, how many are likely meant, and the rank after which none is."""
        liked = {term.id: self.segment(term.id) for term in said.also if term.id}
        under = absolute(to_path(said.under)) if said.under else ""
        within = self.segment(said.within)["path"] if said.within else ""
        named = () if within else tuple(segment["path"] for segment in liked.values())
        filter = Filter(tuple(said.kinds), under, said.since, said.until, named, within=within)
        also = [(term.weight, liked[term.id]["z"] if term.id else self.vector(term)) for term in said.also]
        hits = self.library.search(said.query, said.top, filter, files=False, also=also, each=bool(within))
        likely = [hit.rank for hit in hits if (hit.relevance or 0) >= LIKELY]
        judged = any(hit.relevance is not None for hit in hits)
        line = {"likely": len(likely), "line": max(likely, default=0)} if judged else {"likely": None, "line": None}
        return {"hits": [row_of(hit) for hit in hits]} | line

    def vector(self, term: Weighted) -> np.ndarray:
        """z of what was dropped on the page: a picture, a sound, a film. Raises RequestError, UnreadableMedia."""
        given = picture(term.picture, urls_allowed=False)
        kind = term.picture.removeprefix("data:").partition("/")[0]
        with self.looking:
            if kind not in LONG:
                return self.library.space.image([self.library.space.decode(given.data, given.name)])[0]
            with tempfile.NamedTemporaryFile() as file:
                file.write(given.data)
                file.flush()
                return whole(list(LONG[kind](Path(file.name), self.library.space)))

    def why(self, id: str, words: str) -> dict[str, Any]:
        """Maps of a picture's relevance to a phrase and to each of its words, row by row."""
        segment = self.segment(id)
        with self.looking:
            looked = self.looked.pop(id, None) or look(self.library.space, self.pictures.open(segment))
            self.looked[id] = looked
            while len(self.looked) > LOOKED:
                self.looked.popitem(last=False)
        maps = [looked.map(z) for z in phrase(self.library.space, words)]
        return {"words": words.split(), "maps": np.round(maps, 4).tolist()}

    def marks(self, id: str, words: str) -> list[tuple[float, float, float, float]]:
        """Where the words of a query stand on a page, in shares of it. Raises UnreadableMedia, 404."""
        segment = self.segment(id)
        if segment["kind"] != "document":
            return []
        path = inside(segment["path"], segment["root"])
        return marks(path, segment["page"], [word for word in re.findall(r"\w+", words) if len(word) > 2])


def row_of(hit: Hit) -> dict[str, Any]:
    """A hit as the page shows it."""
    path = Path(to_text(hit.path))
    shown = {"id": hit.id, "path": str(path), "name": path.name, "folder": str(path.parent), "place": place(hit)}
    return vars(hit) | shown | {"taken_at": hit.taken_at and hit.taken_at.isoformat()}


def at_home(http: Request) -> bool:
    """Whether a request comes from this very machine, and not through a proxy."""
    try:
        return ip_address(http.client.host).is_loopback and not {"forwarded", "x-forwarded-for"} & set(http.headers)
    except ValueError:
        return False


def add_pages(app: FastAPI, library: Library, assistant: str, libraries: Sequence[str]) -> None:
    """The pages themselves; `assistant` is the name of the one that answers, `libraries` are those to choose from."""
    templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)

    def page(name: str, **values: Any) -> HTMLResponse:
        store = library.store
        values |= {"count": store.count() if store.exists else 0, "space": library.space.handle}
        values |= {"library": str(library.home), "libraries": libraries}
        return HTMLResponse(templates.get_template(name).render(page=name, **values), headers=POLICY)

    @app.get("/")
    def search_page(key: str = "") -> Response:
        if key:  # it was right, or the request had not come here
            answer = RedirectResponse("/", headers=POLICY)
            answer.set_cookie(COOKIE, key, httponly=True, samesite="strict")
            return answer
        return page("search.html")

    @app.get("/ask")
    def ask_page() -> HTMLResponse:
        return page("ask.html", assistant=assistant, elsewhere=urlsplit(assistant).hostname)

    @app.get("/learn")
    def learn_page() -> HTMLResponse:
        return page("learn.html", assistant=assistant, photographs=PHOTOGRAPHS)

    @app.get("/spaces")
    def spaces_page() -> HTMLResponse:
        return page("spaces.html", assistant=assistant, shelf=installed(), names=list(hub.installed()))

    @app.get("/library")
    def library_page() -> HTMLResponse:
        return page("library.html", folders=library.store.folders() if library.store.exists else [])

    app.mount("/static", StaticFiles(directory=HERE / "static"))


def add_questions(app: FastAPI, library: Library, keyed: bool) -> None:
    """What the pages ask; `keyed` says whether all must tell a key."""
    here, indexing = Pages(library), Indexing(library)

    @app.post("/app/search")
    def search(said: PageSearch) -> JSONResponse:
        return JSONResponse(here.search(said))  # as it is: FastAPI would look at every number of every hit

    @app.post("/app/vector")
    def vector(said: Weighted) -> dict[str, Any]:
        return {"z": np.round(here.vector(said), 5).tolist()}

    @app.get("/app/why/{id}")
    def why(id: str, words: Annotated[str, Query(max_length=200)]) -> dict[str, Any]:
        return here.why(id, words)

    @app.get("/app/marks/{id}")
    def marks_of(id: str, words: Annotated[str, Query(max_length=200)]) -> dict[str, Any]:
        return {"boxes": here.marks(id, words)}

    def check_may_change(http: Request) -> None:
        if not (keyed or at_home(http)):
            raise HTTPException(403, "folders are changed from this machine, or with a key; start: samespace serve --api-key KEY")

    @app.post("/app/index", status_code=202)
    def index(said: Folder, http: Request) -> dict[str, str]:
        check_may_change(http)
        indexing.start(said.folder)
        return {"status": "begun"}

    @app.post("/app/forget")
    def forget(said: Folder, http: Request) -> dict[str, int]:
        check_may_change(http)
        return {"forgotten": library.forget([to_path(said.folder)])}

    @app.get("/app/index")
    async def progress() -> StreamingResponse:
        return StreamingResponse(indexing.events(), media_type="text/event-stream", headers=POLICY)

    @app.get("/media/{id}")
    def media_of(id: str) -> FileResponse:
        return FileResponse(here.pictures.file(here.segment(id)), headers=POLICY)

    @app.get("/pictures/{id}/{size}")
    def picture_of(id: str, size: Literal["small", "large"], http: Request) -> Response:
        segment = here.segment(id)
        headers = POLICY | {"ETag": f'"{segment["hash"]}-{id}"', "Cache-Control": "private, max-age=60"}
        if http.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(here.pictures.jpeg(segment, size), media_type="image/jpeg", headers=headers)
