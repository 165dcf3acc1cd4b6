"""The end of a broker at which nothing is under way: here every mark can be foretold exactly."""

import signal
import tempfile
from collections.abc import Iterable

from amqp import Channel
from clients import open_channel
from confirms import Confirms
from martlet import Martlet
from scenarios import scenario

_QUEUE = "durability.rest"


def _publish(channel: Channel, confirms: Confirms, numbers: Iterable[int]) -> None:
    """Publishes persistent messages and waits until all are confirmed."""
    for number in numbers:
        confirms.add(number)
        channel.publish(b"%d" % number, key=_QUEUE, delivery_mode=2)
    while confirms:
        confirms.take(channel.expect("basic.ack"))


@scenario("ended at rest")
def at_rest() -> None:
    """By SIGTERM and by kill: what was delivered and not acknowledged comes back redelivered, the rest does not."""
    for end in (signal.SIGTERM, signal.SIGKILL):
        with tempfile.TemporaryDirectory(prefix="martlet-durability-") as path:
            options = "--port", "0", "--data-dir", path
            with Martlet(*options) as martlet:
                channel = open_channel(martlet)
                channel.rpc("queue.declare", queue=_QUEUE, durable=True)
                channel.rpc("confirm.select")
                confirms = Confirms()
                _publish(channel, confirms, range(100))
                channel.rpc("basic.qos", prefetch_count=30)
                channel.consume(_QUEUE)
                tags = [channel.deliver().delivery_tag for _ in range(30)]
                # Ten are acknowledged, and ten more come.
                channel.send("basic.ack", delivery_tag=tags[9], multiple=True)
                for _ in range(10):
                    channel.deliver()
                # Behind this confirm the acknowledgement is settled, and so is what was delivered.
                _publish(channel, confirms, [100])
                assert martlet.stop(end) == (0 if end == signal.SIGTERM else -end), martlet.log()
            with Martlet(*options) as martlet:
                channel, came = open_channel(martlet), []
                while (event := channel.get(_QUEUE)) is not None:
                    came.append((int(event.body), event.redelivered))
                assert came == [(number, number < 40) for number in range(10, 101)], f"{end.name}: {came}"
