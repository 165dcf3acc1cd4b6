"""Floods without consumers, unacknowledged messages, and clients that do not read: what they cost everybody else."""

import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from amqp import Channel, Connection, content_frames, method_frame
from clients import use
from martlet import Martlet
from processes import die_with_parent
from rounds import tell
from scenarios import scenario

_MEBI = 1 << 20
#: What resident memory may be above the budget: issue 3.
_ABOVE_BUDGET = 200 * _MEBI
_NEVER_READ_OCTETS = _MEBI


@dataclass
class Sizes:
    """How much of everything; the defaults are for a usual run of Interop."""

    #: Octets of each flood.
    flood: int = 64 * _MEBI
    budget: int = 256 * _MEBI
    #: Messages of the queue that is purged and deleted.
    backlog: int = 100_000
    unacknowledged: int = 100_000
    shards: int = 2
    #: For each unacknowledged message beyond its body: what is the same for fewer is a larger part of each.
    unacknowledged_octets: int = 150
    #: Of another queue's round trip, in seconds: a machine that is busy with other things needs more than issue 3 allows.
    p99: float = 0.2
    worst: float = 2.0


@dataclass
class Row:
    """A line of the table."""

    what: str
    seconds: float
    octets: int = 0
    note: str = ""
    resident: int = 0
    trips: list[float] = field(default_factory=list)
    begin: float = 0.0

    @property
    def p99(self) -> float:
        """Of the round trips meanwhile, in seconds."""
        return statistics.quantiles(self.trips, n=100)[98] if len(self.trips) > 1 else 0.0

    def __str__(self) -> str:
        rate = f"{self.octets / _MEBI / self.seconds:8.0f} MiB/s" if self.octets else " " * 14
        trips = f"{len(self.trips):6} trips, p99 {self.p99 * 1e3:6.1f} ms, worst {max(self.trips, default=0) * 1e3:7.1f} ms"
        return f"{self.what:34} {self.seconds:7.2f} s {rate} RSS {self.resident / _MEBI:6.0f} MiB, {trips}  {self.note}"


def resident(process: int) -> int:
    """Octets of a process in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096


def _measure_trips(martlet: Martlet, pipe: Pipe) -> None:
    """Sends a message to a queue of its own and receives it, until told to end; answers when and how long each took."""
    die_with_parent()
    use(martlet)
    connection = Connection(time.monotonic() + 3_600)
    # Whoever wants to know is told that it is blocked, in the middle of everything: a flood of several GiB may be.
    connection.log_in(client_properties={"capabilities": {"connection.blocked": False}})
    channel = connection.channel()
    queue = channel.rpc("queue.declare", exclusive=True).queue
    channel.consume(queue, no_ack=True)
    octets = method_frame(1, "basic.publish", routing_key=queue) + content_frames(1, b"x" * 16, 131072)
    trips = []
    pipe.send("ready")
    while not pipe.poll():
        began = time.monotonic()
        connection.write(octets)
        channel.deliver(timeout=60)
        trips.append((began, time.monotonic() - began))
        time.sleep(0.002)
    pipe.send(trips)


class _Watch:
    """Measures memory and another queue's round trips all the time."""

    def __init__(self, martlet: Martlet) -> None:
        self._martlet = martlet
        self._samples: list[tuple[float, int]] = []
        self._is_ending = threading.Event()
        self._pipe, theirs = multiprocessing.Pipe()
        # A process of its own: what this one is busy with must not look like the broker's delay.
        self._process = multiprocessing.get_context("fork").Process(target=_measure_trips, args=(martlet, theirs))
        self._process.start()
        assert self._pipe.recv() == "ready"
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._is_ending.wait(0.02):
            self._samples.append((time.monotonic(), resident(self._martlet.process.pid)))

    def end(self, rows: list[Row]) -> None:
        """Ends, and gives every row what was measured while it went on."""
        self._is_ending.set()
        self._thread.join()
        self._pipe.send("end")
        trips = self._pipe.recv()
        self._process.join(10)
        for row in rows:
            end = row.begin + row.seconds
            row.trips = [length for began, length in trips if row.begin <= began + length and began <= end]
            row.resident = max((octets for moment, octets in self._samples if row.begin <= moment <= end), default=0)


def _publisher(martlet: Martlet) -> Channel:
    """Returns a channel of a connection that may take an hour."""
    use(martlet)
    connection = Connection(time.monotonic() + 3_600)
    # Whoever wants to know is told that it is blocked, in the middle of everything: a flood of several GiB may be.
    connection.log_in(client_properties={"capabilities": {"connection.blocked": False}})
    return connection.channel()


