"""A whole desktop under X11 as a screen, over python-xlib: what is on it, and mouse and keyboard as XTEST has them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from PIL import Image

from ...core.errors import MissingExtra, OperationStopped, RequestError, error_summary
from .actions import Action, Click, Done, Drag, HoldKey, Key, Move, Point, Screenshot, Scroll, Type, Wait, Zoom, check
from .driver import UNKNOWN
from .keys import chord

SCHEME = "desktop"
"""Addresses of desktops: desktop, the one that DISPLAY names, or desktop:7."""
BUTTONS = {"left": 1, "middle": 2, "right": 3}
UP, DOWN, LEFT, RIGHT = 4, 5, 6, 7
"""Buttons that the wheel is."""
NOTCH = 100
"""Pixels of a notch of the wheel."""
PAUSE = 0.01
"""Seconds between two events."""
KEYSYMS = {
    "Control": "Control_L", "Shift": "Shift_L", "Alt": "Alt_L", "Meta": "Super_L", "Enter": "Return", " ": "space", "Backspace": "BackSpace",
    "ArrowUp": "Up", "ArrowDown": "Down", "ArrowLeft": "Left", "ArrowRight": "Right", "PageUp": "Prior", "PageDown": "Next",
    "CapsLock": "Caps_Lock", "ContextMenu": "Menu", "\n": "Return", "\t": "Tab",
}  # fmt: skip
"""Names of keys → X11's, where they differ."""


