"""Publishes that are repeated after the broker was killed: each message comes once, and every publish is acknowledged."""

import random
import signal
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass

from amqp import Channel, Closed, Connection
from clients import open_channel, use
from confirms import Confirms
from martlet import Martlet
from rounds import LIMIT, ROUNDS, SEED, tell
from scenarios import scenario

_EXCHANGE = "durability.once"
_WINDOW = 50


@dataclass
class _Way:
    """How the exchange knows a message again, and how many queues the messages go to in turns."""

    queues: int
    publishers: int

    def publish(self, channel: Channel, number: int) -> None:
        """Publishes a message, for the first time or again."""
        key = f"durability.once.{number % self.queues}"
        if self.publishers:
            publisher = f"publisher {number % self.publishers}"
            headers = {"x-publisher-id": publisher, "x-publisher-seq": number // self.publishers}
        else:
            headers = {"x-deduplication-header": f"message {number}"}
        channel.publish(b"%d" % number, exchange=_EXCHANGE, key=key, delivery_mode=2, headers=headers)

    def declare(self, martlet: Martlet) -> Channel:
        """Declares exchange and queues, each on a connection of its own so that they live on several shards."""
        arguments = {"x-message-deduplication": True, "x-cache-size": 1_000_000}
        for queue in (f"durability.once.{number}" for number in range(self.queues)):
            channel = open_channel(martlet)
            channel.rpc("exchange.declare", exchange=_EXCHANGE, type="direct", durable=True, arguments=arguments)
            channel.rpc("queue.declare", queue=queue, durable=True)
            channel.bind(queue, _EXCHANGE, queue)
        return channel

    def drain(self, channel: Channel) -> list[bytes]:
        """Takes all that is there."""
        return [body for number in range(self.queues) for body in channel.drain(f"durability.once.{number}")]


def _publish_until_killed(way: _Way, first: int, seconds: float, martlet: Martlet) -> tuple[int, set[int]]:
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
                way.publish(channel, number - 1)
            confirmed.update(confirms.take(channel.expect("basic.ack", timeout=30)))
    except (Closed, OSError):
        return number, set(range(first, number)) - confirmed


def _repeat(way: _Way, channel: Channel, numbers: list[int]) -> None:
    """Publishes messages again, in the order of the first time; a duplicate must be acknowledged like any other."""
    channel.rpc("confirm.select")
    confirms = Confirms()
    for number in numbers:
        confirms.add(number)
        way.publish(channel, number)
        while len(confirms) >= _WINDOW:
            confirms.take(channel.expect("basic.ack", timeout=30))
    while confirms:
        confirms.take(channel.expect("basic.ack", timeout=30))


def _run(way: _Way, shards: int, rounds: int) -> None:
    chance = random.Random(f"{SEED} once {shards}")
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as path:
        options = "--port", "0", "--data-dir", path, "--shards", shards
        number, unconfirmed, repeated = 0, set[int](), 0
        loose: set[int] = set()
        for turn in range(rounds + 1):
            with Martlet(*options) as martlet:
                channel = way.declare(martlet)
                # Whoever did not hear whether it arrived publishes again; and some of the others, too.
                again = sorted(unconfirmed | set(chance.sample(range(number), min(number, 200))))
                _repeat(way, channel, again)
                repeated += len(again)
                if turn == rounds:
                    counts = Counter(map(int, way.drain(channel)))
                    missing = [each for each in range(number) if each not in counts]
                    assert not missing, f"{len(missing)} of {number} are lost: {missing[:9]}"
                    twice = [each for each, count in counts.items() if count > 1]
                    strange = [each for each in twice if shards == 1 or each not in loose]
                    assert not strange, f"{len(strange)} of {number} came again: {strange[:9]}"
                    tell(f"{shards} shards: {number} messages, {repeated} repeated, {len(twice)} twice")
                else:
                    use(martlet)
                    number, unconfirmed = _publish_until_killed(way, number, chance.uniform(0.05, 0.5), martlet)
                    loose |= unconfirmed
                    assert martlet.process.wait(15) == -signal.SIGKILL, martlet.log()


@scenario("published again after a kill", limit=LIMIT)
def again() -> None:
    """Keys of an exchange with x-message-deduplication outlive the process: what is published again comes once."""
    for shards in (1, 2):
        _run(_Way(queues=1, publishers=0), shards, max(2, ROUNDS // 3))


@scenario("published again by number after a kill", limit=LIMIT)
def numbered() -> None:
    """Publishers with x-publisher-id and x-publisher-seq whose messages go to two queues: after a kill, what is published
    again comes once, what was lost before it was confirmed is no duplicate, and numbers go on."""
    for shards in (1, 2):
        _run(_Way(queues=2, publishers=3), shards, max(2, ROUNDS // 3))
