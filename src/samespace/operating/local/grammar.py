"""A task in words → instructions: press, check, enter, scroll. What it cannot take apart it says."""

import re
from dataclasses import dataclass, replace

from ...core.errors import RequestError

PRESS, CHECK, ENTER, SCROLL = "press", "check", "enter", "scroll"
ORDINALS = {
    word: number
    for number, words in enumerate(
        ("1st first", "2nd second", "3rd third", "4th fourth", "5th fifth", "6th sixth", "7th seventh"), 1
    )
    for word in words.split()
} | {"last": -1}
QUOTED = r'"([^"]*)"|“([^”]*)”|\'([^\']*)\'|«([^»]*)»'
NOUNS = r"(?:button|link|tab|menu|item|items|option|options|checkbox|checkboxes|radio button|radio|icon|word|field|text field|textbox|text box|box|input|section|widget|list|dropdown|page|row|cell|image|picture)"
VERBS = {
    ENTER: r"enter|type|write|fill in|fill|put|input",
    CHECK: r"check|tick|mark|select|choose|pick",
    PRESS: r"click on|click|press|push|hit|tap|open|close|expand|submit|find and click on|find and click|find|go to|switch to|focus into|focus|sort|buy|book|order|cancel|search",
    SCROLL: r"scroll",
}
STARTS = re.compile(
    rf"^(?:please |now |then |finally |also )*(?P<verb>{'|'.join(v for vs in VERBS.values() for v in vs.split('|'))})\b", re.I
)
SPLIT = re.compile(rf"(?:,?\s+(?:and then|then|and|afterwards)\s+|[.;]\s+|,\s+)(?=(?:{'|'.join(VERBS.values())})\b)", re.I)


@dataclass(frozen=True)
class Instruction:
    """One thing to be done."""

    verb: str
    """PRESS, CHECK, ENTER or SCROLL."""
    target: str = ""
    """What it is done to, as a person names it; empty where only one thing can be meant."""
    text: str = ""
    """What is entered."""
    ordinal: int = 0
    """Which of several: 1 the first, −1 the last, 0 any."""
    case: str = ""
    """upper or lower, where what is entered is to be so."""

    def __str__(self) -> str:
        which = f" ({self.ordinal})" if self.ordinal else ""
        return f"{self.verb} {self.target or 'it'}{which}" + (f": {self.text!r}" if self.verb == ENTER else "")


def instructions(task: str) -> list[Instruction]:
    """Take a task apart. Raises RequestError where nothing in it says what to do."""
    quoted: list[str] = []

    def hide(match: re.Match[str]) -> str:
        quoted.append(next(group for group in match.groups() if group is not None))
        return f"⟨{len(quoted) - 1}⟩"

    hidden = re.sub(QUOTED, hide, task.strip())
    found: list[Instruction] = []
    for clause in SPLIT.split(hidden):
        found += [_shown(one, quoted) for one in _instructions(clause.strip(" .;,"))]
    if not found:
        raise RequestError(f"{task!r} does not say what to press or to enter; write it as: type Ada into Name and press Send")
    return found


def _shown(one: Instruction, quoted: list[str]) -> Instruction:
    """Return an instruction with its quotations."""

    def show(text: str) -> str:
        return re.sub(r"⟨(\d+)⟩", lambda match: quoted[int(match[1])], text)

    text = show(one.text)
    text = {"upper": text.upper(), "lower": text.lower()}.get(one.case, text)
    return Instruction(one.verb, show(one.target).strip(), text, one.ordinal)


def _instructions(clause: str) -> list[Instruction]:
    """Return what one clause asks for."""
    match = STARTS.match(clause)
    if match is None:
        return []
    verb, rest = match["verb"].lower(), clause[match.end() :].strip()
    kind = next(kind for kind, words in VERBS.items() if verb in words.split("|"))
    if kind == ENTER:
        return _entered(rest)
    if kind == SCROLL:
        return [Instruction(SCROLL, "up" if re.search(r"\b(up|top)\b", rest) else "down")]
    if verb in ("submit", "search", "cancel", "buy", "book", "order", "sort"):
        return [Instruction(PRESS, verb)]
    return [_aimed(kind, target) for target in _targets(rest)] if kind == CHECK else [_aimed(kind, rest)]


