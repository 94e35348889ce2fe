"""Lines of text, joined."""

import re

_CJK = "[\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff5e\u3001\u3002]"
WITHOUT_SPACES = re.compile(f"(?<={_CJK})\\s+(?={_CJK})")
"""White space between characters of scripts that put none between words."""


def flowing(text: str) -> str:
    """Return text in one line: lines are joined by a space, but not within Chinese or Japanese."""
    return " ".join(WITHOUT_SPACES.sub("", text).split())
