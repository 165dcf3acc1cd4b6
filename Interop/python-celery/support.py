"""What the scenarios here share: a fresh application, and a worker process."""

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from processes import die_with_parent
from scenarios import eventually, unique, url


def fresh_tasks() -> ModuleType:
    """Imports tasks.py with names of its own for queues and exchanges. Once a scenario: each is a process."""
    os.environ["INTEROP_BROKER"] = url()
    os.environ["INTEROP_PREFIX"] = unique("celery")
    return importlib.import_module("tasks")


class Worker:
    """A `celery worker` process."""

    def __init__(self, tasks: ModuleType, *options: str, broker: str | None = None) -> None:
        self._tasks = tasks
        self.name = f"{unique('worker')}@localhost"
        command = [sys.executable, "-m", "celery", "--app", "tasks", "worker", "--hostname", self.name]
        options = options if "--pool=prefork" in options else ("--pool=solo", *options)
        self.process = subprocess.Popen(
            [*command, "--loglevel", "WARNING", *options],
            cwd=Path(__file__).parent,
            env=os.environ | {"INTEROP_BROKER": broker or url()},
            preexec_fn=die_with_parent,
        )

    def wait_until_ready(self) -> None:
        """Waits until the worker answers over the broker."""
        eventually(lambda: self._tasks.app.control.ping([self.name], timeout=0.5), seconds=30)

    def kill(self) -> None:
        """Ends it the hard way: no goodbye, nothing acknowledged."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def worker(tasks: ModuleType, *options: str, broker: str | None = None) -> Iterator[Worker]:
    """Runs a worker for the length of a `with` block and removes the tasks' queue afterwards."""
    running = Worker(tasks, *options, broker=broker)
    try:
        running.wait_until_ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.process.terminate()
            running.process.wait(20)
        with tasks.app.connection_for_write() as connection:
            connection.default_channel.queue_delete(tasks.app.conf.task_default_queue)