def _entered(rest: str) -> list[Instruction]:
    """Return what is entered where: X into F; X as the F; F with X."""
    if match := re.match(r"(?:the |a )?(?P<field>.+?) with (?P<text>⟨\d+⟩|.+)$", rest, re.I):
        return [Instruction(ENTER, _plain(match["field"]), _text(match["text"]))]
    if match := re.search(r"\s+in (?:all )?(?P<case>upper|lower)[ -]?case(?: letters)?\b", rest, re.I):
        entered = _entered(rest[: match.start()] + rest[match.end() :])
        return [replace(one, case=match["case"].lower()) for one in entered]
    match = re.match(r"(?P<text>.+?)(?:\s+(?:into|in|to|as|on)\s+(?P<field>.+))?$", rest, re.I)
    assert match is not None  # it takes anything
    field = match["field"] or ""
    both = re.match(r"(?P<what>.*?)(⟨\d+⟩) and (?:the )?(?P<other>\w+) (⟨\d+⟩)$", match["text"])
    if both:  # the username ⟨0⟩ and the password ⟨1⟩
        return [Instruction(ENTER, _plain(both["what"]), both[2]), Instruction(ENTER, both["other"], both[4])]
    text = re.sub(r"^(?:the )?(?:word|text|name|number|value|username|password) (?=⟨)", "", match["text"], flags=re.I)
    if re.match(r"(?:both|all|each)\b", field):
        return [Instruction(ENTER, "", _text(text), n) for n in (1, 2)]
    ordinal, plain = _ordinal(field)
    return [Instruction(ENTER, _plain(plain), _text(text), ordinal)]


def _text(text: str) -> str:
    """Return what is to be typed."""
    return text.strip().removeprefix("the text ").strip()


def _targets(rest: str) -> list[str]:
    """Return the several things of "A, B and C"."""
    rest = re.sub(r"\s+(?:from|in|on|of) the (?:scroll )?(?:list|dropdown|menu|page|form)\b.*$", "", rest, flags=re.I)
    return [
        part.strip()
        for part in re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", rest)
        if part.strip() and part.strip().lower() != "nothing"
    ]


def _aimed(kind: str, rest: str) -> Instruction:
    """Return an instruction with a target."""
    ordinal, plain = _ordinal(rest)
    return Instruction(kind, _plain(plain), "", ordinal)


def _ordinal(rest: str) -> tuple[int, str]:
    """Return which of several is meant, and the rest."""
    match = re.search(rf"\b({'|'.join(ORDINALS)})\b\s*", rest, re.I)
    if match is None:
        return 0, rest
    return ORDINALS[match[1].lower()], rest[: match.start()] + rest[match.end() :]


def _plain(target: str) -> str:
    """Return what names a thing on the screen: the quotation where there is one, else the words without articles and kinds."""
    if quotation := re.search(r"⟨\d+⟩", target):
        return quotation[0]
    plain = re.sub(r"^(?:on|to|into|in|at|the|a|an|all|your|its|of)\s+", "", target.strip(" ."), flags=re.I)
    while (shorter := re.sub(r"^(?:on|to|into|in|at|the|a|an|all|your|its|of)\s+", "", plain, flags=re.I)) != plain:
        plain = shorter
    named = re.search(r"\b(?:labeled|labelled|named|called|titled|saying|that says)\s+(.+)$", plain, re.I)
    plain = named[1] if named else plain
    if re.fullmatch(r"(?:(?:text|input|entry)\s*)+(?:field|input|box|area)?s?", plain, re.I):
        return ""  # the only one there is
    while (shorter := re.sub(rf"^{NOUNS}\s+(?=[^\s#\d])|\s+{NOUNS}$|^{NOUNS}$", "", plain, flags=re.I).strip()) != plain:
        plain = shorter
    return plain
