"""Large bodies of several publishers at once against a small memory limit: all of them arrive."""

import tempfile
import time

from amqp import Channel, Connection, content_frames, method_frame
from clients import open_channel, use
from martlet import Martlet
from scenarios import scenario

_MEBI = 1 << 20
#: Of memory; each message is larger.
_LIMIT = 2 * _MEBI
_SIZE, _PUBLISHERS, _QUEUE = 3 * _MEBI, 6, "durability.halves"


def _body(number: int) -> bytes:
    return b"%d " % number + bytes([number]) * _SIZE


def _publisher(martlet: Martlet) -> Channel:
    """Returns a channel that need not look whether its connection is blocked."""
    use(martlet)
    connection = Connection(time.monotonic() + 100)
    connection.log_in(client_properties={"capabilities": {"connection.blocked": False}})
    return connection.channel()


@scenario("halves of large bodies", limit=120)
def halves_of_large_bodies() -> None:
    """Six publishers are each in the middle of a body larger than the memory limit: all arrive, and the alarm ends."""
    with tempfile.TemporaryDirectory(prefix="martlet-durability-") as path:
        options = "--data-dir", path, "--memory-limit", _LIMIT, "--shards", 2
        with Martlet("--port", "0", *options) as martlet:
            looker = open_channel(martlet)
            looker.rpc("queue.declare", queue=_QUEUE, durable=True)
            for mode in (1, 2):
                channels = [_publisher(martlet) for _ in range(_PUBLISHERS)]
                contents = [
                    method_frame(1, "basic.publish", exchange="", routing_key=_QUEUE)
                    + content_frames(1, _body(number), channel.connection.frame_max, delivery_mode=mode)
                    for number, channel in enumerate(channels)
                ]
                for channel, content in zip(channels, contents, strict=True):
                    channel.connection.write(content[: len(content) // 2])
                time.sleep(0.3)
                for channel, content in zip(channels, contents, strict=True):
                    channel.connection.write(content[len(content) // 2 :])
                for channel in channels:
                    # Its answer comes when what was sent before is taken.
                    channel.connection.write(method_frame(1, "channel.flow", active=True))
                    channel.expect("channel.flow-ok", timeout=60)
                consumer = _publisher(martlet)
                consumer.consume(_QUEUE, no_ack=True)
                bodies = sorted(consumer.deliver(timeout=60).body for _ in range(_PUBLISHERS))
                assert bodies == [_body(number) for number in range(_PUBLISHERS)], [body[:9] for body in bodies]
                consumer.connection.close()
                for channel in channels:
                    channel.connection.close()
            log = martlet.log()
            assert "alarm set" in log, "no memory alarm: this has shown nothing"
            assert log.count("alarm set") - log.count("alarm cleared") == 0, log
            assert "[error]" not in log, log
