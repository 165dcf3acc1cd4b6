"""Publishes that are repeated after the broker was killed: each message comes once, and every publish is acknowledged."""

import random
import signal
import tempfile
import threading
import time
from collections import Counter

from amqp import Channel, Closed, Connection
from clients import open_channel, use
from confirms import Confirms
from martlet import Martlet
from rounds import LIMIT, ROUNDS, SEED, tell
from scenarios import scenario

_EXCHANGE, _QUEUE = "durability.once", "durability.once"
_WINDOW = 50


def _publish(channel: Channel, number: int) -> None:
    headers = {"x-deduplication-header": f"message {number}"}
    channel.publish(b"%d" % number, exchange=_EXCHANGE, key="k", delivery_mode=2, headers=headers)


def _publish_until_killed(martlet: Martlet, first: int, seconds: float) -> tuple[int, set[int]]:
    """Publishes from a number on until the broker is killed; returns where it got to and what was not confirmed."""
    connection = Connection(time.monotonic() + 60)
    connection.log_in()
    channel, confirms, number, confirmed = connection.channel(), Confirms(), first, set[int]()
    channel.rpc("confirm.select")
    threading.Timer(seconds, martlet.process.kill).start()
    try:
        while True:
            while len(confirms) < _WINDOW:
                confirms.add(number)
                number += 1
                _publish(channel, number - 1)
            confirmed.update(confirms.take(channel.expect("basic.ack", timeout=30)))
    except (Closed, OSError):
        return number, set(range(first, number)) - confirmed


def _repeat(channel: Channel, numbers: list[int]) -> None:
    """Publishes messages again; a duplicate must be acknowledged like any other."""
    channel.rpc("confirm.select")
    confirms = Confirms()
    for number in numbers:
        confirms.add(number)
        _publish(channel, number)
        while len(confirms) >= _WINDOW:
            confirms.take(channel.expect("basic.ack", timeout=30))
    while confirms:
        confirms.take(channel.expect("basic.ack", timeout=30))


def _run(shards: int, rounds: int) -> None:
    chance = random.Random(f"{SEED} once {shards}")
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as path:
        options = "--port", "0", "--data-dir", path, "--shards", shards
        number, unconfirmed, repeated = 0, set[int](), 0
        loose: set[int] = set()
        for turn in range(rounds + 1):
            with Martlet(*options) as martlet:
                channel = open_channel(martlet)
                arguments = {"x-message-deduplication": True, "x-cache-size": 1_000_000}
                channel.rpc("exchange.declare", exchange=_EXCHANGE, type="direct", durable=True, arguments=arguments)
                channel.rpc("queue.declare", queue=_QUEUE, durable=True)
                channel.bind(_QUEUE, _EXCHANGE, "k")
                # Whoever did not hear whether it arrived publishes again; and some of the others, too.
                again = sorted(unconfirmed | set(chance.sample(range(number), min(number, 200))))
                _repeat(channel, again)
                repeated += len(again)
                if turn == rounds:
                    counts = Counter(map(int, channel.drain(_QUEUE)))
                    missing = [each for each in range(number) if each not in counts]
                    assert not missing, f"{len(missing)} of {number} are lost: {missing[:9]}"
                    twice = [each for each, count in counts.items() if count > 1]
                    strange = [each for each in twice if shards == 1 or each not in loose]
                    assert not strange, f"{len(strange)} of {number} came again: {strange[:9]}"
                    tell(f"{shards} shards: {number} messages, {repeated} repeated, {len(twice)} twice")
                else:
                    use(martlet)
                    number, unconfirmed = _publish_until_killed(martlet, number, chance.uniform(0.05, 0.5))
                    loose |= unconfirmed
                    assert martlet.process.wait(15) == -signal.SIGKILL, martlet.log()


@scenario("published again after a kill", limit=LIMIT)
def again() -> None:
    """Keys of an exchange with x-message-deduplication outlive the process: what is published again comes once."""
    for shards in (1, 2):
        _run(shards, max(2, ROUNDS // 3))
