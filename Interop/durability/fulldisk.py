"""A disk that fills up: nothing confirmed is lost, consumers are served, and with room publishing goes on."""

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from amqp import Channel, Closed, Connection, Silence, content_frames, method_frame
from clients import open_channel, use
from confirms import Confirms
from martlet import Martlet
from rounds import ROUNDS, SEED, tell
from scenarios import Skipped, eventually, scenario

_FILLED, _SERVED, _FLOODED = "durability.full", "durability.served", "durability.flooded"
_SIZE = 20_000
_WINDOW = 40
#: What a publisher tries to get rid of on a full disk, and how much of it the broker may take into memory.
_FLOOD, _TAKEN = 400_000_000, 100_000_000
#: What the broker may take for a step; on a busy machine it is not the broker that is slow.
_PATIENCE = 1.0 if ROUNDS >= 50 else 5.0
_CLONE_NEWNS = 0x20000


@contextlib.contextmanager
def _small_disk(mebibytes: int) -> Iterator[Path]:
    """Mounts a disk of that size that only this process and its children see, so that it ends with them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise Skipped(f"cannot mount a small disk: {os.strerror(ctypes.get_errno())}")
    with tempfile.TemporaryDirectory(prefix="martlet-full-") as folder:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}M", "martlet-full", folder]
        mounted = subprocess.run(command, capture_output=True, text=True)
        if mounted.returncode:
            raise Skipped(f"cannot mount a small disk: {mounted.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def _fill(disk: Path, left: int = 0) -> None:
    """Takes all the room there is, but for some octets."""
    with open(disk / "filler", "ab", buffering=0) as filler:
        for size in (1 << 20, 1 << 12):
            # Others may take room meanwhile.
            with contextlib.suppress(OSError):
                while os.statvfs(disk).f_bavail * 4096 >= size + left:
                    filler.write(bytes(size))


def _shrink(disk: Path) -> None:
    """Takes the room away at once, however much there is."""
    for _ in range(20):
        size = os.statvfs(disk)
        used = (size.f_blocks - size.f_bfree) * size.f_frsize
        # Others may take more than that meanwhile: then the system refuses, and it is tried again.
        options = f"remount,size={used + (1 << 20)}"
        shrunk = subprocess.run(["mount", "-o", options, disk], capture_output=True, text=True)
        if not shrunk.returncode:
            return
    raise AssertionError(f"the disk cannot be made smaller: {shrunk.stderr.strip()}")


def _grow(disk: Path) -> None:
    """Gives room whatever the broker itself has taken: 256 MiB."""
    size = os.statvfs(disk)
    used = (size.f_blocks - size.f_bfree) * size.f_frsize
    subprocess.run(["mount", "-o", f"remount,size={used + (256 << 20)}", disk], check=True)


def _body(number: int) -> bytes:
    return b"%08d" % number * (_SIZE // 8)


class _Publisher:
    """Publishes as fast as it may, and goes on over a full disk."""

    def __init__(self, martlet: Martlet, first: int = 0) -> None:
        use(martlet)
        self.confirmed: list[int] = []
        self.last_confirm = time.monotonic()
        #: When it was told that it is blocked, and when no more.
        self.blocked: list[float] = []
        self.unblocked: list[float] = []
        self.problem: BaseException | None = None
        self._next = first
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def kill(self, martlet: Martlet) -> None:
        """Kills the broker and waits until the last confirm is read."""
        self._is_ending.set()
        assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
        self._thread.join(20)
        assert not self._thread.is_alive() and not self.problem, repr(self.problem)

    def _run(self) -> None:
        try:
            connection = Connection(time.monotonic() + 180)
            connection.log_in()
            self._publish(connection.channel())
        except Closed:
            if not self._is_ending.is_set():
                self.problem = AssertionError("the connection ended")
        except BaseException as problem:
            self.problem = problem

    def _publish(self, channel: Channel) -> None:
        channel.rpc("confirm.select")
        connection, confirms = channel.connection, Confirms()
        while True:
            while len(confirms) < _WINDOW:
                confirms.add(self._next)
                connection.write(
                    method_frame(channel.number, "basic.publish", exchange="", routing_key=_FILLED)
                    + content_frames(channel.number, _body(self._next), connection.frame_max, delivery_mode=2)
                )
                self._next += 1
            try:
                _, event = connection.read_event(120)
            except Silence as silence:
                raise AssertionError("no confirm for two minutes") from silence
            if event.name == "connection.blocked":
                assert event.reason == "low on disk", event
                self.blocked.append(time.monotonic())
            elif event.name == "connection.unblocked":
                self.unblocked.append(time.monotonic())
            else:
                self.confirmed += confirms.take(event)
                self.last_confirm = time.monotonic()

    def wait_until_stalled(self) -> None:
        """Waits until it gets no more confirms."""
        eventually(lambda: time.monotonic() - self.last_confirm > 0.7 or self.problem, seconds=60)
        assert not self.problem, repr(self.problem)

    def wait_for_progress(self, martlet: Martlet, since: float) -> float:
        """Waits until it gets confirms again; returns how long after a moment that was."""
        count = len(self.confirmed)
        while len(self.confirmed) == count:
            late = time.monotonic() - since
            assert late < 2 * _PATIENCE and not self.problem, f"no confirm after {late:.1f} s: {martlet.log()}"
            time.sleep(0.005)
        return self.last_confirm - since


def _start(disk: Path) -> Martlet:
    return Martlet("--port", "0", "--data-dir", disk / "data")


def _prepare(martlet: Martlet) -> None:
    channel = open_channel(martlet)
    for queue in (_FILLED, _SERVED, _FLOODED):
        channel.rpc("queue.declare", queue=queue, durable=True)
    channel.rpc("confirm.select")
    confirms = Confirms()
    for number in range(200):
        confirms.add(number)
        channel.publish(b"%d" % number, key=_SERVED, delivery_mode=2)
    while confirms:
        confirms.take(channel.expect("basic.ack"))
    channel.connection.close()


def _serve(martlet: Martlet) -> Channel:
    """Consumes and acknowledges all of a queue while there is no room; returns the channel."""
    channel = open_channel(martlet)
    channel.rpc("basic.qos", prefetch_count=20)
    tag = channel.consume(_SERVED)
    for number in range(200):
        event = channel.deliver(timeout=_PATIENCE)
        assert event.body == b"%d" % number, event
        channel.send("basic.ack", delivery_tag=event.delivery_tag)
    assert channel.counts(_SERVED)[0] == 0
    channel.rpc("basic.cancel", consumer_tag=tag)
    # What is not confirmed yet is not delivered; what was confirmed is.
    assert channel.get(_FILLED, no_ack=False) is not None
    return channel


def _flood(martlet: Martlet) -> int:
    """Publishes without waiting for anything until the broker takes no more; returns how many octets it took."""
    use(martlet)
    connection = Connection(time.monotonic() + 60)
    connection.log_in()
    channel = connection.channel()
    octets = method_frame(channel.number, "basic.publish", exchange="", routing_key=_FLOODED) + content_frames(
        channel.number, bytes(1_000_000), connection.frame_max, delivery_mode=2
    )
    connection.socket.settimeout(1)
    taken = 0
    with contextlib.suppress(TimeoutError):
        while taken < _FLOOD:
            taken += connection.socket.send(octets[taken % len(octets) :])
    connection.drop()
    return taken


def _check(martlet: Martlet, confirmed: list[int], served: int) -> None:
    """Everything that was confirmed is there, once and in order."""
    channel = open_channel(martlet)
    assert channel.counts(_SERVED)[0] == served, f"{channel.counts(_SERVED)[0]} messages instead of {served}"
    numbers = []
    while (event := channel.get(_FILLED)) is not None:
        numbers.append(int(event.body[:8]))
        assert event.body == _body(numbers[-1]), f"damaged: {event.body[:30]!r}"
    assert numbers == sorted(set(numbers)), "twice, or in another order"
    lost = set(confirmed) - set(numbers)
    assert not lost, f"{len(lost)} of {len(confirmed)} confirmed messages are lost, {sorted(lost)[:5]} among them"


def _run(name: str, mebibytes: int, fill: Callable[[Path], None] | None, seconds: float = 0.3) -> None:
    with _small_disk(mebibytes) as disk, _start(disk) as martlet:
        _prepare(martlet)
        publisher = _Publisher(martlet)
        if fill:
            time.sleep(seconds)
            fill(disk)
        filled = time.monotonic()
        publisher.wait_until_stalled()
        assert martlet.process.poll() is None, martlet.log()
        assert publisher.blocked, f"nobody told the publisher that it is blocked: {martlet.log()}"
        late = max(0.0, publisher.blocked[-1] - (filled if fill else publisher.last_confirm))
        assert late < 0.1 * _PATIENCE, f"told {late:.3f} s after the disk was full"
        consumer = _serve(martlet)
        taken = _flood(martlet)
        assert taken < _TAKEN, f"a full disk, and {taken} octets were taken"
        # From here on the clock runs: there is room again.
        since = time.monotonic()
        if fill == _fill:
            os.unlink(disk / "filler")
        else:
            subprocess.run(["mount", "-o", f"remount,size={mebibytes + 400}M", disk], check=True)
        again = publisher.wait_for_progress(martlet, since)
        eventually(lambda: publisher.unblocked, seconds=2 * _PATIENCE)
        # A confirm behind the acknowledgements: they are in the log now.
        consumer.rpc("confirm.select")
        consumer.publish(b"fence", key=_SERVED, delivery_mode=2)
        consumer.expect("basic.ack", timeout=2 * _PATIENCE)
        publisher.kill(martlet)
        with _start(disk) as restarted:
            _check(restarted, publisher.confirmed, served=1)
    tell(
        f"{name}: told after {late:.3f} s, {taken} octets taken while it was full, "
        f"confirms {again:.3f} s after there was room, {len(publisher.confirmed)} confirmed and there"
    )


@scenario("disk full at once", limit=120)
def sudden() -> None:
    """Somebody takes all the room: publishers are blocked, consumers served, and it goes on when the room is back."""
    _run("disk full at once", 300, _fill)


@scenario("huge disk full at once", limit=120)
def huge() -> None:
    """However far away the limit was, publishers hear of it within a tenth of a second."""
    _run("huge disk full at once", 1 << 20, _shrink)


@scenario("disk full by publishing", limit=120)
def gradual() -> None:
    """The messages themselves fill the disk: the same."""
    _run("disk full by publishing", 200, None)


@scenario("ended on a full disk", limit=120)
def ended() -> None:
    """Killed on a full disk at any point and started there, it serves what was confirmed, and publishes with room."""
    chance = random.Random(f"{SEED} full")
    for _ in range(max(2, ROUNDS // 5)):
        _end(chance)


def _end(chance: random.Random) -> None:
    with _small_disk(chance.randint(280, 400)) as disk:
        with _start(disk) as martlet:
            _prepare(martlet)
            publisher = _Publisher(martlet)
            time.sleep(chance.uniform(0, 0.8))
            _fill(disk, left=chance.choice((0, 0, 5_000, 1 << 20)))
            publisher.wait_until_stalled()
            publisher.kill(martlet)
        with _start(disk) as martlet:
            channel = open_channel(martlet)
            count = channel.counts(_FILLED)[0]
            assert count >= len(publisher.confirmed), f"{count} of {len(publisher.confirmed)} confirmed messages"
            channel.connection.drop()
            _serve(martlet).connection.drop()
            os.unlink(disk / "filler")
            _grow(disk)
            second = _Publisher(martlet, first=100_000)
            second.wait_for_progress(martlet, time.monotonic())
            second.kill(martlet)
        with _start(disk) as martlet:
            channel = open_channel(martlet)
            left = channel.counts(_SERVED)[0]
            channel.connection.drop()
            _check(martlet, publisher.confirmed + second.confirmed, left)
