"""Workers that die, and wires that break."""

import tempfile
from pathlib import Path

from proxy import Proxy
from scenarios import eventually, scenario, url
from support import fresh_tasks, worker


@scenario("killed worker")
def killed_worker() -> None:
    """With acks_late the task of a killed worker is redelivered to the next one and gets done."""
    tasks = fresh_tasks()
    with tempfile.TemporaryDirectory() as folder:
        mark = Path(folder, "started")
        with worker(tasks) as first, worker(tasks, "--queues", f"{tasks.prefix}-idle") as idle:
            result = tasks.hang_once.delay(str(mark))
            eventually(mark.exists)
            first.kill()
            # The second worker has listened to another queue so far; now it takes over.
            tasks.app.control.add_consumer(tasks.app.conf.task_default_queue, destination=[idle.name])
            assert result.get(timeout=20) is True


@scenario("killed pool process")
def killed_pool_process() -> None:
    """A task whose pool process is killed is rejected by its worker, redelivered and done by another process."""
    tasks = fresh_tasks()
    with tempfile.TemporaryDirectory() as folder, worker(tasks, "--pool=prefork", "--concurrency=1"):
        assert tasks.die_once.delay(str(Path(folder, "started"))).get(timeout=30) is True


@scenario("cut wire")
def cut_wire() -> None:
    """A worker whose wire is cut connects again and goes on with its tasks."""
    tasks = fresh_tasks()
    proxy = Proxy(url())
    with worker(tasks, broker=proxy.url) as running:
        assert tasks.add.delay(1, 1).get(timeout=10) == 2
        proxy.cut()
        running.wait_until_ready()
        assert tasks.add.delay(2, 2).get(timeout=20) == 4
