"""What was declared, bound, deleted and purged before a kill is so after it: each answer was a promise."""

import signal
import tempfile

from amqp import Channel
from clients import open_channel
from martlet import Martlet
from scenarios import scenario

_EXCHANGES = {
    "durability.direct": {"type": "direct", "arguments": {"alternate-exchange": "durability.fanout"}},
    "durability.fanout": {"type": "fanout"},
    "durability.topic": {"type": "topic"},
    "durability.headers": {"type": "headers"},
    "durability.internal": {"type": "direct", "internal": True},
}
_QUEUES = ("durability.limited", "durability.rest", "durability.purged")
_LIMITED = {"x-max-length": 5}
_MATCH = {"x-match": "all", "size": 1}


def _declare(channel: Channel) -> None:
    for name, values in _EXCHANGES.items():
        channel.rpc("exchange.declare", exchange=name, durable=True, **values)
    channel.rpc("queue.declare", queue="durability.limited", durable=True, arguments=_LIMITED)
    for name in ("durability.rest", "durability.purged", "durability.gone"):
        channel.rpc("queue.declare", queue=name, durable=True)
    channel.rpc(
        "exchange.bind", destination="durability.direct", source="durability.topic", routing_key="k.#", arguments={}
    )
    channel.bind("durability.limited", "durability.direct", "k.1")
    channel.bind("durability.limited", "durability.headers", arguments=_MATCH)
    channel.bind("durability.rest", "durability.fanout")
    # These must not be there afterwards.
    channel.rpc("exchange.declare", exchange="durability.passing", type="fanout")
    channel.bind("durability.rest", "durability.passing")
    channel.rpc("exchange.declare", exchange="durability.gone", type="fanout", durable=True)
    channel.bind("durability.rest", "durability.gone")
    channel.bind("durability.gone", "durability.fanout")
    channel.bind("durability.rest", "durability.topic", "unbound")
    for name in ("durability.gone", "durability.purged"):
        channel.fill(name, b"transient")
        _publish(channel, key=name)
    channel.rpc("queue.unbind", queue="durability.rest", exchange="durability.topic", routing_key="unbound")
    channel.rpc("exchange.delete", exchange="durability.gone")
    assert channel.rpc("queue.delete", queue="durability.gone").message_count == 2
    for queue, count in zip(_QUEUES, (0, 0, 2), strict=True):
        assert _purge(channel, queue) == count


def _publish(channel: Channel, exchange: str = "", key: str = "", headers: dict[str, int] | None = None) -> None:
    """Publishes a persistent message and waits for its confirm."""
    channel.publish(b"x", exchange, key, delivery_mode=2, headers=headers)
    channel.expect("basic.ack")


def _purge(channel: Channel, queue: str) -> int:
    """Purges a queue and leaves one message, behind whose confirm the purge is settled, in it."""
    count = channel.rpc("queue.purge", queue=queue).message_count
    _publish(channel, key=queue)
    return count


def _check(channel: Channel) -> None:
    for name, values in _EXCHANGES.items():
        channel.rpc("exchange.declare", exchange=name, durable=True, **values)
    for name in ("durability.passing", "durability.gone"):
        channel.refused(
            404, "exchange.declare", f"no exchange '{name}' in vhost '/'", exchange=name, type="fanout", passive=True
        )
    name = "durability.gone"
    channel.refused(404, "queue.declare", f"no queue '{name}' in vhost '/'", queue=name, passive=True)
    channel.refused(406, "queue.declare", None, queue="durability.limited", durable=True)
    channel.rpc("queue.declare", queue="durability.limited", durable=True, arguments=_LIMITED)
    channel.rpc("confirm.select")
    for queue in _QUEUES:
        bodies = channel.drain(queue)
        assert bodies == [b"x"], f"{queue}: {bodies} instead of what was published behind the purge"

    def arrives(limited: int, rest: int, exchange: str, key: str = "", headers: dict[str, int] | None = None) -> None:
        _publish(channel, exchange, key, headers)
        ready = tuple(channel.counts(queue)[0] for queue in ("durability.limited", "durability.rest"))
        assert ready == (limited, rest), f"{exchange} {key!r}: {ready} instead of {(limited, rest)}"

    arrives(1, 0, "durability.topic", "k.1")
    arrives(1, 1, "durability.direct", "nobody")
    arrives(1, 1, "durability.topic", "unbound")
    arrives(2, 1, "durability.headers", headers={"size": 1})
    arrives(2, 1, "durability.headers", headers={"size": 2})
    arrives(2, 2, "durability.fanout")
    # A queue of the same name is a new one.
    channel.rpc("queue.declare", queue="durability.gone", durable=True)
    assert channel.counts("durability.gone")[0] == 0, "what was deleted is there again"
    _publish(channel, "durability.fanout")
    assert channel.counts("durability.gone")[0] == 0, "a deleted queue's binding is there again"


@scenario("definitions")
def definitions() -> None:
    """Exchanges, queues with arguments and all kinds of bindings outlive a kill; what was deleted or purged is gone."""
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as path:
        with Martlet("--port", "0", "--data-dir", path) as martlet:
            channel = open_channel(martlet)
            channel.rpc("confirm.select")
            _declare(channel)
            assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
        for shards in ("1", "3"):
            with Martlet("--port", "0", "--data-dir", path, "--shards", shards) as martlet:
                channel = open_channel(martlet)
                _check(channel)
                # As it was, for the next start with another number of shards.
                channel.rpc("queue.delete", queue="durability.gone")
                for queue in _QUEUES:
                    _purge(channel, queue)
                assert martlet.stop(signal.SIGKILL) == -signal.SIGKILL
