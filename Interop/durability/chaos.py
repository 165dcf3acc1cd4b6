"""Everything at once, at random: every feature, sensible and odd arguments, large and small bodies, ends of connections.

Nobody can say what must arrive. But whatever comes must be well-formed, no end may be the broker's own fault (541), and
it must be there all the time and start again from what it has kept. MARTLET_SEED repeats the choices.
"""

import random
import select
import tempfile
import threading
import time
from contextlib import suppress

import amqp
from amqp import Closed, Connection, Failure
from martlet import Martlet
from rounds import ROUNDS, SEED
from scenarios import scenario

_CLIENTS = 3
#: Seconds of a round.
_SECONDS = 4
_QUEUES = [f"chaos.{number}" for number in range(8)]
_EXCHANGES = [f"chaos.x{number}" for number in range(6)]
_TYPES = ["direct", "fanout", "topic", "headers", "x-consistent-hash", "x-modulus-hash", "x-random", "x-recent-history",
          "x-recent-history", "x-delayed-message"]
_SIZES = [0, 1, 20, 200, 3_000, 17_000, 140_000]

_QUEUE_ARGUMENTS = {
    "x-message-ttl": [0, 1, 20, 100, 60_000], "x-expires": [50, 500, 60_000], "x-max-length": [0, 1, 5, 100],
    "x-max-length-bytes": [0, 100, 10_000], "x-overflow": ["drop-head", "reject-publish", "reject-publish-dlx"],
    "x-dead-letter-exchange": ["", *_EXCHANGES], "x-dead-letter-routing-key": ["a", *_QUEUES],
    "x-max-priority": [1, 5, 255], "x-single-active-consumer": [True, False], "x-queue-type": ["classic", "quorum"],
    "x-delivery-limit": [0, 1, 20], "x-consumer-timeout": [10, 1_000], "x-delayed-retry-type": ["all", "failed"],
    "x-delayed-retry-min": [1, 20, 1_000], "x-group-header": ["g"], "x-dispatch": ["fair"],
    "x-dead-letter-strategy": ["at-least-once", "at-most-once"], "x-message-deduplication": [True],
    "x-delay-header": ["eta"],
}
_EXCHANGE_ARGUMENTS = {
    "alternate-exchange": _EXCHANGES, "x-delayed-type": _TYPES, "hash-header": ["g"], "hash-property": ["message_id"],
    "x-recent-history-length": [1, 5, 100], "x-message-deduplication": [True], "x-cache-size": [1, 1_000],
    "x-cache-ttl": [10, 1_000],
}


