"""A task in words → instructions: press, check, choose, enter, drag, scroll, read. What it cannot take apart it says."""

import re
from dataclasses import dataclass, replace

from ...core.errors import RequestError

PRESS, CHECK, CHOOSE, ENTER, FILL, DRAG, SCROLL, READ, FIND = "press check choose enter fill drag scroll read find".split()
READ_BEFORE = "⟨read⟩"
"""In place of a text to be entered: what the instruction before has read."""
ORDINALS = {
    word: number
    for number, words in enumerate(
        ("1st first", "2nd second", "3rd third", "4th fourth", "5th fifth", "6th sixth", "7th seventh", "8th eighth", "9th ninth", "10th tenth"), 1
    )
    for word in words.split()
} | {"last": -1}  # fmt: skip
COUNTS = {"all": 0, "every": 0, "each": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5}
LEAST, MOST = (
    "cheapest|lowest|least|smallest|shortest|earliest|fewest|minimum",
    "highest|greatest|largest|most|longest|latest|biggest|maximum",
)
QUOTED = r'"([^"]*)"|“([^”]*)”|\'([^\']*)\'|«([^»]*)»'
KINDS = {
    "button": "button",
    "link": "link|search result|result",
    "field": "text field|textfield|textbox|text box|text input|input textbox|input field|input|field|textarea|text area",
    "box": "checkbox|check box",
    "radio": "radio button|radio",
    "icon": "icon|symbol",
    "spinner": "spinner|number field",
}
"""Kinds of things on a screen, as people call them."""
NOUNS = "folder or file|menu item|dropdown list|" + "|".join(
    [*KINDS.values(), *"tab menu item option word section widget list dropdown page row cell image picture file folder".split()]
)
VERBS = {
    ENTER: r"use the [\w ]+? to enter|enter|type|write|fill in|fill|put|input",
    DRAG: r"drag|move",
    SCROLL: r"scroll",
    FIND: r"find and click on|find and click|find and press|find and pick|find|look for|read|copy",
    CHECK: r"check|tick|mark|select|choose|pick|set",
    PRESS: r"click on|click|press|push|hit|tap|open|close|expand|submit|go to|switch to|focus into|focus on|focus|sort|buy|book|order|cancel|search for|search",
}
LISTS = "scroll list|dropdown list|drop-down list|list|dropdown|drop-down|menu|combo box"
LONE = ("submit", "search", "cancel", "buy", "book", "order", "sort")
"""Verbs that are what a button says, where nothing follows them."""
ANY_VERB = "|".join(VERBS.values())
STARTS = re.compile(rf"^(?:please |now |then |finally |also |to )*(?P<verb>{'|'.join(VERBS.values())})\b", re.I)
SPLIT = re.compile(rf"(?:,?\s+(?:and then|then|and|afterwards|to)\s+|[.;]\s+|,\s+)(?=(?:then |and )*(?:{ANY_VERB})\b)", re.I)
SCOPE = re.compile(
    r"^(?:for|in|on|at|under|within) (?:the )?(?:(?:user|row|item|post|line|section|entry)s? (?:of |with |by |named |called |for )?)?(.+)$",
    re.I,
)


@dataclass(frozen=True)
class Instruction:
    """One thing to be done."""

    verb: str
    """One of those above."""
    target: str = ""
    """What it is done to, as a person names it; empty where only one thing of its kind can be meant."""
    text: str = ""
    """What is entered, or where something is dragged to."""
    ordinal: int = 0
    """Which of several: 1 the first, −1 the last, 0 any; of what is dragged: −1 above, 1 below; of a scrolling: −1 to the end."""
    kind: str = ""
    """One of KINDS, where one is named and nothing else."""
    within: str = ""
    """What the thing belongs to: the name in its row."""
    times: int = 1
    """How many of such are meant; 0: all."""
    extreme: int = 0
    """−1: the one with the least of what the target names; 1: the most."""
    whole: str = ""
    """The target and its ordinal, where both may be what a thing is called: last name."""

    def __str__(self) -> str:
        which = f" ({self.ordinal})" if self.ordinal else ""
        where = f" of {self.within}" if self.within else ""
        text = {ENTER: f": {self.text!r}", DRAG: f" to {self.text}"}.get(self.verb, "")
        return f"{self.verb} {self.target or self.kind or 'it'}{which}{where}{text}"


