"""The application: what the workers can do. Workers and the programs that ask them import the same file."""

import os
import signal
import time
from pathlib import Path

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

#: A word that keeps the queues of scenarios apart that run side by side.
prefix = os.environ["INTEROP_PREFIX"]
folder = Path(os.environ["INTEROP_FOLDER"])
broker = RabbitmqBroker(url=os.environ["INTEROP_BROKER"], confirm_delivery=True, max_priority=10)
dramatiq.set_broker(broker)


def note(word: str) -> None:
    """Writes a line that the scenario reads: actors have no results without a backend."""
    with open(folder / "notes", "a") as notes:
        notes.write(f"{time.time():.3f} {word}\n")


@dramatiq.actor(queue_name=prefix)
def say(word: str) -> None:
    """Notes a word."""
    note(word)


@dramatiq.actor(queue_name=prefix, min_backoff=200, max_backoff=400, max_retries=3)
def third_time_lucky(word: str) -> None:
    """Fails twice; Dramatiq tries again through its queue of delayed messages."""
    note(word)
    if sum(line.endswith(f" {word}\n") for line in open(folder / "notes")) < 3:
        raise ValueError("not yet")


@dramatiq.actor(queue_name=prefix, max_retries=0)
def fail() -> None:
    """Does not work, and is not tried again: its message is rejected and dead-lettered."""
    raise ValueError("never")


@dramatiq.actor(queue_name=prefix, max_retries=0)
def die_once(word: str) -> None:
    """Kills its worker the first time."""
    first = not (folder / "died").exists()
    (folder / "died").touch()
    if first:
        os.kill(os.getpid(), signal.SIGKILL)
    note(word)
