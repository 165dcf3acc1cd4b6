"""Files that were damaged at random while the broker was down: newest and older ones, in every way a disk or a hand does.

Of each message it is known where in which file it lies, so what may be missing afterwards is known, too.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from amqp import Channel
from clients import open_channel
from confirms import Confirms
from martlet import Martlet
from rounds import LIMIT, ROUNDS, SEED, tell
from scenarios import eventually, scenario

_QUEUE = "durability.wear"
_MARK = re.compile(rb"<(\d{6}):(\d{7})>")
_FILLER = random.Random(1).randbytes(1 << 20)
_REPORT = re.compile(r"(\S+) is (damaged|cut off) at octet (\d+): (\d+) octets lost")
#: What it says of the end of the last file.
_TAIL = re.compile(r"(\S+) ends at octet \d+: \d+ octets behind it are no whole commit")
#: Octets of a log file before its records.
_HEADER = 1024
#: The last messages are large and confirmed one by one, so that behind any one damage a commit begins.
_LAST = 3


def _body(number: int, size: int) -> bytes:
    start = number * 977 % 500
    return b"<%06d:%07d>" % (number, size) + _FILLER[start : start + size]


def _number(body: bytes) -> int:
    """Returns which message it is; fails if one octet of it is not as it was published."""
    match = _MARK.match(body)
    assert match and body == _body(int(match[1]), int(match[2])), f"a damaged body was served: {body[:60]!r}"
    return int(match[1])


@dataclass
class _Damage:
    """What was done: to which file, and which of its octets are not what they were."""

    kind: str
    file: Path
    ranges: list[tuple[int, int]]

    def __str__(self) -> str:
        return f"{self.kind} in {self.file.name} at {self.ranges}"


class _Original:
    """An undamaged directory, and where its messages lie."""

    def __init__(self, directory: Path, sizes: list[int]) -> None:
        self.directory, self.count = directory, len(sizes)
        with Martlet("--port", "0", "--data-dir", directory) as martlet:
            channel = open_channel(martlet)
            channel.rpc("queue.declare", queue=_QUEUE, durable=True)
            channel.rpc("confirm.select")
            confirms = Confirms()
            for number, size in enumerate(sizes):
                confirms.add(number)
                channel.publish(_body(number, size), key=_QUEUE, delivery_mode=2)
                while len(confirms) >= (1 if number >= len(sizes) - _LAST else 40):
                    confirms.take(channel.expect("basic.ack", timeout=20))
            # A quiet moment is marked, so that what is damaged before it is known to have been whole.
            eventually(lambda: self._is_marked(_body(len(sizes) - 1, sizes[-1])))
            assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
        self.files = sorted(path for path in directory.iterdir() if path.name.startswith("log-0"))
        #: By file: from where to where each message's record reaches, with what stands before it; and the end of data.
        self.places: dict[str, list[tuple[int, int, int]]] = {}
        self.ends: dict[str, int] = {}
        for path in self.files:
            octets, last, places = path.read_bytes(), _HEADER, []
            for match in _MARK.finditer(octets):
                end = match.end() + int(match[2])
                places.append((last, end, int(match[1])))
                last = end
            self.places[path.name], self.ends[path.name] = places, len(octets.rstrip(b"\0"))
        found = sorted(number for places in self.places.values() for _, _, number in places)
        assert found == list(range(self.count)), "the log does not hold every message once"

    def _is_marked(self, body: bytes) -> bool:
        octets = max(path for path in self.directory.iterdir() if path.name.startswith("log-0")).read_bytes()
        return any(octets[octets.index(body) + len(body) :])

    def copy(self, directory: Path) -> None:
        """Copies it; zeros take no room."""
        subprocess.run(["cp", "-r", "--sparse=always", self.directory, directory], check=True)

    def hit(self, damage: _Damage) -> tuple[set[int], bool]:
        """Returns the messages that damage touches, and whether it touches definitions."""
        places = self.places[damage.file.name]
        hit = {number for low, high, number in places for a, b in damage.ranges if a < high and low < b}
        first = places[0][1] if places else 0
        is_first = damage.file.name == self.files[0].name
        return hit, is_first and any(a < first and _HEADER < b for a, b in damage.ranges)


class _Vandal:
    """Does one kind of damage after the other."""

    KINDS = ("cut", "flip", "append", "zero", "swap", "overwrite", "insert")

    def __init__(self, chance: random.Random, original: _Original) -> None:
        self._random, self._original = chance, original

    def damage(self, directory: Path, kind: str, is_newest: bool) -> _Damage:
        """Damages a copy."""
        name = self._original.files[-1].name if is_newest else self._random.choice(self._original.files).name
        file, end = directory / name, self._original.ends[name]
        size = file.stat().st_size
        # Mostly where there is something, sometimes in the header, in the first definitions, or behind the data.
        low, high = self._random.choice(((0, end), (_HEADER, _HEADER + 100), *[(_HEADER, end + 64)] * 6))
        place = self._random.randint(low, high)
        with open(file, "r+b") as opened:
            ranges = getattr(self, "_" + kind)(opened, place, end, size)
        return _Damage(kind, file, ranges)

    def _put(self, file, offset: int, octets: bytes) -> tuple[int, int]:
        file.seek(offset)
        file.write(octets)
        return offset, offset + len(octets)

    def _cut(self, file, place: int, end: int, size: int) -> list[tuple[int, int]]:
        file.truncate(place)
        return [(place, size)]

    def _flip(self, file, place: int, end: int, size: int) -> list[tuple[int, int]]:
        file.seek(place)
        octet = file.read(1)
        return [self._put(file, place, bytes([octet[0] ^ 1 << self._random.randrange(8)]))] if octet else []

    def _append(self, file, place: int, end: int, size: int) -> list[tuple[int, int]]:
        # Behind the file, or behind the data within it.
        offset = self._random.choice((size, (end + 15) & ~7))
        return [self._put(file, offset, self._random.randbytes(self._random.choice((1, 100, 5_000, 300_000))))]

    def _zero(self, file, place: int, end: int, size: int) -> list[tuple[int, int]]:
        return [self._put(file, place, bytes(self._random.choice((1, 512, 4_096, 60_000))))]

    def _overwrite(self, file, place: int, end: int, size: int) -> list[tuple[int, int]]:
        return [self._put(file, place, self._random.randbytes(self._random.choice((1, 12, 512, 4_096))))]

    def _insert(self, file, place: int, end: int, size: int) -> list[tuple[int, int]]:
        file.seek(place)
        rest = file.read(end - place) if place < end else b""
        self._put(file, place, self._random.randbytes(self._random.choice((1, 8, 512))) + rest)
        return [(place, size)]

    def _swap(self, file, place: int, end: int, size: int) -> list[tuple[int, int]]:
        block = self._random.choice((512, 4_096))
        first, second = (self._random.randint(0, end) // block * block for _ in range(2))
        octets = []
        for offset in (first, second):
            file.seek(offset)
            octets.append(file.read(block))
        return [self._put(file, first, octets[1]), self._put(file, second, octets[0])]


def _receive(channel: Channel) -> list[int] | None:
    """Returns the numbers of all messages in their order; None when there is no queue."""
    channel.send("queue.declare", queue=_QUEUE, passive=True)
    event = channel.expect("queue.declare-ok", "channel.close")
    if event.name == "channel.close":
        channel.send("channel.close-ok")
        return None
    channel.rpc("basic.qos", prefetch_count=0)
    channel.consume(_QUEUE)
    # They stay in the queue: none is acknowledged.
    return [_number(channel.deliver(timeout=20).body) for _ in range(event.message_count)]


def _check(original: _Original, damage: _Damage, counts: Counter[str]) -> None:
    hit, hits_definitions = original.hit(damage)
    martlet = Martlet("--port", "0", "--data-dir", damage.file.parent)
    try:
        martlet.__enter__()
    except AssertionError as error:
        assert "ended with 1:" in str(error) and str(damage.file) in str(error), f"neither started nor said why: {error}"
        counts["refused"] += 1
        return
    try:
        numbers = _receive(open_channel(martlet))
        log = martlet.log()
    finally:
        martlet.__exit__()
    counts["started"] += 1
    counts["hit"] += len(hit)
    reports = [(match[1], int(match[3]), int(match[4])) for match in _REPORT.finditer(log)]
    counts["reported"] += bool(reports)
    assert all(path == str(damage.file) for path, _, _ in reports), f"another file is reported: {log}"
    # Damage that reaches to the end looks like a write that never ended; when nothing is left of it, like nothing at all.
    end = original.ends[damage.file.name]
    is_tail = any(b >= end for _, b in damage.ranges) and damage.file.name == original.files[-1].name
    tail = _TAIL.search(log)
    is_told = bool(reports) or (is_tail and ((tail and tail[1] == str(damage.file)) or damage.kind == "zero"))
    if numbers is None:
        assert hits_definitions and is_told, f"the queue is gone: {log}"
        served = re.search(r"(\d+) messages are of queue number 1, which nothing defines", log)
        assert len(hit) > original.count - 9 or (served and int(served[1]) >= original.count - len(hit) - 1), log
        counts["definitions lost"] += 1
        return
    assert numbers == sorted(set(numbers)), "messages came twice, or in another order"
    lost = set(range(original.count)) - set(numbers)
    counts["lost"] += len(lost)
    beyond = lost - hit
    # A record that does not hold a message may stand between two; each range may have cost the one beside it.
    assert len(beyond) <= len(damage.ranges), f"{len(beyond)} lost beyond the damage: {sorted(beyond)[:9]}; {log}"
    if lost:
        assert is_told, f"{len(lost)} messages are lost without a word: {log}"
    places = original.places[damage.file.name]
    for _, offset, octets in reports:
        lows = [max([0, *(low for low, high, _ in places if low <= a)]) for a, _ in damage.ranges]
        highs = [max([b, *(high for low, high, _ in places if low < b)]) for _, b in damage.ranges]
        assert any(low <= offset <= high for low, high in zip(lows, highs, strict=True)) or octets == 0, (
            f"reported at {offset}: {log}"
        )


def _run(name: str, sizes: list[int], rounds: int, is_newest: bool) -> None:
    chance = random.Random(f"{SEED} {name}")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        original = _Original(Path(folder, "original"), sizes)
        vandal = _Vandal(chance, original)
        for number in range(rounds):
            directory = Path(folder, "damaged")
            original.copy(directory)
            damage = vandal.damage(directory, _Vandal.KINDS[number % len(_Vandal.KINDS)], is_newest)
            try:
                _check(original, damage, counts)
            except AssertionError as error:
                raise AssertionError(f"{name}: round {number + 1}, MARTLET_SEED={SEED}: {damage}: {error}") from error
            shutil.rmtree(directory)
        files = len(original.files)
    said = ", ".join(f"{counts[key]} {key}" for key in ("started", "refused", "reported", "hit", "lost"))
    tell(f"{name}: {rounds} damages of {files} files: {said}, {counts['definitions lost']} definitions lost (seed {SEED})")


@scenario("random damage", limit=LIMIT)
def newest() -> None:
    """The newest file cut, flipped, extended, zeroed, swapped: it starts, serves the rest, and says what is lost."""
    chance = random.Random(f"{SEED} sizes")
    sizes = [chance.choice((0, 3, 60, 700, 4_000, 20_000)) for _ in range(300)] + [6_000] * _LAST
    _run("random damage", sizes, max(len(_Vandal.KINDS), ROUNDS // 2), is_newest=True)


@scenario("random damage of older files", limit=LIMIT)
def older() -> None:
    """The same in any of several files."""
    chance = random.Random(f"{SEED} sizes")
    sizes = [chance.choice((50, 5_000, 900_000, 1_000_000)) for _ in range(300)] + [6_000] * _LAST
    _run("random damage of older files", sizes, max(3, ROUNDS // 4), is_newest=False)


@scenario("damaged format")
def format_file() -> None:
    """A directory whose format file is damaged or gone is refused with the file's name, and left as it is."""
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        original = _Original(Path(folder, "original"), [10] * 5)
        whole = (original.directory / "format").read_bytes()
        for octets in (whole[:-1], bytes(len(whole)), whole[:20] + b"\xff" + whole[21:], b"", None):
            directory = Path(folder, "damaged")
            original.copy(directory)
            file = directory / "format"
            file.write_bytes(octets) if octets is not None else file.unlink()
            log = (directory / original.files[0].name).read_bytes()
            try:
                with Martlet("--port", "0", "--data-dir", directory):
                    raise RuntimeError(f"started with the format {octets!r}")
            except AssertionError as error:
                assert "ended with 1:" in str(error) and "format" in str(error), error
            assert (directory / original.files[0].name).read_bytes() == log
            assert octets is None or file.read_bytes() == octets
            shutil.rmtree(directory)