class Client(threading.Thread):
    """Does one thing after the other until its time is over."""

    def __init__(self, port: int, seed: str, until: float) -> None:
        super().__init__(daemon=True)
        self.random = random.Random(seed)
        self.port, self.until = port, until
        self.tags: list[int] = []
        self.operations = 0
        #: What was seen that must not be.
        self.wrong: str | None = None

    def run(self) -> None:
        try:
            while time.monotonic() < self.until:
                with suppress(Failure, OSError):  # Refused, or ended by choice: the next connection.
                    self._connect()
                    while time.monotonic() < self.until:
                        self._act()
                        self.operations += 1
                        self._take_input()
        except BaseException as problem:  # Malformed, or the broker's own fault.
            self.wrong = f"{type(problem).__name__}: {problem}"

    def _connect(self) -> None:
        self.connection = Connection(time.monotonic() + 600)
        self.connection.log_in()
        self.channel = self.connection.channel()
        self.tags = []
        if self.random.random() < 0.6:
            self.channel.rpc("confirm.select")

    def _take_input(self) -> None:
        connection = self.connection
        while connection.buffer or select.select([connection.socket], [], [], 0)[0]:
            _, event = connection.read_event()
            if event.name in ("basic.deliver", "basic.get-ok"):
                self.tags.append(event.fields["delivery_tag"])
            if event.name in ("channel.close", "connection.close"):
                if event.fields["reply_code"] == 541:
                    raise RuntimeError(f"{event.name}: {event.fields}")
                connection.drop()
                raise Closed("refused")

    def _act(self) -> None:
        names = ["publish", "declare", "exchange", "bind", "consume", "get", "settle", "rarely"]
        getattr(self, "_" + self.random.choices(names, [40, 9, 4, 8, 6, 6, 15, 4])[0])()

    def _odd(self) -> object:
        return self.random.choice([0, -1, 1.5, 2**31, 2**40, "a", "", True, None, [1, "a"], {"a": 1}, b"x"])

    def _arguments(self, known: dict[str, list]) -> dict[str, object]:
        names = self.random.sample(list(known), min(len(known), self.random.choice([0, 0, 1, 2, 4])))
        return {name: self.random.choice(known[name]) if self.random.random() < 0.95 else self._odd() for name in names}

    def _exchange_name(self) -> str:
        return self.random.choice([*_EXCHANGES, "amq.direct", "amq.topic", "amq.fanout", "amq.headers"])

    def _publish(self) -> None:
        values: dict[str, object] = {}
        if self.random.random() < 0.5:
            values["delivery_mode"] = self.random.choice([1, 2, 2])
        if self.random.random() < 0.3:
            values["priority"] = self.random.randrange(256)
        if self.random.random() < 0.1:
            values["expiration"] = self.random.choice(["0", "10", "500", "60000"])
        if self.random.random() < 0.2:
            values["message_id"] = f"m{self.random.randrange(50)}"
        choices = {
            "x-delay": [0, 1, 50, 500, -5, "7"], "g": ["a", "b", 1, None], "CC": [[self.random.choice(_QUEUES)]],
            "BCC": [[self.random.choice(_QUEUES)]], "x-deduplication-header": [f"i{self.random.randrange(30)}", 5],
            "x-death": [[]], "eta": ["2026-11-26T02:00:00+00:00", "x"],
        }
        headers = {name: self.random.choice(some) if self.random.random() < 0.95 else self._odd()
                   for name, some in choices.items() if self.random.random() < 0.1}
        if headers:
            values["headers"] = headers
        exchange = self._exchange_name() if self.random.random() < 0.5 else ""
        for _ in range(self.random.choice([1, 1, 1, 5])):
            self.channel.publish(b"b" * self.random.choice(_SIZES), exchange=exchange, key=self.random.choice(_QUEUES),
                                 mandatory=self.random.random() < 0.2, **values)

    def _declare(self) -> None:
        self.channel.send(
            "queue.declare", queue=self.random.choice(_QUEUES), durable=self.random.random() < 0.7,
            auto_delete=self.random.random() < 0.1, exclusive=self.random.random() < 0.03,
            arguments=self._arguments(_QUEUE_ARGUMENTS),
        )

    def _exchange(self) -> None:
        self.channel.send(
            "exchange.declare", exchange=self.random.choice(_EXCHANGES), type=self.random.choice(_TYPES),
            durable=self.random.random() < 0.7, auto_delete=self.random.random() < 0.1,
            arguments=self._arguments(_EXCHANGE_ARGUMENTS),
        )

    def _bind(self) -> None:
        key = self.random.choice([*_QUEUES, "a", "#", "*", "5"])
        if self.random.random() < 0.3:
            self.channel.send("exchange.bind", destination=self.random.choice(_EXCHANGES), source=self._exchange_name(),
                              routing_key=key)
        else:
            self.channel.send("queue.bind", queue=self.random.choice(_QUEUES), exchange=self._exchange_name(),
                              routing_key=key, arguments=self._arguments({"x-match": ["all", "any"], "g": ["a"]}))

    def _consume(self) -> None:
        self.channel.send("basic.consume", queue=self.random.choice(_QUEUES), no_ack=self.random.random() < 0.2,
                          arguments=self._arguments({"x-priority": [1, -3]}))

    def _get(self) -> None:
        self.channel.send("basic.get", queue=self.random.choice(_QUEUES), no_ack=self.random.random() < 0.3)

    def _settle(self) -> None:
        if not self.tags:
            return
        index = self.random.randrange(len(self.tags))
        multiple = self.random.random() < 0.2
        name = self.random.choice(["basic.ack", "basic.nack"])
        fields = {"requeue": self.random.random() < 0.6} if name == "basic.nack" else {}
        self.channel.send(name, delivery_tag=self.tags[index], multiple=multiple, **fields)
        del self.tags[0 if multiple else index:index + 1]

    def _rarely(self) -> None:
        queue = self.random.choice(_QUEUES)
        match self.random.randrange(7):
            case 0: self.channel.send("queue.purge", queue=queue)
            case 1: self.channel.send("queue.delete", queue=queue, if_unused=self.random.random() < 0.5)
            case 2: self.channel.send("exchange.delete", exchange=self.random.choice(_EXCHANGES), if_unused=True)
            case 3: self.channel.send("basic.qos", prefetch_count=self.random.choice([0, 1, 5, 50]))
            case 4:
                self.channel.send("basic.recover", requeue=True)
                self.tags.clear()
            case 5: self.channel.send(self.random.choice(["tx.select", "tx.commit", "tx.rollback"]))
            case _:
                self.connection.drop()
                raise Closed("by choice")


@scenario("everything at random", limit=60 + 15 * ROUNDS)
def everything() -> None:
    """Whatever clients do, frames are well-formed, nothing is an internal error, and it starts again from what it keeps."""
    operations = 0
    with tempfile.TemporaryDirectory(prefix="martlet-chaos-") as directory:
        for number in range(max(2, ROUNDS // 5)):
            shards = number % 3 + 1 if number else 2
            with Martlet("--port", "0", "--data-dir", directory, "--shards", shards, "--memory-limit", "64MiB",
                         "--log-level", "error") as martlet:
                port = martlet.port()
                amqp.address = lambda port=port: ("127.0.0.1", port, "guest", "guest")
                until = time.monotonic() + _SECONDS
                clients = [Client(port, f"{SEED}.{number}.{client}", until) for client in range(_CLIENTS)]
                for client in clients:
                    client.start()
                for client in clients:
                    client.join(_SECONDS + 30)
                    assert not client.is_alive(), "a client waits for ever"
                    assert client.wrong is None, f"{client.wrong} (seed {SEED})"
                operations += sum(client.operations for client in clients)
                assert martlet.process.poll() is None, f"it ended (seed {SEED}): {martlet.log()[-2000:]}"
    assert operations > 100, "hardly anything was done"
