"""Names of keys: those of xdotool, of OpenAI and of people → those of the DOM (W3C UI Events KeyboardEvent key Values)."""

from ...core.errors import RequestError

NAMES = {
    "ctrl": "Control", "control": "Control", "control_l": "Control", "control_r": "Control", "alt": "Alt", "alt_l": "Alt", "option": "Alt",
    "shift": "Shift", "shift_l": "Shift", "shift_r": "Shift", "super": "Meta", "super_l": "Meta", "meta": "Meta", "cmd": "Meta",
    "command": "Meta", "win": "Meta", "windows": "Meta", "return": "Enter", "enter": "Enter", "kp_enter": "Enter", "esc": "Escape",
    "escape": "Escape", "tab": "Tab", "space": " ", "spacebar": " ", "backspace": "Backspace", "delete": "Delete", "del": "Delete",
    "insert": "Insert", "up": "ArrowUp", "arrowup": "ArrowUp", "down": "ArrowDown", "arrowdown": "ArrowDown", "left": "ArrowLeft",
    "arrowleft": "ArrowLeft", "right": "ArrowRight", "arrowright": "ArrowRight", "home": "Home", "end": "End", "page_up": "PageUp",
    "pageup": "PageUp", "prior": "PageUp", "page_down": "PageDown", "pagedown": "PageDown", "next": "PageDown", "capslock": "CapsLock",
    "caps_lock": "CapsLock", "minus": "-", "plus": "+", "equal": "=", "comma": ",", "period": ".", "slash": "/", "backslash": "\\",
    "semicolon": ";", "apostrophe": "'", "grave": "`", "bracketleft": "[", "bracketright": "]", "menu": "ContextMenu",
    **{f"f{n}": f"F{n}" for n in range(1, 13)}, **{f"kp_{n}": str(n) for n in range(10)},
}  # fmt: skip
"""Names in lower case → the DOM's."""


def chord(keys: str) -> list[str]:
    """Return the DOM's names of keys that are pressed together: "ctrl+shift+t" → Control, Shift, t. Raises RequestError."""
    if keys in ("", "+"):
        return [keys] if keys else []
    parts = keys.replace(" + ", "+").split("+")
    if parts[-2:] == ["", ""]:  # "ctrl++"
        parts[-2:] = ["plus"]
    return [name_of(part.strip() or part) for part in parts]


def name_of(key: str) -> str:
    """Return the DOM's name of one key. Raises RequestError."""
    if len(key) == 1:
        return key
    name = NAMES.get(key.lower())
    if name is None:
        raise RequestError(f"there is no key {key!r}; give a letter, or one such as enter, tab, ctrl, page_down")
    return name
