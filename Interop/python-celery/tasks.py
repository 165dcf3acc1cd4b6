"""The application: what the workers can do. Workers and the programs that ask them import the same file."""

import os
import signal
import time
from pathlib import Path

from celery import Celery, Task

# The address, and a word that keeps the names of scenarios apart that run side by side.
app = Celery("tasks", broker=os.environ["INTEROP_BROKER"], backend=os.environ.get("INTEROP_BACKEND", "rpc://"))
prefix = os.environ["INTEROP_PREFIX"]
app.conf.update(
    task_default_queue=f"{prefix}-tasks",
    control_exchange=f"{prefix}-control",
    event_exchange=f"{prefix}-events",
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)
if "INTEROP_QUEUE_TYPE" in os.environ:
    # Celery's delay queues need a topic exchange behind them.
    app.conf.update(
        task_default_queue_type=os.environ["INTEROP_QUEUE_TYPE"],
        task_default_exchange_type="topic",
        worker_detect_quorum_queues=True,
    )


@app.task
def add(x: int, y: int) -> int:
    """The task of every introduction."""
    return x + y


@app.task
def fail(text: str) -> None:
    """A task that does not work."""
    raise ValueError(text)


@app.task(bind=True, max_retries=3)
def third_time_lucky(self: Task) -> int:
    """Fails twice and says how often it was tried again."""
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return self.request.retries


@app.task(bind=True, acks_late=True)
def hang_once(self: Task, mark: str) -> bool:
    """Hangs the first time, which it marks by a file; the second time it says whether it was redelivered."""
    if Path(mark).exists():
        return self.request.delivery_info["redelivered"]
    Path(mark).touch()
    time.sleep(60)
    return False


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def die_once(self: Task, mark: str) -> bool:
    """Kills the process it runs in the first time; the second time it says whether it was redelivered."""
    if Path(mark).exists():
        return self.request.delivery_info["redelivered"]
    Path(mark).touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return False


@app.task(bind=True, max_retries=3)
def tries_again_in_a_second(self: Task) -> int:
    """Fails twice, a second apart, and says how often it was tried again."""
    if self.request.retries < 2:
        raise self.retry(countdown=1)
    return self.request.retries


@app.task
def total(numbers: list[int]) -> int:
    """The sum of other tasks' results."""
    return sum(numbers)


@app.task
def echo(value: object) -> object:
    """Gives back what it got."""
    return value


@app.task
def note(path: str) -> None:
    """Writes down when it was done."""
    Path(path).write_text(str(time.time()))
