"""Before something is done that cannot be undone, a person is asked."""

import re
from collections.abc import Callable, Sequence

from .actions import Action, Click, Drag, HoldKey, Key, Point, Type
from .driver import FIELD, OTHER, PASSWORD, UNKNOWN
from .keys import chord
from .policy import REFUSED, Mark

ALWAYS, SUBMITS, NEVER = CONFIRMS = ("always", "submits", "never")
WORDS = {
    "send": "send submit post publish reply share forward transfer upload senden absenden abschicken schicken veröffentlich* teilen antworte* weiterleite* "
    "hochladen envoy* publier publiez partag* répond* transfér* soumett* téléverser env[ií]a* publica* comparti* responde* reenvia* transferir subir invia* "
    "pubblica* condivid* rispond* inoltra* carica",
    "buy": "buy order pay payment purchase check.?out book donate bid subscribe withdraw kaufe* bestell* bezahl* zahl* buche* reserviere* spende* abonnier* "
    "achet* command* payer payez paiement réserv* s.abonner compra* pagar pago pedir reserva* donar suscrib* acquist* ordina* paga prenota* dona abbonati",
    "delete": "delete remove erase empty trash discard reset unsubscribe deactivate lösch* entferne* verwerfe* leeren zurücksetzen abbestelle* supprim* efface* "
    "vider réinitialis* désabonn* désactiv* elimina* borra* vacia* descarta* restablec* cancella* svuota* rimuov* scarta* ripristina* disattiva*",
    "download": "download install herunterlade* installier* télécharge* descarga* scarica*",
    "agree": "accept agree confirm sign.?up register log.?out akzeptier* zustimme* bestätig* registrier* anmelde* abmelde* einverstanden confirme* accepte* "
    "inscri* déconnect* acepta* acuerdo confirma* regístr* registrar* cerrar.sesión conferm* iscriv* accett* disconnett*",
}  # fmt: skip
"""Act → what is written on what does it, in English, German, French, Spanish and Italian; * stands for any ending."""
_FORMS = "|".join(" ".join(WORDS.values()).replace("*", "[^\\W_]*").split())
RISKY = re.compile(rf"\b(?:{_FORMS})(?:\s?now)?\b", re.I)
"""Words on what sends, buys, deletes, downloads or agrees."""
PRESSING = {"Enter", " "}
"""Keys that press what has the focus."""

Ask = Callable[[str], bool]
"""Asks a person a question; whether they agree."""


class Consent:
    """Asks a person before an action, as they want it."""

    def __init__(self, confirm: str, ask: Ask):
        self.confirm, self.ask = confirm, ask

    def refusal(self, action: Action, marks: Sequence[Mark], what: str, focus: str = UNKNOWN, thought: str = "") -> str:
        """Return the sentence that an action, described as `what`, may not be done; nothing where it may.

        `focus`: what has the keyboard, as drivers say; `thought`: why it is done. Raises RequestError on a key that there is not.
        """
        reason = None if self.confirm == NEVER else self.reason(action, marks, focus, thought)
        if reason is None and self.confirm != ALWAYS:
            return ""
        described = f"{what} ({reason})" if reason else what
        return "" if self.ask(f"{described}: go on?") else f"{REFUSED}: nobody agreed to {described}"

    def allows_again(self, actions: Sequence[Action]) -> bool:
        """Whether all that an earlier run did may be done again: what it sent or bought would be sent or bought twice."""
        return self.confirm == NEVER or self.ask(f"do again: {'; '.join(map(str, actions))}: go on?")

    @staticmethod
    def reason(action: Action, marks: Sequence[Mark], focus: str = UNKNOWN, thought: str = "") -> str | None:
        """Return why a person should be asked; None where nothing speaks for it."""
        if focus == PASSWORD and types(action):
            return "it types into a password field"
        if isinstance(action, Key | HoldKey | Click) and PRESSING & set(chord(action.keys)):
            return "it may send what was filled in"
        if isinstance(action, Type) and any(end in action.text for end in "\r\n"):
            return "it ends a line, which may send what was filled in"
        if isinstance(action, Type) and focus != FIELD and _presses(action.text, focus):
            return "a space or a tab may press what has the focus"
        if points := pressed(action):
            here = [mark.text for mark in marks if mark.text and any(mark.holds(*point) for point in points)]
            if found := next(filter(None, map(RISKY.search, here or [thought])), None):  # an icon says nothing itself
                return f"it says “{found[0]}”"
        return None


def types(action: Action) -> bool:
    """Whether an action types something: text, or a character's key."""
    return isinstance(action, Type) or (
        isinstance(action, Key | HoldKey) and any(len(key) == 1 for key in chord(action.keys)[-1:])
    )


def pressed(action: Action) -> Sequence[Point]:
    """Return the points at which an action presses the mouse or lets it go: a drag that ends where it begins is a click."""
    return action.points[:: max(1, len(action.points) - 1)] if isinstance(action, Click | Drag) else ()


def _presses(text: str, focus: str) -> bool:
    """Whether what is typed may press a button: any space where one has the focus, only blanks and tabs where that is unknown."""
    return " " in text or "\t" in text if focus == OTHER else text.isspace() or "\t" in text
