"""The vocabulary of actions: JSON and back, what cannot be done, names of keys, and when a person is asked."""

import pytest

from samespace.core.errors import RequestError
from samespace.operating.screen.actions import (
    ACTIONS,
    Click,
    Done,
    Drag,
    HoldKey,
    Key,
    Move,
    Screenshot,
    Scroll,
    Type,
    Wait,
    Zoom,
    check,
    from_json,
    to_json,
)
from samespace.operating.screen.consent import RISKY, Consent
from samespace.operating.screen.driver import FIELD, OTHER, PASSWORD, UNKNOWN
from samespace.operating.screen.keys import chord
from samespace.operating.screen.policy import Mark

EACH = [
    Click(3, 4), Click(3, 4, "right", 2, "ctrl+shift"), Move(1, 2), Drag(((1, 2), (30, 40), (5, 6))), Scroll(1, 2, 0, 300), Type("a ü 漢\n"),
    Key("ctrl+a"), HoldKey("shift", 0.5), Wait(2.5), Zoom(0, 0, 10, 20), Screenshot(), Done("42"), Done("", False),
]  # fmt: skip


@pytest.mark.parametrize("action", EACH, ids=str)
def test_an_action_comes_back_from_json(action):
    assert from_json(to_json(action)) == action
    check(action, 100, 100)


def test_every_action_is_tested_and_has_words():
    assert {type(action) for action in EACH} == set(ACTIONS.values())
    assert [str(action) for action in EACH[:4]] == [
        "click at 3, 4", "double-click the right button at 3, 4 with ctrl+shift", "move to 1, 2", "drag from 1, 2 to 5, 6",
    ]  # fmt: skip
    assert [str(Done("42")), str(Done("no", False))] == ["done: 42", "I cannot: no"]


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        (Click(100, 0), "100, 0 is not on the screen of 100 × 100"), (Click(-1, 0), "not on the screen"), (Click(1, 1, "fourth"), "fourth button"),
        (Click(1, 1, count=4), "4 clicks"), (Drag(((1, 1),)), "through 1 points"), (Drag(((1, 1), (1, 101))), "not on the screen"),
        (Zoom(5, 5, 5, 9), "is empty"), (Zoom(0, 0, 101, 9), "not on the screen"), (Type("x" * 10_001), "10001 characters"),
        (Key(""), "no key is named"), (Key("hyper+x"), "there is no key 'hyper'"), (Wait(301), "give 0 to 300"), (HoldKey("a", -1), "-1 seconds"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_a_sentence(action, sentence):
    with pytest.raises(RequestError, match=sentence):
        check(action, 100, 100)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"action": "fly"},
        {"action": "click"},
        {"action": "click", "x": "a", "y": 1},
        {"action": "type", "text": "a", "x": 1},
        {"action": "type", "text": {}},
        {"action": "done", "reached": "no"},
        {"action": "click", "x": 1e999, "y": 1},
        {"action": "wait", "seconds": "long"},
    ],
)
def test_json_that_is_no_action_is_refused(values):
    with pytest.raises(RequestError, match="is no action .*the actions are click, move"):
        from_json(values)


@pytest.mark.parametrize(
    ("values", "action"),
    [
        ({"action": "type", "text": 7}, Type("7")), ({"action": "key", "keys": ["ctrl", "a"]}, Key("ctrl+a")),
        ({"action": "wait", "seconds": "2"}, Wait(2.0)), ({"action": "done", "answer": None}, Done()), ({"action": "click", "x": 3.2, "y": "4"}, Click(3, 4)),
    ],
)  # fmt: skip
def test_values_of_another_type_that_mean_the_same(values, action):
    assert from_json(values) == action


def test_names_of_keys():
    assert (
        chord("ctrl+shift+T") == ["Control", "Shift", "T"] and chord("Return") == ["Enter"] and chord("page_down") == ["PageDown"]
    )
    assert (
        chord("ctrl++") == ["Control", "+"]
        and chord("+") == ["+"]
        and chord("") == []
        and chord("KP_7") == ["7"]
        and chord("cmd + a") == ["Meta", "a"]
    )
    assert chord(" ") == [" "] and chord("shift+ ") == ["Shift", " "]