def _publish(martlet: Martlet, queue: str, size: int, count: int, is_persistent: bool) -> None:
    """Publishes as fast as the broker takes it, and returns when all of it is in the queue."""
    channel = _publisher(martlet)
    frame_max = channel.connection.frame_max
    mode = 2 if is_persistent else 1
    message = method_frame(channel.number, "basic.publish", exchange="", routing_key=queue) + content_frames(
        channel.number, b"m" * size, frame_max, delivery_mode=mode
    )
    batch = max(1, min(count, 262_144 // len(message)))
    octets = message * batch
    for _ in range(count // batch):
        channel.connection.write(octets)
    channel.connection.write(message * (count % batch))
    channel.connection.limit = time.monotonic() + 600
    channel.connection.write(method_frame(channel.number, "channel.flow", active=True))
    channel.expect("channel.flow-ok", timeout=600)
    channel.connection.close()


class _Floods:
    """One after the other against one broker."""

    def __init__(self, martlet: Martlet, sizes: Sizes) -> None:
        self._martlet, self._sizes = martlet, sizes
        self._channel = _publisher(martlet)
        self._watch = _Watch(martlet)
        self.rows: list[Row] = []

    def _do(self, what: str, work: Callable[[], str | None], octets: int = 0) -> None:
        began = time.monotonic()
        note = work() or ""
        self.rows.append(Row(what, time.monotonic() - began, octets, note, begin=began))

    def run(self) -> list[Row]:
        """Everything; returns the table."""
        try:
            # First, while nothing that was freed can hide what they take.
            self._unacknowledged()
            self._never_reads()
            for is_persistent in (False, True):
                for size, name in ((1 << 10, "1 KiB"), (1 << 20, "1 MiB")):
                    self._flood(f"{'persistent' if is_persistent else 'transient'} {name}", size, is_persistent)
            for is_deleted in (False, True):
                self._backlog(is_deleted)
        finally:
            self._watch.end(self.rows)
        return self.rows

    def _declare(self, name: str) -> str:
        return self._channel.rpc("queue.declare", queue=name, durable=True).queue

    def _flood(self, name: str, size: int, is_persistent: bool) -> None:
        queue, count = self._declare(name), self._sizes.flood // size
        self._do(
            f"flood of {name}",
            lambda: _publish(self._martlet, queue, size, count, is_persistent),
            self._sizes.flood,
        )
        there = self._channel.counts(queue)[0]
        assert there == count, f"{there} of {count} {name}"
        self._do(f"drained, {name}", lambda: self._drain(queue, size, count), self._sizes.flood)
        self._channel.rpc("queue.delete", queue=queue)

    def _drain(self, queue: str, size: int, count: int) -> None:
        """Consumes all of it with acknowledgements."""
        channel = _publisher(self._martlet)
        channel.rpc("basic.qos", prefetch_count=200)
        channel.consume(queue)
        for number in range(1, count + 1):
            event = channel.deliver(timeout=60)
            assert len(event.body) == size, len(event.body)
            if number % 50 == 0 or number == count:
                channel.send("basic.ack", delivery_tag=event.delivery_tag, multiple=True)
        channel.connection.close()

    def _backlog(self, is_deleted: bool) -> None:
        what, count = "deleted" if is_deleted else "purged", self._sizes.backlog
        queue = self._declare("backlog")
        self._do(f"backlog of {count}", lambda: _publish(self._martlet, queue, 16, count, False), 16 * count)

        def end() -> None:
            self._channel.send("queue.delete" if is_deleted else "queue.purge", queue=queue)
            ok = self._channel.expect("queue.delete-ok", "queue.purge-ok", timeout=60)
            assert ok.message_count == count, ok
            # What it leaves to do later belongs to it.
            time.sleep(0.3)

        self._do(f"backlog {what}", end)

    def _unacknowledged(self) -> None:
        queue, count = self._declare("u"), self._sizes.unacknowledged

        def hold() -> str:
            channel = _publisher(self._martlet)
            channel.consume(queue)
            # The first ones bring what does not grow with their number: code, buffers, pools.
            for number in (count // 4, count):
                before = resident(self._martlet.process.pid)
                _publish(self._martlet, queue, 16, number, False)
                for _ in range(number):
                    channel.deliver(timeout=60)
            each = (resident(self._martlet.process.pid) - before) / count - 16
            assert each <= self._sizes.unacknowledged_octets, f"{each:.0f} octets for each unacknowledged message beyond its body"
            channel.connection.drop()
            return f"{each:.0f} octets each beyond the body"

        self._do(f"{count} unacknowledged", hold)
        self._channel.rpc("queue.delete", queue=queue)

    def _never_reads(self) -> None:
        queue, clients = self._declare("never"), 8
        _publish(self._martlet, queue, 10_000, 2_000, False)

        def wait() -> str:
            before = resident(self._martlet.process.pid)
            channels = [_publisher(self._martlet) for _ in range(clients)]
            for channel in channels:
                channel.send("basic.consume", queue=queue, nowait=True)
            time.sleep(1)
            each = (resident(self._martlet.process.pid) - before) / clients
            assert each <= _NEVER_READ_OCTETS, f"{each:.0f} octets for each consumer that never reads"
            for channel in channels:
                channel.connection.drop()
            return f"{each / 1024:.0f} KiB each"

        self._do(f"{clients} consumers that never read", wait)
        self._channel.rpc("queue.delete", queue=queue)


def run_floods(sizes: Sizes, say: Callable[[str], object] = tell) -> None:
    """Runs all of it, prints the table, and fails if a bound was not kept."""
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as path:
        options = "--data-dir", path, "--memory-limit", sizes.budget, "--shards", sizes.shards
        with Martlet("--port", "0", *options) as martlet:
            floods = _Floods(martlet, sizes)
            try:
                floods.run()
            finally:
                for row in floods.rows:
                    say(str(row))
            assert "[error]" not in martlet.log(), martlet.log()
    wrong = [
        f"{row.what}: {problem}"
        for row in floods.rows
        for is_wrong, problem in (
            (row.resident > sizes.budget + _ABOVE_BUDGET, f"{row.resident / _MEBI:.0f} MiB resident"),
            (row.p99 > sizes.p99, f"p99 {row.p99 * 1e3:.1f} ms"),
            (max(row.trips, default=0) > sizes.worst, f"worst {max(row.trips, default=0) * 1e3:.0f} ms"),
        )
        if is_wrong
    ]
    assert not wrong, "\n".join(wrong)


@scenario("floods", limit=120)
def floods() -> None:
    """Floods, a long queue's end, unacknowledged messages and clients that do not read: memory is bounded, others served."""
    run_floods(Sizes())
