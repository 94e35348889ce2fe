"""Requests made from the server's own OpenAPI schema, right ones and wrong ones: none is answered with an error of the server."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

import samespace
from samespace.library.library import Library
from samespace.server.app import create_app

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "4"))
"""Requests for each route."""
SLOW = ("/app/lab", "/app/lesson/operate", "/app/lesson/trace")
"""Routes whose answers take seconds; their own tests ask them."""


@pytest.fixture(scope="module")
def library(tmp_path_factory, photographs):
    folder = tmp_path_factory.mktemp("schema")
    library = Library(folder / "library", samespace.load("starter"))
    library.add([photographs / "coffee.png", photographs / "rocket.jpg"])
    return library


def test_no_request_is_answered_with_a_fault(library):
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(library), headers={"Host": "127.0.0.1"})
    operations = [found.ok() for found in schema.get_all_operations()]
    asked = [operation for operation in operations if not operation.path.startswith(SLOW)]
    assert len(asked) > 45
    for operation in asked:
        statuses = answers(operation)
        assert statuses and max(statuses) < 500, (operation.label, statuses)


def answers(operation) -> set[int]:
    """Send requests that the schema allows to a route; return the statuses of the answers."""
    statuses = set()

    @given(operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    def ask(case):
        response = case.call(headers={"Host": "127.0.0.1"})
        assert response.status_code < 500, (operation.label, case.body, response.text[:300])
        statuses.add(response.status_code)

    ask()
    return statuses
