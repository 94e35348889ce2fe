"""Prometheus metrics of one server."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from ...assistant.request import Outcome

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Media type of the metrics' text."""


class Metrics:
    """Counts requests, seconds and tokens, in a registry of this server's own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("samespace_requests_total", "Requests.", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "samespace_request_seconds", "Seconds until a response has been sent.", ["route"], registry=self.registry
        )
        self.tokens = Counter("samespace_tokens_total", "Tokens.", ["kind"], registry=self.registry)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the route's path, or `none`."""
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def count_tokens(self, outcome: Outcome) -> None:
        """Count the tokens of an answer."""
        for kind in ("prompt", "pictures", "reused", "answer"):
            self.tokens.labels(kind).inc(getattr(outcome, kind))

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)
