"""Celery's canvas beyond groups and chains, with a result backend in a folder."""

import os
import tempfile
import time
from datetime import datetime, timedelta, timezone

from celery import chord
from scenarios import scenario
from support import fresh_tasks, worker


@scenario("chord")
def chord_of_tasks() -> None:
    """The body of a chord gets the results of all its tasks."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INTEROP_BACKEND"] = f"file://{folder}"
        tasks = fresh_tasks()
        with worker(tasks):
            header = [tasks.add.s(number, number) for number in range(10)]
            assert chord(header, tasks.total.s()).delay().get(timeout=40) == sum(2 * number for number in range(10))


@scenario("eta")
def eta() -> None:
    """A task with an ETA is done at that time, one sent after it without one before."""
    tasks = fresh_tasks()
    with worker(tasks):
        due = datetime.now(timezone.utc) + timedelta(seconds=2)
        later = tasks.echo.apply_async(("later",), eta=due)
        assert tasks.echo.delay("now").get(timeout=10) == "now"
        assert not later.ready()
        assert later.get(timeout=20) == "later"
        assert time.time() >= due.timestamp() - 0.05


@scenario("expired task")
def expired_task() -> None:
    """A task that nobody took in time is revoked instead of being done."""
    tasks = fresh_tasks()
    late = tasks.echo.apply_async(("late",), expires=0.5)
    time.sleep(1)
    with worker(tasks):
        assert tasks.echo.delay("after").get(timeout=20) == "after"
        assert not late.successful()
