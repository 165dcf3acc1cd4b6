"""Somebody who declares, binds, fills, purges, unbinds and deletes all the time: each answer is a promise.

What was answered must be so after the restart. What was asked and not answered may be so or not.
"""

import random
from dataclasses import dataclass, field

from amqp import Channel
from confirms import Confirms

_EXCHANGE = "durability.churn"
#: How many there are at most; then every step deletes one.
_QUEUES = 12
#: How many names of what was deleted are remembered.
_GONE = 40


@dataclass
class _Queue:
    """A queue that may or must be there."""

    #: The bodies that must be in it, in order, and what may follow.
    must: list[bytes] = field(default_factory=list)
    may: list[bytes] = field(default_factory=list)
    is_bound: bool | None = False
    #: None while it is asked for.
    is_there: bool | None = None
    #: Whether a purge was asked for and not answered.
    is_purging: bool = False


class Churn:
    """The names that it has used on one directory, and what must have become of them."""

    def __init__(self, seed: object) -> None:
        self._random = random.Random(f"{seed} churn")
        self._queues: dict[str, _Queue] = {}
        self._exchanges: dict[str, bool | None] = {}
        self._gone: list[tuple[str, str]] = []
        self._count = 0
        self.answers = 0

    def declare(self, channel: Channel) -> None:
        """Makes what it needs."""
        channel.rpc("exchange.declare", exchange=_EXCHANGE, type="direct", durable=True)

    def run(self, channel: Channel) -> None:
        """Works until the connection ends, which is thrown."""
        channel.rpc("confirm.select")
        self._confirms = Confirms()
        while True:
            steps = [self._fill, self._purge, self._bind, self._exchange]
            full = len(self._queues) >= _QUEUES
            step = self._delete if full else self._random.choice([self._add, self._add, *steps])
            step(channel)
            self.answers += 1

    # Steps: what is asked is noted before it is sent, what is answered when the answer is there.

    def _next_name(self, kind: str) -> str:
        self._count += 1
        return f"durability.churn.{kind}.{self._count}"

    def _some(self) -> str | None:
        return self._random.choice(sorted(self._queues)) if self._queues else None

    def _add(self, channel: Channel) -> None:
        name = self._next_name("queue")
        queue = self._queues[name] = _Queue()
        channel.rpc("queue.declare", queue=name, durable=True)
        queue.is_there = True

    def _fill(self, channel: Channel) -> None:
        if not (name := self._some()):
            return
        queue = self._queues[name]
        for _ in range(self._random.randint(1, 4)):
            self._count += 1
            queue.may.append(b"%d" % self._count * self._random.choice((1, 40, 3_000)))
            self._confirms.add(queue.may[-1])
            channel.publish(queue.may[-1], key=name, delivery_mode=2)
        while self._confirms:
            queue.must += self._confirms.take(channel.expect("basic.ack"))
            del queue.may[: len(queue.may) - len(self._confirms)]

    def _purge(self, channel: Channel) -> None:
        if not (name := self._some()):
            return
        queue = self._queues[name]
        queue.is_purging = True
        count = channel.rpc("queue.purge", queue=name).message_count
        assert count == len(queue.must), f"{count} messages purged from {name}, not {len(queue.must)}"
        queue.must, queue.is_purging = [], False

    def _bind(self, channel: Channel) -> None:
        if not (name := self._some()):
            return
        queue = self._queues[name]
        was, queue.is_bound = queue.is_bound, None
        channel.rpc(
            "queue.unbind" if was else "queue.bind", queue=name, exchange=_EXCHANGE, routing_key=name, arguments={}
        )
        queue.is_bound = not was

    def _exchange(self, channel: Channel) -> None:
        there = [name for name, is_there in self._exchanges.items() if is_there]
        if len(there) < 4:
            name = self._next_name("exchange")
            self._exchanges[name] = None
            channel.rpc("exchange.declare", exchange=name, type="topic", durable=True)
            self._exchanges[name] = True
            return
        name = self._random.choice(there)
        self._exchanges[name] = None
        channel.rpc("exchange.delete", exchange=name)
        del self._exchanges[name]
        self._forget("exchange", name)

    def _delete(self, channel: Channel) -> None:
        name = self._some()
        self._queues[name].is_there = None
        channel.rpc("queue.delete", queue=name)
        del self._queues[name]
        self._forget("queue", name)

    def _forget(self, kind: str, name: str) -> None:
        self._gone = [*self._gone[1 - _GONE :], (kind, name)]

    # Checking

    def check(self, channel: Channel) -> None:
        """Compares, and empties and deletes what is there: deletions are checked by the next round."""
        for kind, name in self._gone:
            assert not _is_there(channel, kind, name), f"{kind} {name} was deleted and is there again"
        channel.rpc("exchange.declare", exchange=_EXCHANGE, type="direct", durable=True)
        channel.rpc("confirm.select")
        for name, queue in sorted(self._queues.items()):
            if self._is_as_promised(channel, "queue", name, queue.is_there):
                self._check_queue(channel, name, queue)
                channel.rpc("queue.delete", queue=name)
                self._forget("queue", name)
        for name, expected in sorted(self._exchanges.items()):
            if self._is_as_promised(channel, "exchange", name, expected):
                channel.rpc("exchange.delete", exchange=name)
                self._forget("exchange", name)
        self._queues, self._exchanges = {}, {}

    def _is_as_promised(self, channel: Channel, kind: str, name: str, expected: bool | None) -> bool:
        is_there = _is_there(channel, kind, name)
        assert is_there or not expected, f"{kind} {name} is lost"
        return is_there

    def _check_queue(self, channel: Channel, name: str, queue: _Queue) -> None:
        bodies = channel.drain(name)
        whole = queue.must + queue.may
        is_right = whole[: len(bodies)] == bodies and len(bodies) >= len(queue.must)
        assert is_right or (queue.is_purging and not bodies), (
            f"{name} has {[body[:9] for body in bodies]}, must have {[body[:9] for body in queue.must]}, "
            f"may have {[body[:9] for body in queue.may]} more"
        )
        channel.publish(b"probe", _EXCHANGE, name, mandatory=True, delivery_mode=2)
        event = channel.expect("basic.return", "basic.ack")
        is_bound = event.name == "basic.ack"
        if not is_bound:
            channel.expect("basic.ack")
        assert queue.is_bound in (None, is_bound), f"binding of {name}: {is_bound} instead of {queue.is_bound}"


def _is_there(channel: Channel, kind: str, name: str) -> bool:
    values = {"type": "topic"} if kind == "exchange" else {}
    channel.send(f"{kind}.declare", **{kind: name}, passive=True, **values)
    event = channel.expect(f"{kind}.declare-ok", "channel.close")
    if event.name == "channel.close":
        assert event.reply_code == 404, event
        channel.send("channel.close-ok")
        channel.rpc("channel.open")
        channel.rpc("confirm.select")
        return False
    return True
