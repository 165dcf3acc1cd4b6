"""Threads that work with a broker until it is killed."""

import signal
import threading
import time
from collections.abc import Callable

from amqp import Channel, Closed, Connection
from martlet import Martlet


class UntilKilled:
    """Each piece of work has a channel of its own and ends when the broker is gone; before that, it is a failure."""

    def __init__(self) -> None:
        self._is_ending = threading.Event()
        self._problems: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, *works: Callable[[Channel], None]) -> None:
        """Begins; what the works use must be there by then."""
        self._threads = [threading.Thread(target=self._run, args=(work,), daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def kill(self, martlet: Martlet) -> float:
        """Kills the broker, waits until what it had sent is read, and returns when the kill began."""
        self._is_ending.set()
        moment = time.monotonic()
        assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
        for thread in self._threads:
            thread.join(20)
        assert not self._problems, self._problems
        return moment

    def _run(self, work: Callable[[Channel], None]) -> None:
        try:
            connection = Connection(time.monotonic() + 60)
            connection.log_in()
            work(connection.channel())
        except Closed as problem:
            if not self._is_ending.is_set():
                self._problems.append(problem)
        except BaseException as problem:
            self._problems.append(problem)
