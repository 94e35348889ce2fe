"""Requests to an endpoint; whatever goes wrong is one sentence."""

import os
import time
from typing import Any
from urllib.parse import urlsplit

from ...core.errors import MissingExtra, OperationStopped, error_summary

SECONDS = 180.0
KEY = "SAMESPACE_ASSISTANT_KEY"
"""Environment variable of an endpoint's key."""
BUSY = (429, 500, 502, 503, 504, 529)
"""What an endpoint answers that may answer later."""
PAUSES = (2.0, 8.0)
"""Seconds that are waited before it is asked again."""


class Connection:
    """One endpoint; it is not followed to another host. Raises MissingExtra."""

    def __init__(self, base: str, headers: dict[str, str]):
        try:
            import httpx2
        except ImportError:
            raise MissingExtra("asking an endpoint", "operate") from None
        self.base, self._error = base.rstrip("/"), httpx2.HTTPError
        self._client = httpx2.Client(headers=headers, timeout=SECONDS)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send JSON, again after a while where the endpoint is busy, and return the answer's. Raises OperationStopped where there is none."""
        try:
            for pause in (0.0, *PAUSES):
                time.sleep(pause)
                answer = self._client.post(self.base + path, json=body)
                if answer.status_code not in BUSY:
                    break
            values = answer.json()
        except (self._error, ValueError) as error:
            raise OperationStopped(f"{self.base} does not answer in JSON ({error_summary(error)}); check the address") from None
        if answer.status_code >= 400 or not isinstance(values, dict):
            wrong = values.get("error", values) if isinstance(values, dict) else values
            message = wrong.get("message", wrong) if isinstance(wrong, dict) else wrong
            raise OperationStopped(f"{self.base} refuses with {answer.status_code} ({str(message)[:300]}); check model and key")
        return values


def key_for(base: str, own: str, host: str) -> str:
    """Return the key for an endpoint: SAMESPACE_ASSISTANT_KEY, or the variable `own` where the address is its provider's host."""
    given, its_own = urlsplit(base), urlsplit(host)
    belongs = (given.scheme, given.netloc.lower()) == (its_own.scheme, its_own.netloc)
    return os.environ.get(KEY) or (os.environ.get(own) if belongs else "") or "none"
