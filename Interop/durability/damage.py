"""A log whose end was damaged while the broker was down: it costs the last record at most, and never a body."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from amqp import Channel
from clients import open_channel
from martlet import Martlet
from scenarios import scenario

_QUEUE = "durability.damage"
_COUNT = 20


def _body(number: int) -> bytes:
    # The last octet is not zero, so that the end of the data can be seen.
    return b"%d:" % number + bytes([number + 1]) * (50 + number * 37)


def _publish(channel: Channel, number: int) -> None:
    """Publishes a message and waits for its confirm, so that it is a commit of its own."""
    channel.publish(_body(number), key=_QUEUE, delivery_mode=2)
    assert channel.expect("basic.ack").name == "basic.ack"


def _newest_log(directory: Path) -> tuple[Path, int, int]:
    """Returns the newest file of the log, where its last message's body ends, and where its data does.

    Behind the last message there may be what says that it was synced; behind the data there are zeros.
    """
    file = max(path for path in directory.iterdir() if path.name.startswith("log-"))
    octets = file.read_bytes()
    body = _body(_COUNT - 1)
    assert octets.count(body) == 1, octets.count(body)
    return file, octets.index(body) + len(body), len(octets.rstrip(b"\0"))


def _write(file: Path, offset: int, octets: bytes) -> None:
    with open(file, "r+b") as opened:
        opened.seek(offset)
        opened.write(octets)


def _flip(file: Path, offset: int) -> None:
    _write(file, offset, bytes([file.read_bytes()[offset] ^ 0x10]))


_Damage = Callable[[Path, int, int], None]


def _damages() -> dict[str, tuple[_Damage, set[int]]]:
    """What is done to a file whose last body and data end at offsets, and how many messages may be there afterwards."""
    whole, less, either = {_COUNT}, {_COUNT - 1}, {_COUNT - 1, _COUNT}
    size = len(_body(_COUNT - 1))
    return {
        "truncated in the last body": (lambda file, body, _: os.truncate(file, body - 5), less),
        "truncated before the last body": (lambda file, body, _: os.truncate(file, body - size - 2), less),
        "truncated in the last octets": (lambda file, _, end: os.truncate(file, end - 5), either),
        "truncated behind the data": (lambda file, _, end: os.truncate(file, end + 7 & ~7), whole),
        "an octet of the last body flipped": (lambda file, body, _: _flip(file, body - 30), less),
        "an octet before the last body flipped": (lambda file, body, _: _flip(file, body - size - 2), less),
        "the end of the last body overwritten": (lambda file, body, _: _write(file, body - 9, b"garbage!!"), less),
        "zeros over the end of the last body": (lambda file, body, _: _write(file, body - 9, bytes(9)), less),
        "garbage behind the data": (lambda file, _, end: _write(file, end + 7 & ~7, bytes(range(1, 200))), whole),
        "garbage over the last octets": (lambda file, _, end: _write(file, end - 9, b"\xa5" * 4_000), either),
        "garbage from the last body on": (lambda file, body, _: _write(file, body - 9, b"\xa5" * 4_000), less),
        "garbage at the end of the file": (lambda file, *_: _write(file, file.stat().st_size - 64, b"x" * 64), whole),
    }


def _assert_serves(directory: Path, expected: set[int]) -> None:
    """Checks what is there, publishes one message more, and checks again after another kill."""
    with Martlet("--port", "0", "--data-dir", directory) as martlet:
        channel = open_channel(martlet)
        there, _ = channel.counts(_QUEUE)
        assert there in expected, f"{there} messages instead of {expected}: {martlet.log()}"
        channel.rpc("confirm.select")
        _publish(channel, there)
        assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
    with Martlet("--port", "0", "--data-dir", directory) as martlet:
        bodies = open_channel(martlet).drain(_QUEUE)
        assert bodies == [_body(number) for number in range(there + 1)], [body[:5] for body in bodies]


@scenario("damaged end of the log", limit=120)
def damaged_end() -> None:
    """Whatever happens to the log's last octets, it starts; the last record is lost at most, and no body is changed."""
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        original = Path(folder, "original")
        with Martlet("--port", "0", "--data-dir", original) as martlet:
            channel = open_channel(martlet)
            channel.rpc("queue.declare", queue=_QUEUE, durable=True)
            channel.rpc("confirm.select")
            for number in range(_COUNT):
                _publish(channel, number)
            assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
        for name, (damage, expected) in _damages().items():
            directory = Path(folder, "damaged")
            shutil.copytree(original, directory, ignore=shutil.ignore_patterns("*.sock"))
            damage(*_newest_log(directory))
            try:
                _assert_serves(directory, expected)
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
            shutil.rmtree(directory)
