"""`martlet ctl snapshot`: a copy of the data directory of a broker under load, which another broker starts from."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from amqp import Channel
from clients import use
from confirms import Confirms
from floods import _publisher
from martlet import Martlet, environment, program, run
from processes import die_with_parent
from rounds import tell
from scenarios import eventually, scenario

_QUEUE = "durability.snapshot"
_ACKNOWLEDGED = "durability.snapshot.acknowledged"
_BODY = 4_000
_WINDOW = 200
#: Messages before the load begins; enough for some files of the log.
_BEFORE = 30_000
#: A confirm may take so long while the copy is made: it waits for the disk, not for the copy's end.
_PATIENCE = 2.0


class _Publisher:
    """Publishes numbered messages with confirms until it is told to end."""

    def __init__(self, martlet: Martlet, first: int, limit: int | None = None) -> None:
        self.confirmed: list[tuple[float, int]] = []
        self.slowest = 0.0
        self.next = first
        self._limit = limit
        self._is_ending = threading.Event()
        self._channel = _publisher(martlet)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._channel.rpc("confirm.select")
            confirms = Confirms()
            while True:
                is_ending = self._is_ending.is_set() or (self._limit is not None and self.next >= self._limit)
                while len(confirms) < _WINDOW and not is_ending:
                    confirms.add((self.next, time.monotonic()))
                    self._channel.publish((b"%d " % self.next).ljust(_BODY, b"s"), key=_QUEUE, delivery_mode=2)
                    self.next += 1
                if not len(confirms):
                    return
                for number, sent in confirms.take(self._channel.expect("basic.ack", timeout=60)):
                    now = time.monotonic()
                    self.confirmed.append((now, number))
                    self.slowest = max(self.slowest, now - sent)
        except BaseException as failure:  # noqa: BLE001
            self._failure = failure

    def end(self) -> None:
        """Waits until everything published is confirmed."""
        self._is_ending.set()
        self.wait()

    def wait(self) -> None:
        """Waits until its limit is reached."""
        self._thread.join(120)
        assert not self._thread.is_alive(), "publishing has not ended"
        if self._failure:
            raise self._failure


def _numbers(channel: Channel) -> list[int]:
    """Takes all messages out of the queue."""
    count = channel.counts(_QUEUE)[0]
    channel.consume(_QUEUE, no_ack=True)
    return [int(channel.deliver(timeout=60).body.split(b" ", 1)[0]) for _ in range(count)]


def _acknowledge(martlet: Martlet) -> None:
    """Has messages published, delivered and acknowledged that no copy may have any more."""
    channel = _publisher(martlet)
    channel.rpc("queue.declare", queue=_ACKNOWLEDGED, durable=True)
    channel.rpc("confirm.select")
    confirms = Confirms()
    for number in range(500):
        confirms.add(number)
        channel.publish(b"%d" % number, key=_ACKNOWLEDGED, delivery_mode=2)
    while confirms:
        confirms.take(channel.expect("basic.ack"))
    channel.consume(_ACKNOWLEDGED)
    last = [channel.deliver() for _ in range(500)][-1]
    channel.send("basic.ack", delivery_tag=last.delivery_tag, multiple=True)
    # Behind this confirm the acknowledgement is settled.
    confirms.add(0)
    channel.publish(b"last", key=_QUEUE + ".else", delivery_mode=2)
    confirms.take(channel.expect("basic.ack"))
    channel.connection.close()


@scenario("snapshot of a running broker", limit=240)
def snapshot() -> None:
    """Made under load: it has everything confirmed before, nothing twice, and a broker starts from it; nobody waited for it."""
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        data, copy = os.path.join(folder, "data"), os.path.join(folder, "copy")
        with Martlet("--port", "0", "--data-dir", data, "--shards", "2") as martlet:
            channel = _publisher(martlet)
            channel.rpc("queue.declare", queue=_QUEUE, durable=True)
            channel.rpc("queue.declare", queue=_QUEUE + ".else", durable=True)
            _acknowledge(martlet)
            before = _Publisher(martlet, 0, _BEFORE)
            before.wait()
            load = _Publisher(martlet, before.next)
            eventually(lambda: len(load.confirmed) > 2_000, 30)
            load.slowest = 0.0
            called = time.monotonic()
            made = run("ctl", "--data-dir", data, "snapshot", copy, seconds=120)
            seconds = time.monotonic() - called
            slowest = load.slowest
            assert (made.returncode, made.stderr) == (0, ""), made
            assert made.stdout == f'Making a snapshot in "{copy}" ...\nSnapshot made in {copy}\n', made.stdout
            # Publishing goes on as before.
            count = len(load.confirmed)
            eventually(lambda: len(load.confirmed) > count + 1_000, 30)
            load.end()
            again = run("ctl", "--data-dir", data, "snapshot", copy)
            assert again.returncode == 69 and f"cannot make the snapshot {copy}: it exists already" in again.stderr, again
            nowhere = run("ctl", "--data-dir", data, "snapshot", os.path.join(folder, "missing", "copy"))
            assert nowhere.returncode == 69 and "there is no directory" in nowhere.stderr, nowhere
            assert sorted(os.listdir(folder)) == ["copy", "data"], os.listdir(folder)
            octets = sum(entry.stat().st_size for entry in Path(copy).iterdir())
            tell(
                f"a snapshot of {octets >> 20} MiB in {seconds:.2f} s under load; "
                f"the slowest confirm meanwhile took {slowest * 1e3:.0f} ms"
            )
            assert slowest < _PATIENCE, f"a confirm took {slowest:.2f} s"
            published, confirmed = load.next, {number for at, number in load.confirmed if at < called}
        confirmed |= {number for _, number in before.confirmed}
        # The first broker was killed; both directories start.
        with Martlet("--port", "0", "--data-dir", copy) as second, Martlet("--port", "0", "--data-dir", data) as first:
            for martlet, least in ((second, confirmed), (first, set(range(published)))):
                use(martlet)
                channel = _publisher(martlet)
                found = _numbers(channel)
                assert len(set(found)) == len(found), "a message came twice"
                assert least <= set(found), f"{len(least - set(found))} confirmed messages are missing"
                assert set(found) <= set(range(published)), "a message came that nobody has published"
                assert found == sorted(found), "the order has changed"
                assert channel.counts(_ACKNOWLEDGED)[0] == 0, "acknowledged messages are there again"
                assert "[error]" not in martlet.log(), martlet.log()
            # The copy is a data directory like another: it can be written to, and copied.
            use(second)
            channel = _publisher(second)
            channel.rpc("confirm.select")
            channel.publish(b"new", key=_QUEUE, delivery_mode=2)
            channel.expect("basic.ack")
            copy_of_copy = os.path.join(folder, "third")
            assert run("ctl", "--data-dir", copy, "snapshot", copy_of_copy, seconds=60).returncode == 0
        with Martlet("--port", "0", "--data-dir", copy_of_copy) as third:
            use(third)
            assert _publisher(third).get(_QUEUE).body == b"new"


@scenario("snapshot called off", limit=120)
def called_off() -> None:
    """A broker that is stopped while it makes a snapshot ends as ever and leaves no part of one."""
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        data, copy = os.path.join(folder, "data"), os.path.join(folder, "copy")
        with Martlet("--port", "0", "--data-dir", data) as martlet:
            use(martlet)
            _publisher(martlet).rpc("queue.declare", queue=_QUEUE, durable=True)
            _Publisher(martlet, 0, _BEFORE).wait()
            asking = subprocess.Popen(
                [program(), "ctl", "--data-dir", data, "snapshot", copy],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment(),
                preexec_fn=die_with_parent,
            )
            try:
                eventually(lambda: len(os.listdir(folder)) > 1, 30, 0)
                assert martlet.stop() == 0, martlet.log()
                _, error = asking.communicate(timeout=30)
            finally:
                asking.kill()
            # It may have been faster than we.
            there = ["copy", "data"] if asking.returncode == 0 else ["data"]
            assert sorted(os.listdir(folder)) == there, (os.listdir(folder), error)


@scenario("snapshot again after a kill", limit=120)
def again_after_a_kill() -> None:
    """A broker that is killed while it makes a snapshot leaves something; the next call takes its place."""
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        data, copy = os.path.join(folder, "data"), os.path.join(folder, "copy")
        for attempt in range(5):
            with Martlet("--port", "0", "--data-dir", data) as martlet:
                use(martlet)
                _publisher(martlet).rpc("queue.declare", queue=_QUEUE, durable=True)
                _Publisher(martlet, attempt * _BEFORE, (attempt + 1) * _BEFORE).wait()
                asking = subprocess.Popen(
                    [program(), "ctl", "--data-dir", data, "snapshot", copy],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment(),
                    preexec_fn=die_with_parent,
                )
                try:
                    eventually(lambda: len(os.listdir(folder)) > 1, 30, 0)
                    martlet.process.kill()
                    asking.wait(30)
                finally:
                    asking.kill()
            if "copy.unfinished" in os.listdir(folder):
                break
            # It was faster than we.
            shutil.rmtree(copy)
        assert sorted(os.listdir(folder)) == ["copy.unfinished", "data"], os.listdir(folder)
        with Martlet("--port", "0", "--data-dir", data) as martlet:
            made = run("ctl", "--data-dir", data, "snapshot", copy, seconds=100)
            assert (made.returncode, made.stderr) == (0, ""), made
            assert sorted(os.listdir(folder)) == ["copy", "data"], os.listdir(folder)
            use(martlet)
            count = _publisher(martlet).counts(_QUEUE)[0]
        with Martlet("--port", "0", "--data-dir", copy) as martlet:
            use(martlet)
            assert _publisher(martlet).counts(_QUEUE)[0] == count