def instructions(task: str) -> list[Instruction]:
    """Take a task apart. Raises RequestError where nothing in it says what to do."""
    quoted: list[str] = []

    def hide(match: re.Match[str]) -> str:
        quoted.append(next(group for group in match.groups() if group is not None))
        return f"⟨{len(quoted) - 1}⟩"

    hidden = re.sub(QUOTED, hide, task.strip())
    found: list[Instruction] = []
    within = ""
    for clause in (part.strip(" .;,") for part in SPLIT.split(hidden)):
        if STARTS.match(clause) is None and (scope := SCOPE.match(clause)):
            within = scope[1]
        found += [_shown(replace(one, within=one.within or within), quoted) for one in _instructions(clause)]
    if not found:
        raise RequestError(f"{task!r} does not say what to press or to enter; write it as: type Ada into Name and press Send")
    return found


def is_exploring(task: str) -> bool:
    """Whether a task says that what is looked for has to be uncovered first: in a tree, in sections, in a menu."""
    return re.search(r"\b(navigate|expand|browse|explore|tree)\b", task, re.I) is not None


def kind_named(phrase: str) -> str:
    """Return which of KINDS a phrase names; empty where it is none."""
    names = phrase.casefold().strip().rstrip("s")
    return next((kind for kind, words in KINDS.items() if names in [word.rstrip("s") for word in words.split("|")]), "")


def _shown(one: Instruction, quoted: list[str]) -> Instruction:
    """Return an instruction with its quotations."""

    def show(text: str) -> str:
        return re.sub(r"⟨(\d+)⟩", lambda match: quoted[int(match[1])], text)

    text = show(one.text)
    if case := re.match(r"(upper|lower)⟩", text):
        text = text[case.end() :].upper() if case[1] == "upper" else text[case.end() :].lower()
    return replace(one, target=show(one.target).strip(), text=text, within=show(one.within).strip())


def _instructions(clause: str) -> list[Instruction]:
    """Return what one clause asks for."""
    match = STARTS.match(clause)
    if match is None:
        return []
    verb, rest = match["verb"].lower(), clause[match.end() :].strip(" :")
    kind = next(kind for kind, words in VERBS.items() if re.fullmatch(words, verb))
    if kind == ENTER and rest:
        named = re.fullmatch(r"use the ([\w ]+?) to enter", verb)
        return _entered(f"{rest} into the {named[1]}" if named else rest)
    if kind == SCROLL:
        return [_scrolled(rest)]
    if kind == DRAG and (to := re.match(r"(.+?)\s+(on ?to|into|to|over|above|below|under|next to)\s+(.+)$", rest, re.I)):
        side = -1 if to[2].lower() in ("over", "above") else int(to[2].lower() in ("below", "under"))
        return [Instruction(DRAG, _plain(to[1]), _plain(to[3]), side)]
    if kind == ENTER:
        return []
    if kind == FIND and not re.search(r" (click|press|pick)", verb):
        return _found(rest) if rest else []
    if extreme := _extreme(rest):
        return [extreme]
    if kind == CHECK:
        return _checked(rest)
    if verb == "search for":
        return [Instruction(FILL, text=rest), Instruction(PRESS, "search")]
    if verb in LONE:
        return [*_ordered(rest), Instruction(PRESS, verb)]
    return _pressed(rest)


