"""Power cuts: the process ends, and with it everything that it had not synced, in part or wholly."""

import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from account import LARGE
from clients import open_channel
from confirms import Confirms
from disk import Disk, assert_same
from martlet import Martlet
from rounds import LIMIT, ROUNDS, SEED, Plan, run_rounds, tell
from scenarios import scenario
from waiting import Waiting

_QUEUE = "durability.cut"
#: Milliseconds from one sync to the next, and seconds that a sync and a thread that wakes up may take besides.
_INTERVAL, _SYNC = 300, 0.2


def _run(name: str, rounds: int, plan: Plan) -> None:
    counts = run_rounds(name, rounds, plan).counts
    what = "writes not synced", "writes torn", "changes of names not synced", "changes of names lost"
    tell(f"{name}: {counts['cuts']} cuts: " + ", ".join(f"{counts[key]} {key}" for key in what))


@scenario("power cut under load", limit=LIMIT)
def under_load() -> None:
    """From the first start in nothing on, whatever was not synced is lost or torn: all that was confirmed is there."""
    _run("power cut under load", max(2, ROUNDS // 4), Plan(has_power_cuts=True, shards=(1, 2), early_kills=(0, 1)))


@scenario("power cut while log files change", limit=LIMIT)
def while_files_change() -> None:
    """The same while the log goes from file to file, and while it starts."""
    plan = Plan(has_power_cuts=True, first=LARGE, early_kills=(1, 0, 2))
    _run("power cut while log files change", max(2, ROUNDS // 4), plan)


@scenario("power cut while the log is trimmed", limit=LIMIT)
def while_trimmed() -> None:
    """The same when what is live has just been told again and old files go."""
    plan = Plan(has_power_cuts=True, first=LARGE, files=2)
    _run("power cut while the log is trimmed", max(1, ROUNDS // 10), plan)


def _confirm(directory: Path, variables: dict[str, str], count: int) -> None:
    """Starts a broker, has messages confirmed, and kills it."""
    with Martlet("--port", "0", "--data-dir", directory, **variables) as martlet:
        channel = open_channel(martlet)
        channel.rpc("queue.declare", queue=_QUEUE, durable=True)
        channel.rpc("confirm.select")
        confirms = Confirms()
        for number in range(count):
            confirms.add(number)
            channel.publish(b"%d" % number * 100, key=_QUEUE, delivery_mode=2)
        while confirms:
            confirms.take(channel.expect("basic.ack"))
        assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL


class _Numbers:
    """Numbers that are published and confirmed one behind the other, over several lives of a broker."""

    def __init__(self) -> None:
        #: When each was confirmed (monotonic).
        self.confirmed: list[float] = []

    def publish(self, martlet: Martlet, seconds: float) -> None:
        """Has numbers confirmed for so long."""
        channel = open_channel(martlet)
        channel.rpc("queue.declare", queue=_QUEUE, durable=True)
        channel.rpc("confirm.select")
        confirms, end = Confirms(), time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(20):
                number = len(self.confirmed) + len(confirms)
                confirms.add(number)
                channel.publish(self._body(number), key=_QUEUE, delivery_mode=2)
            while confirms:
                self.confirmed += [time.monotonic()] * len(confirms.take(channel.expect("basic.ack")))

    def check(self, martlet: Martlet, before: float) -> int:
        """Sees that those confirmed before a time are there, whole and in order; returns how many of the others are lost.

        What is there is acknowledged, and numbers begin anew.
        """
        channel = open_channel(martlet)
        count = channel.counts(_QUEUE)[0]
        channel.rpc("basic.consume", queue=_QUEUE, consumer_tag="check")
        there = []
        for _ in range(count):
            body = channel.expect("basic.deliver").body
            there.append(int(body.split(b":")[0]))
            assert body == self._body(there[-1]), f"{body[:20]!r} is not what was published"
        if count:
            channel.send("basic.ack", delivery_tag=0, multiple=True)
            channel.rpc("queue.declare", queue=_QUEUE, durable=True)
        channel.connection.close()
        assert there == sorted(set(there)), "doubled or reordered"
        missing = sorted(set(range(len(self.confirmed))) - set(there))
        early = [number for number in missing if self.confirmed[number] < before]
        assert not early, f"{len(early)} lost that were confirmed in time, {early[:5]} of {len(self.confirmed)}: {martlet.log()}"
        self.confirmed = []
        return len(missing)

    @staticmethod
    def _body(number: int) -> bytes:
        return b"%d:" % number + bytes(number % 700)


@contextmanager
def _broker(disk: Disk, *options: str) -> Iterator[Martlet]:
    with Martlet("--port", "0", "--data-dir", disk.root / "data", *options, **disk.variables()) as martlet:
        yield martlet


@scenario("power cut between two syncs", limit=LIMIT)
def between_syncs() -> None:
    """With `--sync interval` a power cut costs what was confirmed since the last sync, and nothing that is older."""
    chance, disk, numbers = random.Random(SEED), Disk(f"{SEED} interval"), _Numbers()
    options = "--sync", "interval", "--sync-interval", str(_INTERVAL)
    rounds, excused, lost = max(2, ROUNDS // 4), 0, 0
    try:
        with _broker(disk, *options) as martlet:
            numbers.publish(martlet, 0.1)
            assert martlet.stop(signal.SIGTERM) == 0, martlet.log()
        disk.cut()
        for _ in range(rounds):
            with _broker(disk, *options) as martlet:
                waiting = Waiting(martlet.process.pid)
                numbers.publish(martlet, chance.uniform(0.1, 2.0))
                ended = time.monotonic()
                is_excused = waiting.is_excuse()
                assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
            disk.cut(loses_all=chance.random() < 0.5)
            # Whose threads had to wait for a processor, or for the disk, cannot be in time.
            excused += is_excused
            with _broker(disk, *options) as martlet:
                lost += numbers.check(martlet, ended - _INTERVAL / 1_000 - (5 if is_excused else 1) * _SYNC)
                assert martlet.stop(signal.SIGTERM) == 0, martlet.log()
            disk.cut()
    finally:
        disk.close()
    assert lost, "nothing was lost: there was no power cut"
    tell(f"power cut between two syncs: {rounds} cuts, {excused} excused, {lost} messages lost in the last interval")


@scenario("power cut without syncs", limit=LIMIT)
def without_syncs() -> None:
    """With `--sync never` a power cut costs what is not written: a stop in good order syncs, a start takes what is left."""
    chance, disk, numbers = random.Random(SEED), Disk(f"{SEED} never"), _Numbers()
    options = "--sync", "never"
    rounds, lost = max(2, ROUNDS // 4), 0
    try:
        for _ in range(rounds):
            with _broker(disk, *options) as martlet:
                numbers.publish(martlet, 0.1)
                assert martlet.stop(signal.SIGTERM) == 0, martlet.log()
            disk.cut()
            synced = time.monotonic()
            with _broker(disk, *options) as martlet:
                numbers.publish(martlet, chance.uniform(0.05, 0.5))
                assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
            disk.cut(loses_all=chance.random() < 0.5)
            with _broker(disk, *options) as martlet:
                lost += numbers.check(martlet, synced)
                assert martlet.stop(signal.SIGTERM) == 0, martlet.log()
            disk.cut()
    finally:
        disk.close()
    assert lost, "nothing was lost: there was no power cut"
    tell(f"power cut without syncs: {rounds} cuts, {lost} messages lost that were not synced")


@scenario("kill between two syncs", limit=LIMIT)
def killed_between_syncs() -> None:
    """Whatever `--sync` says, a kill costs nothing."""
    for policy in ("interval", "never"):
        plan = Plan(shards=(1, 2), early_kills=(0, 1), options=("--sync", policy))
        run_rounds(f"kill with --sync {policy}", max(2, ROUNDS // 4), plan)


@scenario("the power cut is one")
def is_real() -> None:
    """The check itself: it sees every write, for without a sync nothing at all is left, and then misses what is lost."""
    for plant in ("data", "names"):
        disk = Disk(f"{SEED} {plant}")
        try:
            directory = disk.root / "data"
            _confirm(directory, disk.variables(), 200)
            disk.cut()
            with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
                before = Path(folder, "before")
                shutil.copytree(directory, before)
                _confirm(directory, disk.variables(plant), 200)
                disk.cut(loses_all=True)
                if plant == "data":
                    # Names were synced, so there may be new ones, of files without content.
                    for path in before.iterdir():
                        assert (directory / path.name).read_bytes() == path.read_bytes(), path.name
                else:
                    new = {path.name for path in directory.iterdir()} - {path.name for path in before.iterdir()}
                    assert not new, new
            with Martlet("--port", "0", "--data-dir", directory) as martlet:
                channel = open_channel(martlet)
                assert channel.counts(_QUEUE)[0] == (200 if plant == "data" else 400), channel.counts(_QUEUE)
        finally:
            disk.close()
    for plant in ("data", "names"):
        try:
            # Names are at stake when the log goes on in another file.
            files = {"first": LARGE, "files": 2} if plant == "names" else {}
            run_rounds(f"planted: {plant} are not synced", 12, Plan(has_power_cuts=True, plant=plant, **files))
        except AssertionError:
            continue
        raise AssertionError(f"syncs of {plant} counted for nothing, and nothing was missed")
