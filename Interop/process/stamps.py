"""What `martlet` adds to messages that come in."""

import time

import pika
from martlet import Martlet
from scenarios import scenario


def _pass(martlet: Martlet, properties: pika.BasicProperties) -> pika.BasicProperties:
    """Sends a message through a queue and returns its properties."""
    with martlet.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("q")
        channel.basic_publish("", "q", b"x", properties)
        method, found, body = channel.basic_get("q", auto_ack=True)
        assert (method.routing_key, body) == ("q", b"x")
        return found


@scenario("timestamps of incoming messages")
def timestamps() -> None:
    """--set-header-timestamp adds the property timestamp and the header timestamp_in_ms, --set-header-routing-node the
    header x-routed-by; `keep` leaves what a message brings, `overwrite` does not; without them nothing is added."""
    mine = pika.BasicProperties(timestamp=1, headers={"timestamp_in_ms": 2, "x-routed-by": "me", "a": "b"})
    with Martlet("--port", "0", "--ephemeral") as martlet:
        assert _pass(martlet, mine) == mine
        assert _pass(martlet, pika.BasicProperties()) == pika.BasicProperties()
    with Martlet("--port", "0", "--ephemeral", "--set-header-timestamp", "keep") as martlet:
        assert _pass(martlet, mine) == mine
        before = time.time()
        found = _pass(martlet, pika.BasicProperties(message_id="7"))
        milliseconds = found.headers.pop("timestamp_in_ms")
        assert before - 1 < milliseconds / 1000 < time.time() + 1, milliseconds
        assert found == pika.BasicProperties(message_id="7", timestamp=milliseconds // 1000, headers={}), found
    variables = {"MARTLET_SET_HEADER_TIMESTAMP": "overwrite", "MARTLET_SET_HEADER_ROUTING_NODE": "overwrite"}
    with Martlet("--port", "0", "--ephemeral", **variables) as martlet:
        before = time.time()
        found = _pass(martlet, mine)
        assert before - 1 < found.headers["timestamp_in_ms"] / 1000 < time.time() + 1, found
        assert before - 2 < found.timestamp < time.time() + 1, found
        assert found.headers["x-routed-by"] not in ("", "me"), found
        assert found.headers["a"] == "b", found
