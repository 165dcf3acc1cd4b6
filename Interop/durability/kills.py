"""Killed at any moment, and started again on the same directory, again and again."""

import signal

from account import LARGE
from rounds import LIMIT, ROUNDS, Plan, run_rounds
from scenarios import scenario

#: With its second file of 64 MiB a log soon has the 64 MiB without live messages after which what can go of it goes.
_TRIMMED_FILES = 2


@scenario("killed under load", limit=LIMIT)
def under_load() -> None:
    """Killed at any moment, it has all that was confirmed: once, in order, and nothing that was settled comes back."""
    run_rounds("killed under load", max(1, ROUNDS // 2), Plan(shards=(1, 2)))


@scenario("killed while it starts", limit=LIMIT)
def while_starting() -> None:
    """Killed under load, then again while it reads its log, it loses nothing either."""
    run_rounds("killed while it starts", max(1, ROUNDS // 4), Plan(early_kills=(1, 2)))


@scenario("another number of shards at each start", limit=LIMIT)
def shards() -> None:
    """What one number of shards has written another number reads, after a kill too."""
    run_rounds("another number of shards", max(1, ROUNDS // 4), Plan(shards=(1, 4, 2, 3)))


@scenario("killed while log files change", limit=LIMIT)
def files() -> None:
    """With messages that soon fill a file of the log, kills find it between files, and lose nothing."""
    run_rounds("killed while log files change", max(3, ROUNDS // 4), Plan(first=LARGE))


@scenario("killed while the log is trimmed", limit=LIMIT)
def trimmed() -> None:
    """Killed when the log is just long enough to be trimmed, it has forgotten nothing, and remembers nothing twice."""
    run_rounds("killed while the log is trimmed", max(2, ROUNDS // 5), Plan(first=LARGE, files=_TRIMMED_FILES))


@scenario("stopped by SIGTERM", limit=LIMIT)
def stopped() -> None:
    """Stopped under load, it ends with 0, loses nothing, and marks nothing redelivered that nobody was to receive."""
    run_rounds("stopped by SIGTERM", max(1, ROUNDS // 4), Plan(end=signal.SIGTERM, shards=(2, 1)))