def _entered(rest: str) -> list[Instruction]:
    """Return what is entered where: X into F; X as the F; F with X."""
    if re.match(r"the value that corresponds (?:with|to) each label", rest, re.I):
        return [Instruction(FILL)]
    if both := re.match(r"an? .*?starts with (⟨\d+⟩)(?: and ends with (⟨\d+⟩))?", rest, re.I):
        return [Instruction(ENTER, text=both[1]), Instruction(PRESS, f"{both[1]}*{both[2] or ''}")]
    if match := re.match(r"(?:the |a )?(?P<field>.+?) with (?P<text>⟨\d+⟩|.+)$", rest, re.I):
        return [_into(match["field"], match["text"])]
    if match := re.search(r"\s+in (?:all )?(?P<case>upper|lower)[ -]?case(?: letters)?\b", rest, re.I):
        entered = _entered(rest[: match.start()] + rest[match.end() :])
        return [replace(one, text=f"{match['case'].lower()}⟩{one.text}") for one in entered]
    match = re.match(r"(?P<text>.+?)(?:\s+(?:into|in|to|as|on)\s+(?P<field>.+))?$", rest, re.I)
    assert match is not None  # it takes anything
    field = match["field"] or ""
    both = re.match(r"(?P<what>.*?)(⟨\d+⟩) and (?:the )?(?P<other>\w+) (⟨\d+⟩)$", match["text"])
    if both:  # the username ⟨0⟩ and the password ⟨1⟩
        return [_into(both["what"], both[2]), _into(both["other"], both[4])]
    if of := re.match(r"the (?:value|text|content) of (?:the )?(.+)$", match["text"], re.I):
        return [Instruction(READ, _plain(of[1])), _into(field, READ_BEFORE)]
    text = re.sub(r"^(?:the )?(?:word|text|name|number|value|username|password) (?=⟨)", "", match["text"], flags=re.I)
    if re.match(r"(?:both|all|each)\b", field):
        return [replace(_into("field", text), ordinal=n) for n in (1, 2)]
    return [_into(field, READ_BEFORE if text.lower() in ("it", "that", "this") else text)]


def _into(field: str, text: str) -> Instruction:
    """Return the entering of a text into a field."""
    return replace(_aimed(ENTER, field), text=text.strip().removeprefix("the text ").strip())


def _scrolled(rest: str) -> Instruction:
    """Return a scrolling: a page further, or to an end; of the screen, or of a part of it."""
    area = re.search(r"\b(?:of|in) the (.+)$", rest, re.I)
    up = re.search(r"\b(?:up|top|beginning|start)\b", rest, re.I) is not None
    end = re.search(r"\bto the (?:very )?(?:bottom|top|end|beginning|start)\b", rest, re.I)
    kind = kind_named(area[1]) if area else ""
    return Instruction(SCROLL, "up" if up else "down", ordinal=-1 if end else 0, kind=kind)


def _found(rest: str) -> list[Instruction]:
    """Return what is looked for, or read: the nth word of a text, whose end may have to be scrolled to; the value of something."""
    if word := re.match(rf"(?:the )?({'|'.join(ORDINALS)}) word (?:in|of) (?:the )?(.+)$", rest, re.I):
        read = Instruction(READ, kind="field" if kind_named(word[2]) else "word", ordinal=ORDINALS[word[1].lower()])
        return [replace(read, verb=SCROLL, target="down"), read] if read.ordinal < 0 and read.kind == "field" else [read]
    if value := re.match(r"(?:the )?(?:value|text|content) of (?:the )?(.+)$", rest, re.I):
        return [Instruction(READ, _plain(value[1]))]
    return [_aimed(FIND, re.sub(r"\s+in the .+$", "", rest))]


def _extreme(rest: str) -> Instruction | None:
    """Return the pressing of what has the least or the most of something: the ticket with the cheapest cost."""
    match = re.search(rf"\b(?P<least>{LEAST})\b|\b(?P<most>{MOST})\b", rest, re.I)
    if match is None:
        return None
    return Instruction(PRESS, rest[match.end() :].strip() or rest[: match.start()].strip(), extreme=-1 if match["least"] else 1)


