"""The contact sheet: hits as one HTML file that opens anywhere, pictures included."""

import base64
import html
from pathlib import Path

from ..core.errors import UnreadableMedia, as_utf8
from ..media.image import jpeg
from ..media.locator import locator
from ..media.thumbnails import thumbnail
from .search.hits import Hit

SIDE = 320
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{query} · samespace</title>
<style>
:root {{ color-scheme: light dark; --line: #8884; --ink: light-dark(#1a1a1a, #eee); --paper: light-dark(#fafaf8, #161616);
  --accent: light-dark(#b4540a, #ffb066); }}
body {{ margin: 0; padding: 2rem clamp(1rem, 4vw, 4rem); font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }}
h1 {{ font-size: 1.4rem; font-weight: 600; margin: 0 0 .2rem; }}
p {{ margin: 0 0 1.5rem; opacity: .7; }}
main {{ display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); }}
figure {{ margin: 0; }}
figure a {{ display: block; aspect-ratio: 4 / 3; background: #8881; border-radius: 8px; overflow: hidden; }}
img {{ width: 100%; height: 100%; object-fit: contain; display: block; }}
figure:first-child a {{ outline: 3px solid var(--accent); outline-offset: 3px; }}
figcaption {{ font-size: .85rem; margin-top: .5rem; overflow-wrap: anywhere; }}
.bar {{ height: 4px; border-radius: 2px; background: var(--line); margin: .3rem 0; }}
.bar i {{ display: block; height: 100%; border-radius: 2px; background: var(--accent); }}
small {{ opacity: .65; }}
</style>
<h1>{query}</h1><p>the {count} best matches, best first</p>
<main>
{figures}
</main>
</html>
"""
FIGURE = """<figure><a href="{href}"><img loading="lazy" alt="{name}" src="{source}"></a>
<figcaption>{rank}. {name}<div class="bar"><i style="width:{width:.0f}%"></i></div><small>{score:.3f} · {folder}</small></figcaption></figure>"""


def write_contact_sheet(path: Path, query: str, hits: list[Hit]) -> None:
    """Write hits as an HTML page; one whose file can no longer be read has no picture. Raises OSError."""
    top = max((hit.score for hit in hits), default=1.0)
    figures = [
        FIGURE.format(
            href=html.escape(link(hit)),
            name=html.escape(as_utf8(Path(hit.path).name)),
            folder=html.escape(" · ".join(filter(None, [locator(hit), as_utf8(str(Path(hit.path).parent))]))),
            source=_thumbnail_uri(hit),
            rank=hit.rank,
            score=hit.score,
            width=100 * max(0.0, hit.score) / max(top, 1e-6),
        )
        for hit in hits
    ]
    page = PAGE.format(query=html.escape(as_utf8(query)), count=len(hits), figures="\n".join(figures))
    path.write_text(page, "utf-8")


def link(hit: Hit) -> str:
    """Return a link that opens the file at the moment or page (W3C Media Fragments 4.2.1, RFC 8118 3)."""
    fragment = "" if hit.start is None else f"#t={hit.start:.2f}"
    return as_utf8(Path(hit.path).absolute().as_uri()) + (fragment if hit.page is None else f"#page={hit.page}")


def _thumbnail_uri(hit: Hit) -> str:
    """Return a hit's thumbnail as a data URI; an empty one where its file cannot be read."""
    try:
        picture = thumbnail(hit, SIDE)
    except UnreadableMedia:
        return "data:,"
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(picture, SIDE, 82)).decode()
