"""What the scenarios here share."""

import time
from collections.abc import Callable
from typing import Any

from kombu import Connection
from scenarios import url


def connect(**options: Any) -> Connection:
    """Returns a connection to the broker under test; kombu opens it when it is first used."""
    return Connection(url(), **options)


def drain(connection: Connection, until: Callable[[], object], seconds: float = 10) -> None:
    """Handles what comes in until the condition holds; fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"not so after {seconds:g} s"
        try:
            connection.drain_events(timeout=0.1)
        except TimeoutError:
            pass
