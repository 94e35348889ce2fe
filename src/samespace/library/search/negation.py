"""What a query does not want, in words: "no cats", "a room without people". Text towers read past such words (Alhamoud et al. 2025,
"Vision-Language Models Do Not Understand Negation"), so the sum that means it is offered, and no probability is given.
"""

import re

from .date_words import Offer

PATTERN = re.compile(
    r"\b(?:no|not|without|ohne|keine?[nmrs]?|sans|sin|senza)\s+(?:(?:any|a|an|the|eine?[nmr]?|de|un|una|une)\s+)?"
    r"(?P<what>[^\W\d_][^,;+]*?)(?=\s+(?:and|but|with|in|on|at|und|aber|mit|et|mais|avec|y|con|e|ma)\b|\s*[,;+]|\s+-|\s*$)",
    re.IGNORECASE,
)
"""A word that says no, and what it is about: up to a comma, a word that joins, or the end."""


def negations(query: str) -> list[Offer]:
    """Return the words that say what is not wanted, and the term that means it: "without people", "- people"."""
    return [Offer(match[0].strip(), f"- {match['what'].strip()}") for match in PATTERN.finditer(query)]
