"""Before something is done that cannot be undone, a person is asked."""

import re
from collections.abc import Callable, Sequence

from .actions import Action, Click, HoldKey, Key, Type
from .keys import chord
from .policy import Mark

ALWAYS, SUBMITS, NEVER = CONFIRMS = ("always", "submits", "never")
RISKY = re.compile(
    r"\b(send|submit|buy|order|pay|purchase|checkout|check out|delete|remove|erase|download|install|post|publish|transfer|subscribe|book|"
    r"confirm|sign up|register|unsubscribe|log ?out|absenden|senden|kaufen|bestellen|bezahlen|löschen|entfernen|herunterladen|buchen|"
    r"envoyer|acheter|commander|payer|supprimer|télécharger|réserver|enviar|comprar|pagar|eliminar|borrar|descargar|invia|acquista|paga|elimina)\b",
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

    def allows(self, action: Action, marks: Sequence[Mark], what: str, secret: bool = False) -> bool:
        """Whether an action may be done, described as `what`; `secret`: it types into a password field.

        Raises RequestError on a key that there is not.
        """
        if self.confirm == NEVER:
            return True
        reason = self.reason(action, marks, secret)
        if reason is None and self.confirm == SUBMITS:
            return True
        return self.ask(f"{what}{f' ({reason})' if reason else ''}: go on?")

    def allows_again(self, actions: Sequence[Action]) -> bool:
        """Whether all that an earlier run did may be done again: what it sent or bought would be sent or bought twice."""
        return self.confirm == NEVER or self.ask(f"do again: {'; '.join(map(str, actions))}: go on?")

    @staticmethod
    def reason(action: Action, marks: Sequence[Mark], secret: bool = False) -> str | None:
        """Return why a person should be asked; None where nothing speaks for it."""
        if isinstance(action, Type) and secret:
            return "it types into a password field"
        if isinstance(action, Key | HoldKey | Click) and PRESSING & set(chord(action.keys)):
            return "it may send what was filled in"
        if isinstance(action, Type) and any(end in action.text for end in "\r\n"):
            return "it ends a line, which may send what was filled in"
        if isinstance(action, Click):
            for mark in marks:
                if mark.holds(action.x, action.y) and (found := RISKY.search(mark.text)):
                    return f"it says “{found[0]}”"
        return None