@pytest.mark.parametrize(
    "text",
    """Send|Jetzt absenden|Abschicken|Envoyez|Enviar|Invia|Veröffentlichen|Publicar|Buynow|Payment|Kaufen|Bestellung aufgeben|Réservez|Reservar|Prenota|Ordina|Acquista
    |Comprar|Payer|Delete all|Löschen|Effacer|Eliminar|Cancella|Empty trash|Download|Herunterladen|Télécharger|Descargar|Scarica|Accept all|Sign-up|Log out|Zustimmen|Accepter
    |Aceptar|Iscriviti""".replace("\n", "")
    .replace("    ", "")
    .split("|"),
)
def test_what_sends_buys_deletes_downloads_or_agrees_is_known_in_five_languages(text):
    assert RISKY.search(text)


@pytest.mark.parametrize(
    "text",
    [
        "Cancel",
        "Bookmarks",
        "Next",
        "Search",
        "Posts",
        "Senders",
        "Title",
        "Zurück",
        "Annuler",
        "Buscar",
        "Avanti",
        "Open",
        "File",
    ],
)
def test_what_does_no_such_thing_is_not_asked_about(text):
    assert RISKY.search(text) is None


@pytest.mark.parametrize(
    ("action", "focus", "reason"),
    [
        (Click(5, 5), UNKNOWN, "it says “Delete”"), (Click(25, 5), UNKNOWN, None), (Click(45, 5), UNKNOWN, "it says “löschen”"),
        (Click(65, 5), UNKNOWN, None), (Click(85, 5), UNKNOWN, "it says “erase”"), (Key("enter"), OTHER, "may send"), (Key("tab"), OTHER, None),
        (Type("x"), PASSWORD, "password"), (Type("x"), OTHER, None), (Type("x\n"), FIELD, "ends a line"), (Type("a b"), FIELD, None),
        (Type("a b"), OTHER, "may press"), (Type(" "), UNKNOWN, "may press"), (Type("a\tb"), UNKNOWN, "may press"), (Type("a b"), UNKNOWN, None),
        (HoldKey("shift+enter", 1), OTHER, "may send"), (Key("space"), OTHER, "may send"), (Click(25, 5, keys="enter"), UNKNOWN, "may send"),
        (Scroll(5, 5, 0, 9), UNKNOWN, None), (Drag(((5, 5), (5, 5))), UNKNOWN, "it says “Delete”"), (Drag(((25, 5), (45, 5))), UNKNOWN, "it says “löschen”"),
        (Drag(((25, 5), (5, 5), (25, 6))), UNKNOWN, None), (Key("s"), PASSWORD, "password"), (Key("tab"), PASSWORD, None), (HoldKey("shift+a", 1), PASSWORD, "password"),
    ],
)  # fmt: skip
def test_a_person_is_asked_before_what_cannot_be_undone(action, focus, reason):
    marks = [
        Mark(0, 0, 20, 10, "all"), Mark(0, 0, 20, 10, "Delete all"), Mark(20, 0, 40, 10, "Bookmarks"), Mark(40, 0, 60, 10, "Konto löschen"),
        Mark(60, 0, 80, 10, "Cancel"), Mark(80, 0, 99, 10),
    ]  # fmt: skip
    thought = "what would erase it stands beside; a basket stands for that"
    found = Consent.reason(action, marks, focus, thought)
    assert (found is None) if reason is None else (reason in found)
    asked = []
    for confirm, expected in (("always", 1), ("submits", int(reason is not None)), ("never", 0)):
        asked.clear()
        agreed = Consent(confirm, lambda question: asked.append(question) or True)
        assert agreed.refusal(action, marks, str(action), focus, thought) == ""
        assert len(asked) == expected, confirm
    assert (
        Consent("always", lambda question: False).refusal(action, marks, "it", focus).startswith("refused: nobody agreed to it")
    )
