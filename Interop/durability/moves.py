"""Messages on their way from one queue to another when the broker is killed or loses power: none is lost on the way."""

import os
import random
import signal
import tempfile
import time
from collections import Counter

from amqp import Channel
from clients import open_channel, use
from confirms import Confirms
from disk import Disk
from martlet import Martlet
from rounds import LIMIT, ROUNDS, SEED, tell
from scenarios import eventually, scenario
from untilkilled import UntilKilled

_WORK, _LATE, _DEAD = "durability.work", "durability.late", "durability.dead"
_TO_DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": _DEAD}
_QUEUES = {_WORK: _TO_DEAD, _LATE: _TO_DEAD | {"x-message-ttl": 60}, _DEAD: {}}
_WINDOW = 60


class _Load(UntilKilled):
    """Publishes to both queues, and acknowledges or rejects what comes from one of them."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.next = first
        self.confirmed: set[int] = set()
        self.acknowledged: set[int] = set()
        self.rejected: set[int] = set()
        self.start(self._publish, self._consume)

    def _publish(self, channel: Channel) -> None:
        channel.rpc("confirm.select")
        confirms = Confirms()
        while True:
            while len(confirms) < _WINDOW:
                confirms.add(self.next)
                channel.publish(b"%d" % self.next, key=_LATE if is_late(self.next) else _WORK, delivery_mode=2)
                self.next += 1
            self.confirmed.update(confirms.take(channel.expect("basic.ack", timeout=30)))

    def _consume(self, channel: Channel) -> None:
        channel.rpc("basic.qos", prefetch_count=50)
        channel.consume(_WORK)
        while True:
            event = channel.deliver(timeout=30)
            number = int(event.body)
            if number % 3:
                self.rejected.add(number)
                channel.send("basic.reject", delivery_tag=event.delivery_tag, requeue=False)
            else:
                self.acknowledged.add(number)
                channel.send("basic.ack", delivery_tag=event.delivery_tag)


def is_late(number: int) -> bool:
    """Whether a message goes to the queue where it expires."""
    return number % 5 == 2


def _take_all(channel: Channel, queue: str) -> list[int]:
    """Returns the numbers in a queue, without the fence of the last check: that it was taken may not have been settled."""
    return [number for number in map(int, channel.drain(queue)) if number >= 0]


def _check(martlet: Martlet, load: _Load, counts: Counter[str]) -> None:
    channel = open_channel(martlet)
    # What expired while nobody ran has moved on, or does so now.
    eventually(lambda: channel.counts(_LATE)[0] == 0, seconds=20)
    work, dead = _take_all(channel, _WORK), _take_all(channel, _DEAD)
    lost = load.confirmed - load.acknowledged - set(work) - set(dead)
    assert not lost, f"{len(lost)} of {len(load.confirmed)} confirmed are lost: {sorted(lost)[:9]}"
    assert not any(is_late(number) for number in work), "expired messages in another queue"
    strange = [number for number in dead if not is_late(number) and number not in load.rejected]
    assert not strange, f"dead and never rejected: {strange[:9]}"
    twice = sum(count - 1 for count in Counter(work + dead).values())
    # They are moved at least once: what was on its way may be in both places.
    counts += Counter(confirmed=len(load.confirmed), dead=len(dead), back=len(set(work) & load.rejected), twice=twice)
    # Behind this everything that was taken is settled.
    channel.rpc("confirm.select")
    channel.publish(b"-1", key=_DEAD, delivery_mode=2)
    channel.expect("basic.ack")
    assert channel.get(_DEAD).body == b"-1"
    channel.connection.close()


def _run(name: str, rounds: int, disk: Disk | None) -> None:
    chance, counts = random.Random(f"{SEED} {name}"), Counter[str]()
    variables = (lambda: disk.variables()) if disk else dict
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as folder:
        options = "--port", "0", "--data-dir", os.path.join(disk.root if disk else folder, "data"), "--shards", 2
        first = 0
        for number in range(rounds):
            with Martlet(*options, **variables()) as martlet:
                channel = open_channel(martlet)
                for queue, arguments in _QUEUES.items():
                    channel.rpc("queue.declare", queue=queue, durable=True, arguments=arguments)
                channel.connection.close()
                use(martlet)
                load = _Load(first)
                time.sleep(chance.uniform(0.1, 0.8))
                load.kill(martlet)
            if disk:
                disk.cut()
            with Martlet(*options, **variables()) as martlet:
                try:
                    _check(martlet, load, counts)
                except AssertionError as error:
                    raise AssertionError(f"{name}: round {number + 1}, MARTLET_SEED={SEED}: {error}") from error
                assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
            if disk:
                disk.cut()
            first = load.next
    said = ", ".join(f"{counts[key]} {what}" for key, what in _SAID.items())
    tell(f"{name}: {rounds} rounds: {said} (seed {SEED})")


_SAID = {
    "confirmed": "confirmed",
    "dead": "dead-lettered",
    "back": "rejected and back in their queue",
    "twice": "there twice",
}


@scenario("killed while messages move", limit=LIMIT)
def killed() -> None:
    """Killed while messages expire and are rejected, each confirmed one is in its queue or where dead letters go."""
    _run("killed while messages move", max(2, ROUNDS // 5), None)


@scenario("power cut while messages move", limit=LIMIT)
def cut() -> None:
    """The same with a power cut."""
    disk = Disk(f"{SEED} moves")
    try:
        _run("power cut while messages move", max(2, ROUNDS // 5), disk)
    finally:
        disk.close()
