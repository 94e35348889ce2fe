"""Before something is done that cannot be undone, a person is asked."""

import re
from collections.abc import Callable, Sequence

from .actions import Action, Click, HoldKey, Key, Type
from .driver import FIELD, OTHER, PASSWORD, UNKNOWN
from .keys import chord
from .policy import Mark

ALWAYS, SUBMITS, NEVER = CONFIRMS = ("always", "submits", "never")
RISKY = re.compile(
    r"\b(send|submit|buy|order|pay|purchase|checkout|check out|delete|remove|erase|download|install|post|publish|transfer|subscribe|book|"
    r"reply|share|donate|bid|accept|agree|deactivate|upload|empty|trash|discard|withdraw|forward|reset|confirm|sign up|register|unsubscribe|log ?out|absenden|senden|kaufen|bestellen|bezahlen|löschen|entfernen|herunterladen|buchen|"
    r"envoyer|acheter|commander|payer|supprimer|télécharger|réserver|accepter|akzeptieren|zustimmen|teilen|enviar|comprar|pagar|eliminar|borrar|descargar|invia|acquista|paga|elimina)\b",
    re.I,
)
"""Words on what sends, buys, deletes or downloads."""
PRESSING = {"Enter", " "}
"""Keys that press what has the focus."""

Ask = Callable[[str], bool]
"""Asks a person a question; whether they agree."""


class Consent:
    """Asks a person before an action, as they want it."""

    def __init__(self, confirm: str, ask: Ask):
        self.confirm, self.ask = confirm, ask

    def allows(self, action: Action, marks: Sequence[Mark], what: str, focus: str = UNKNOWN, thought: str = "") -> bool:
        """Whether an action may be done, described as `what`; `focus`: what has the keyboard, as drivers say; `thought`: why it is done.

        Raises RequestError on a key that there is not.
        """
        if self.confirm == NEVER:
            return True
        reason = self.reason(action, marks, focus, thought)
        if reason is None and self.confirm == SUBMITS:
            return True
        return self.ask(f"{what}{f' ({reason})' if reason else ''}: go on?")

    def allows_again(self, actions: Sequence[Action]) -> bool:
        """Whether all that an earlier run did may be done again: what it sent or bought would be sent or bought twice."""
        return self.confirm == NEVER or self.ask(f"do again: {'; '.join(map(str, actions))}: go on?")

    @staticmethod
    def reason(action: Action, marks: Sequence[Mark], focus: str = UNKNOWN, thought: str = "") -> str | None:
        """Return why a person should be asked; None where nothing speaks for it."""
        if isinstance(action, Type) and focus == PASSWORD:
            return "it types into a password field"
        if isinstance(action, Key | HoldKey | Click) and PRESSING & set(chord(action.keys)):
            return "it may send what was filled in"
        if isinstance(action, Type) and any(end in action.text for end in "\r\n"):
            return "it ends a line, which may send what was filled in"
        if isinstance(action, Type) and focus != FIELD and _presses(action.text, focus):
            return "a space or a tab may press what has the focus"
        if isinstance(action, Click):
            here = [mark.text for mark in marks if mark.text and mark.holds(action.x, action.y)]
            if found := next(filter(None, map(RISKY.search, here or [thought])), None):  # an icon says nothing itself
                return f"it says “{found[0]}”"
        return None


def _presses(text: str, focus: str) -> bool:
    """Whether what is typed may press a button: any space where one has the focus, only blanks and tabs where that is unknown."""
    return " " in text or "\t" in text if focus == OTHER else text.isspace() or "\t" in text
