"""Tasks for later that wait in the broker instead of in a worker, by a policy; Celery knows nothing of it."""

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from martlet import Martlet, environment, program
from scenarios import eventually, scenario
from support import Worker, fresh_tasks, worker


def _ctl(data: str, *words: str) -> str:
    ended = subprocess.run(
        [program(), "ctl", "--data-dir", data, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
    )
    assert ended.returncode == 0, f"{words}: {ended.stderr}"
    return ended.stdout


@scenario("countdown by policy", limit=90)
def countdown_by_policy() -> None:
    """With the policy delay-header eta a task with a countdown waits in the queue: no worker holds it meanwhile, it is
    done when due, and one that was sent before the broker was killed is, too."""
    with tempfile.TemporaryDirectory(prefix="martlet-celery-") as data:
        options = "--data-dir", data, "--shards", "2"
        with Martlet("--port", "0", *options) as martlet:
            port = martlet.port()
            os.environ["MARTLET_URL"] = f"amqp://guest:guest@127.0.0.1:{port}/"
            tasks = fresh_tasks()
            # A publish returns when the broker has it for good.
            tasks.app.conf.broker_transport_options = {"confirm_publish": True}
            queue = tasks.app.conf.task_default_queue
            _ctl(data, "set_policy", "later", f"^{queue}$", '{"delay-header": "eta"}', "--apply-to", "queues")
            with worker(tasks) as running:
                sent = time.time()
                later = tasks.echo.apply_async(("later",), countdown=4)
                assert tasks.add.delay(1, 2).get(timeout=20) == 3
                held = tasks.app.control.inspect([running.name], timeout=2).scheduled()
                assert held == {running.name: []}, held
                columns = "name", "messages_ready", "messages_unacknowledged"
                listed = json.loads(_ctl(data, "list_queues", *columns, "--formatter", "json"))
                assert dict(zip(columns, (queue, 0, 0))) in listed, listed
                assert later.get(timeout=20) == "later"
                assert sent + 4 <= time.time() < sent + 7, time.time() - sent
                # Tried again in a second, twice: the broker holds the retries back, too.
                assert tasks.tries_again_in_a_second.delay().get(timeout=30) == 2
            # The worker's end has deleted the queue; the next one of that name has the policy as well.
            with tasks.app.connection_for_write() as connection:
                tasks.app.amqp.queues[queue](connection.default_channel).declare()
            mark = Path(data, "done")
            due = time.time() + 5
            tasks.note.apply_async((str(mark),), countdown=5)
            martlet.process.kill()
        with Martlet("--port", port, *options):
            # Not asked whether it is ready: our own connections are those to the killed broker.
            running = Worker(tasks)
            try:
                eventually(lambda: mark.exists() and mark.read_text(), seconds=30)
            finally:
                running.kill()
            assert due <= float(mark.read_text()), float(mark.read_text()) - due
