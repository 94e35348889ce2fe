"""Server-sent events."""

import json
from typing import Any


def event(body: dict[str, Any]) -> str:
    """Return a server-sent event of JSON."""
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"
