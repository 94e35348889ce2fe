"""An assistant that is opened by the first question to it."""

import threading

from ...assistant.open import open_assistant
from ...assistant.request import AssistantBackend
from ...core.errors import UnknownAssistant


class LazyAssistant:
    """Opens an assistant once, for all threads."""

    def __init__(self, name: str):
        """`name` is an installed assistant's, a folder, or an endpoint's address."""
        self.name = name
        self._opened: AssistantBackend | None = None
        self._lock = threading.Lock()

    def open(self, model: str = "") -> AssistantBackend:
        """Return the assistant. Raises UnknownAssistant where `model` names another one, or it cannot be opened."""
        with self._lock:
            self._opened = self._opened or open_assistant(self.name)
        if model not in ("", self._opened.name, self.name):
            raise UnknownAssistant(f"the model {model!r} is not served here; ask for {self._opened.name!r}")
        return self._opened
