"""Floods of messages that move by themselves, when their time has come or is over: memory is bounded, all arrive."""

import tempfile
import threading
import time

from amqp import Channel, content_frames, method_frame
from clients import use
from floods import _publisher, resident
from martlet import Martlet
from rounds import tell
from scenarios import scenario

_MEBI = 1 << 20
_BUDGET = 48 * _MEBI
#: What resident memory may be above the budget: issue 3.
_ABOVE_BUDGET = 200 * _MEBI
_BODY = 8 << 10
#: For each kind of message; both together are several budgets.
_COUNT = 30_000
#: Long enough to publish all of it first, on a slow machine, too.
_DELAY = 25.0
#: A message may come so much before its time: delays are in whole milliseconds, clocks of two processes differ.
_EARLY = 0.02


def _flood(channel: Channel, queue: str, mode: int, headers: dict) -> list[float]:
    """Publishes messages with their numbers; returns when each was sent, in steps of a batch."""
    method = method_frame(channel.number, "basic.publish", exchange="", routing_key=queue)
    sent: list[float] = []
    while len(sent) < _COUNT:
        batch = b"".join(
            method + content_frames(
                channel.number, (b"%d " % number).ljust(_BODY, b"m"), channel.connection.frame_max,
                delivery_mode=mode, headers=headers,
            )
            for number in range(len(sent), min(len(sent) + 50, _COUNT))
        )
        now = time.monotonic()
        channel.connection.write(batch)
        sent += [now] * min(50, _COUNT - len(sent))
    channel.connection.limit = time.monotonic() + 600
    channel.connection.write(method_frame(channel.number, "channel.flow", active=True))
    channel.expect("channel.flow-ok", timeout=300)
    return sent


def _move(arguments: dict, headers: dict, source: str, check) -> None:
    """Floods two queues with messages that all move at once; takes them from where they go, and looks at each.

    `source` is the prefix of the queues that are flooded; without one, messages go to where they are taken from.
    """
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as path:
        options = "--data-dir", path, "--memory-limit", _BUDGET, "--shards", 2
        with Martlet("--port", "0", *options) as martlet:
            use(martlet)
            peak = [0]
            is_over = threading.Event()

            def watch() -> None:
                while not is_over.wait(0.02):
                    peak[0] = max(peak[0], resident(martlet.process.pid))

            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()
            sent = {}
            began = time.monotonic()
            for mode, queue in ((1, "transient"), (2, "persistent")):
                channel = _publisher(martlet)
                channel.rpc("queue.declare", queue=queue, durable=True)
                if source:
                    to_queue = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}
                    channel.rpc("queue.declare", queue=source + queue, durable=True, arguments=arguments | to_queue)
                sent[queue] = _flood(channel, source + queue, mode, headers)
            seconds = time.monotonic() - began
            assert seconds < _DELAY, f"publishers were held up for {seconds:.1f} s"
            late = []
            for queue, times in sent.items():
                channel = _publisher(martlet)
                channel.rpc("basic.qos", prefetch_count=500)
                channel.consume(queue)
                for number in range(_COUNT):
                    event = channel.deliver(timeout=60)
                    now = time.monotonic()
                    found = int(event.body.split(b" ", 1)[0])
                    assert found == number and len(event.body) == _BODY, f"{queue}: {found} instead of {number}"
                    check(event)
                    waited = now - times[number]
                    assert waited >= _DELAY - _EARLY, f"{queue}: {number} came after {waited:.3f} s"
                    late.append(waited - _DELAY)
                    if number % 100 == 99 or number == _COUNT - 1:
                        channel.send("basic.ack", delivery_tag=event.delivery_tag, multiple=True)
                channel.connection.close()
            is_over.set()
            watcher.join()
            megabytes = 2 * _COUNT * _BODY / _MEBI
            tell(
                f"{megabytes:.0f} MiB published in {seconds:.1f} s, "
                f"RSS at most {peak[0] / _MEBI:.0f} MiB, the latest {max(late):.2f} s late"
            )
            assert peak[0] <= _BUDGET + _ABOVE_BUDGET, f"{peak[0] / _MEBI:.0f} MiB resident"
            assert "[error]" not in martlet.log() and "damaged" not in martlet.log(), martlet.log()


@scenario("floods of delayed messages", limit=180)
def delayed_floods() -> None:
    """Several budgets of messages wait: memory is bounded, publishers are not held up, none is early and all arrive."""

    def check(event) -> None:
        assert event.properties["headers"]["x-delay"] == -int(_DELAY * 1000), event

    _move({}, {"x-delay": int(_DELAY * 1000)}, "", check)


@scenario("floods of dead letters", limit=180)
def dead_floods() -> None:
    """Several budgets of messages expire at once, most of them on disk: memory is bounded and all dead letters arrive."""

    def check(event) -> None:
        death = event.properties["headers"]["x-death"][0]
        assert (death["reason"], death["count"]) == ("expired", 1), event

    _move({"x-message-ttl": int(_DELAY * 1000)}, {}, "dying-", check)