class DesktopDriver:
    """An X11 display."""

    def __init__(self, address: str = SCHEME):
        """Raises MissingExtra, OperationStopped where there is no such display."""
        try:
            from Xlib import XK, X, display
            from Xlib.ext import xtest
        except ImportError:
            raise MissingExtra("operating a desktop", "operate") from None
        self._x, self._names, self._xtest = X, XK, xtest
        name = address.removeprefix(SCHEME) or None
        try:
            self.display: Any = display.Display(name)
            self.root = self.display.screen().root
        except Exception as error:  # the library has errors of its own
            raise OperationStopped(
                f"the desktop {name or ''} cannot be reached ({error_summary(error)}); is X11 running? Xvfb :7 starts one that nobody sees"
            ) from None
        geometry = self.root.get_geometry()
        self.size = (int(geometry.width), int(geometry.height))
        self.notes: list[str] = []
        self.address = address
        self._lent: dict[int, int] = {}  # keysym → the key that it was put on, in this order

    def screenshot(self) -> Image.Image:
        """Return what is on the display. Raises OperationStopped."""
        with self._alive():
            raw = self.root.get_image(0, 0, *self.size, self._x.ZPixmap, 0xFFFFFFFF)
            return Image.frombytes("RGB", self.size, raw.data, "raw", "BGRX")

    def act(self, action: Action) -> None:
        """Do something with mouse and keyboard. Raises RequestError, OperationStopped."""
        check(action, *self.size)
        with self._alive():
            self._act(action)
            self.display.sync()

    def _act(self, action: Action) -> None:
        match action:
            case Click(x, y, button, count, keys):
                self._move((x, y))
                with self._held(keys):
                    self._press(BUTTONS[button], count)
            case Move(x, y):
                self._move((x, y))
            case Drag(path):
                self._drag(path)
            case Scroll(x, y, dx, dy):
                self._move((x, y))
                self._press(DOWN if dy > 0 else UP, -(-abs(dy) // NOTCH))
                self._press(RIGHT if dx > 0 else LEFT, -(-abs(dx) // NOTCH))
            case Type(text):
                for character in text:
                    self._strike(character)
            case Key(keys):
                with self._held(keys):
                    pass
            case HoldKey(keys, seconds):
                with self._held(keys):
                    time.sleep(seconds)
            case Wait(seconds):
                time.sleep(seconds)
            case Screenshot() | Zoom() | Done():
                pass
            case _:
                raise AssertionError(action)

    def _drag(self, path: tuple[Point, ...]) -> None:
        """Press, move in steps as a hand does, let go."""
        self._move(path[0])
        self._send(self._x.ButtonPress, 1)
        for (x, y), (to_x, to_y) in zip(path, path[1:]):
            for step in range(1, 9):
                self._move((x + (to_x - x) * step // 8, y + (to_y - y) * step // 8))
        self._send(self._x.ButtonRelease, 1)

    def _move(self, to: Point) -> None:
        self._xtest.fake_input(self.display, self._x.MotionNotify, x=to[0], y=to[1])
        self._pause()

    def _press(self, button: int, times: int) -> None:
        for _ in range(times):
            self._send(self._x.ButtonPress, button)
            self._send(self._x.ButtonRelease, button)

    def _send(self, kind: int, detail: int) -> None:
        self._xtest.fake_input(self.display, kind, detail)
        self._pause()

    def _pause(self) -> None:
        self.display.sync()
        time.sleep(PAUSE)

    @contextmanager
    def _held(self, keys: str) -> Iterator[None]:
        """Hold keys."""
        codes = [self._key(name)[0] for name in chord(keys)]
        for code in codes:
            self._send(self._x.KeyPress, code)
        try:
            yield
        finally:
            for code in reversed(codes):
                self._send(self._x.KeyRelease, code)

    def _strike(self, character: str) -> None:
        """Type one character, with shift where it is on the upper half of its key."""
        code, shift = self._key(character)
        with self._held("shift" if shift else ""):
            self._send(self._x.KeyPress, code)
            self._send(self._x.KeyRelease, code)

    def _key(self, name: str) -> tuple[int, bool]:
        """Return the code of a key, and whether shift belongs to it; a character of no key is put on one that has none."""
        keysym = self._names.string_to_keysym(KEYSYMS.get(name, name)) or _keysym_of(name)
        if keysym in self._lent:
            return self._lent[keysym], False
        found = sorted(self.display.keysym_to_keycodes(keysym), key=lambda pair: pair[1])
        if found and found[0][1] in (0, 1):
            return int(found[0][0]), found[0][1] == 1
        return self._lend(keysym), False

    def _lend(self, keysym: int) -> int:
        """Put a character on a key that has none, or on that which was lent first; return its code. Raises RequestError."""
        lowest, highest = self.display.display.info.min_keycode, self.display.display.info.max_keycode
        mapping = self.display.get_keyboard_mapping(lowest, highest - lowest + 1)
        spare = [lowest + at for at, symbols in enumerate(mapping) if not any(symbols)]
        if not spare and not self._lent:
            raise RequestError("this keyboard has no free key for other characters; type what is on it")
        code = spare[-1] if spare else self._lent.pop(next(iter(self._lent)))
        self._lent[keysym] = code
        self.display.change_keyboard_mapping(code, [[keysym] * len(mapping[0])])
        self._pause()
        time.sleep(10 * PAUSE)  # programs learn of the new key
        return code

    def wait(self, seconds: float) -> None:
        """Let the desktop be for some seconds."""
        time.sleep(seconds)

    def url(self) -> str:
        """Return the address of the desktop."""
        return self.address

    def focus(self) -> str:
        """Return UNKNOWN: programs do not say what has the keyboard."""
        return UNKNOWN

    def close(self) -> None:
        """Give back the keys that characters were put on, and let the display go; nothing was started."""
        with suppress(Exception):  # it is gone already
            for code in self._lent.values():
                self.display.change_keyboard_mapping(code, [[self._x.NoSymbol]])
            self.display.sync()
        with suppress(Exception):
            self.display.close()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Turn what the library raises into one sentence."""
        try:
            yield
        except (RequestError, OperationStopped):
            raise
        except Exception as error:  # the library has errors of its own
            raise OperationStopped(f"the desktop does not answer ({error_summary(error)}); is it still there?") from None


def _keysym_of(character: str) -> int:
    """Return the keysym of a character: its own code in Latin-1, else that of Unicode (X11 protocol, appendix A)."""
    if len(character) != 1:
        raise RequestError(f"there is no key {character!r} on a desktop; give a letter, or one such as enter, tab, ctrl")
    code = ord(character)
    return code if 0x20 <= code < 0x100 else 0x01000000 + code
