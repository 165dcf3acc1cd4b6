"""Celery with quorum queues: it asks the broker for their type, and then delays natively."""

import os
import tempfile
import time
from pathlib import Path
from types import ModuleType

from scenarios import eventually, scenario
from support import fresh_tasks, worker


def quorum_tasks() -> ModuleType:
    """The application with a quorum queue for its tasks."""
    os.environ["INTEROP_QUEUE_TYPE"] = "quorum"
    return fresh_tasks()


@scenario("quorum queues")
def quorum_queues() -> None:
    """With a quorum queue tasks are done once each, one of a killed worker by the next, and global prefetch is not used."""
    tasks = quorum_tasks()
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder, "started")
        with worker(tasks) as first, worker(tasks, "--queues", f"{tasks.prefix}-idle") as idle:
            results = [tasks.add.delay(number, number) for number in range(20)]
            assert [result.get(timeout=20) for result in results] == [2 * number for number in range(20)]
            hanging = tasks.hang_once.delay(str(mark))
            eventually(mark.exists)
            first.kill()
            tasks.app.control.add_consumer(tasks.app.conf.task_default_queue, destination=[idle.name])
            assert hanging.get(timeout=30) is True


@scenario("native delayed delivery", limit=90)
def native_delayed_delivery() -> None:
    """A countdown with quorum queues goes through Celery's chain of 28 delay queues and is done when due, not before."""
    tasks = quorum_tasks()
    with worker(tasks):
        sent = time.monotonic()
        # 5 is 101 in binary: through two of the queues, over all of the exchanges.
        later = tasks.echo.apply_async(("later",), countdown=5)
        soon = tasks.echo.apply_async(("soon",), countdown=1)
        assert soon.get(timeout=20) == "soon"
        assert time.monotonic() < sent + 4.5
        assert later.get(timeout=30) == "later"
        assert time.monotonic() >= sent + 4.5


@scenario("retry with quorum queues", limit=90)
def retry() -> None:
    """A task that asks to be tried again in a moment is, through the delay queues too."""
    tasks = quorum_tasks()
    with worker(tasks):
        assert tasks.tries_again_in_a_second.delay().get(timeout=60) == 2