def _checked(rest: str) -> list[Instruction]:
    """Return what is checked, chosen from a list, or set."""
    if value := re.match(r"(\S+) (?:with|in|on) the (?:spinner|number field)$", rest, re.I):
        return [Instruction(ENTER, text=value[1], kind="spinner")]
    listed = re.search(rf"\s+(?:from|in|of) the (?P<which>.*?)\s*(?:{LISTS})$", rest, re.I)
    if listed:
        targets = _targets(rest[: listed.start()], within_names=True)
        return [Instruction(CHOOSE, _plain(target), ordinal=n, within=listed["which"]) for n, target in enumerate(targets, 1)]
    return [_aimed(CHECK, target) for target in _targets(re.sub(r"^words similar to ", "", rest, flags=re.I))]


def _targets(rest: str, within_names: bool = False) -> list[str]:
    """Return the several things of "A, B and C". within_names: "and" stands in names, and only commas part them."""
    rest = re.sub(r"\s+(?:on|of|in) the (?:page|form)\b.*$", "", rest, flags=re.I)
    parts = re.split(r"\s*,\s*" if within_names else r"\s*,\s*(?:and\s+)?|\s+and\s+", rest)
    return [part.strip() for part in parts if part.strip() and part.strip().lower() != "nothing"]


def _ordered(rest: str) -> list[Instruction]:
    """Return the pressing of + beside each of several items."""
    items = re.match(r"one of each item: (.+)$", rest, re.I)
    return [Instruction(PRESS, "+", within=item) for item in _targets(items[1], within_names=True)] if items else []


def _pressed(rest: str) -> list[Instruction]:
    """Return the pressing of one thing, or of the same in several rows."""
    rest = re.sub(r"\s+by clicking (?:on )?(?:the )?(?=⟨)", " ", rest, flags=re.I)
    rows = re.search(
        rf"\s+(?:on|in|of) (?P<n>\d+|{'|'.join(COUNTS)}) (?:the )?(?:post|row|item|line|entr|message)\w* (?:by|of|with|from) (?P<who>.+)$",
        rest,
    )
    if rows is None:
        return [_aimed(PRESS, rest)]
    times = int(rows["n"]) if rows["n"].isdigit() else COUNTS[rows["n"].lower()]
    return [replace(_aimed(PRESS, rest[: rows.start()]), within=rows["who"], times=times)]


def _aimed(verb: str, rest: str) -> Instruction:
    """Return an instruction with a target."""
    whole = _plain(rest) if "⟨" not in rest else ""
    ordinal, rest = _ordinal(rest)
    target = _plain(rest)
    bare = re.sub(r"^(?:(?:on|to|into|in|at|the|a|an|all|your|its|their|of)\s+)+", "", rest.strip(" ."), flags=re.I)
    kind = kind_named(bare) if not target else ""
    return Instruction(verb, target, "", ordinal, kind, whole=whole if ordinal and target else "")


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
    plain = re.sub(r"^(?:(?:on|to|into|in|at|the|a|an|all|your|its|their|of)\s+)+", "", target.strip(" ."), flags=re.I)
    plain = re.sub(r"\s+(?:below|above|here|on the screen)$", "", plain, flags=re.I)
    named = re.search(r"\b(?:labeled|labelled|named|called|titled|saying|that says)\s+(.+)$", plain, re.I)
    plain = named[1] if named else plain
    if re.fullmatch(r"(?:(?:text|input|entry|user|text ?box)\s*)+(?:field|input|box|area)?s?", plain, re.I) or kind_named(plain):
        return ""  # the only one there is
    plain = re.sub(rf"^({NOUNS})s$", r"\1", plain, flags=re.I)
    shorter = re.sub(rf"^(?:{NOUNS})s?\s+(?=[^\s#\d])|\s+(?:{NOUNS})s?$", "", plain, flags=re.I).strip()
    return plain if shorter == plain else _plain(shorter)
