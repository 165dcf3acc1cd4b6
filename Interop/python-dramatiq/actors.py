"""Actors: sent, delayed, tried again, dead; and a worker that dies."""

import contextlib
import importlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pika
from processes import die_with_parent
from scenarios import eventually, scenario, unique, url

HERE = Path(__file__).resolve().parent


@contextlib.contextmanager
def application() -> Iterator[ModuleType]:
    """The application with a queue of its own, which is removed afterwards with those that belong to it."""
    with tempfile.TemporaryDirectory(prefix="martlet-interop-dramatiq-") as folder:
        os.environ |= {"INTEROP_BROKER": url(), "INTEROP_PREFIX": unique("dramatiq"), "INTEROP_FOLDER": folder}
        sys.path.insert(0, str(HERE))
        loaded = importlib.import_module("application")
        try:
            yield loaded
        finally:
            connection = pika.BlockingConnection(pika.URLParameters(url()))
            for name in (loaded.prefix, f"{loaded.prefix}.DQ", f"{loaded.prefix}.XQ"):
                connection.channel().queue_delete(name)
            connection.close()


@contextlib.contextmanager
def worker(processes: int = 1) -> Iterator[subprocess.Popen]:
    """A worker as it is deployed."""
    command = [sys.executable, "-m", "dramatiq", "application", "--processes", str(processes), "--threads", "4"]
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, cwd=HERE, stdout=nowhere, stderr=nowhere, preexec_fn=die_with_parent)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def notes(loaded: ModuleType) -> list[tuple[float, str]]:
    """What actors have noted, and when."""
    file = loaded.folder / "notes"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(float(time), word) for time, word in (line.split(" ", 1) for line in lines)]


def words(loaded: ModuleType) -> list[str]:
    """What actors have noted."""
    return [word for _, word in notes(loaded)]


@scenario("fifty messages")
def fifty_messages() -> None:
    """Fifty messages sent with confirms are each worked on once by a worker of two processes."""
    with application() as loaded, worker(processes=2):
        sent = [f"word {number}" for number in range(50)]
        for word in sent:
            loaded.say.send(word)
        eventually(lambda: len(words(loaded)) >= 50, seconds=30)
        assert sorted(words(loaded)) == sorted(sent)


@scenario("delayed message")
def delayed_message() -> None:
    """A message with a delay waits in the queue of delayed ones and is worked on when it is due, not before."""
    with application() as loaded, worker():
        sent = time.time()
        loaded.say.send_with_options(args=("later",), delay=1500)
        eventually(lambda: words(loaded) == ["later"], seconds=30)
        assert notes(loaded)[0][0] >= sent + 1.4


@scenario("retries with backoff")
def retries() -> None:
    """An actor that fails is tried again after growing pauses until it works."""
    with application() as loaded, worker():
        loaded.third_time_lucky.send("again")
        eventually(lambda: len(words(loaded)) == 3, seconds=40)
        time.sleep(1)
        assert words(loaded) == ["again"] * 3


@scenario("dead message")
def dead_message() -> None:
    """The message of an actor that is not tried again is rejected and found in the queue of dead ones, with x-death."""
    with application() as loaded, worker():
        loaded.fail.send()
        connection = pika.BlockingConnection(pika.URLParameters(url()))
        channel = connection.channel()
        got: list = []

        def arrived() -> bool:
            method, properties, body = channel.basic_get(f"{loaded.prefix}.XQ", auto_ack=True)
            if method:
                got.append((properties, body))
            return bool(got)

        eventually(arrived, seconds=30)
        death = got[0][0].headers["x-death"][0]
        assert (death["queue"], death["reason"], death["count"]) == (loaded.prefix, "rejected", 1), death
        assert b'"fail"' in got[0][1]
        connection.close()


@scenario("killed dramatiq worker")
def killed_worker() -> None:
    """The message of a worker that was killed is worked on by the next one."""
    with application() as loaded:
        with worker():
            loaded.die_once.send("alive")
            eventually((loaded.folder / "died").exists, seconds=30)
        with worker():
            eventually(lambda: words(loaded) == ["alive"], seconds=30)
