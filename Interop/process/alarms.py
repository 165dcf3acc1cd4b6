"""Alarms: who waits while memory or disk is short, and what goes on."""

import threading
import time

import pika
from martlet import Martlet
from scenarios import eventually, scenario

_BODY = bytes(100_000)


def _watch(connection: pika.BlockingConnection) -> list[str]:
    """Returns the list that gets a word for everything that a connection is told about alarms."""
    told: list[str] = []
    connection.add_on_connection_blocked_callback(lambda _, frame: told.append(frame.method.reason))
    connection.add_on_connection_unblocked_callback(lambda _, frame: told.append("unblocked"))
    return told


def _pump(connection: pika.BlockingConnection, condition, seconds: float = 10) -> None:
    """Lets pika work until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds:g} s"
        connection.process_data_events(0.02)


@scenario("a connection drains itself")
def drains_itself() -> None:
    """One connection, one channel, publishes and consumes: its acknowledgements end the alarm that its messages began."""
    with Martlet("--port", "0", "--ephemeral", "--memory-limit", "8MiB") as martlet:
        connection = martlet.connect()
        told = _watch(connection)
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_qos(prefetch_count=3)
        got: list[int] = []
        channel.basic_consume(queue, lambda _, method, __, ___: got.append(method.delivery_tag))
        sent = 0
        deadline = time.monotonic() + 10
        while not told and time.monotonic() < deadline:
            channel.basic_publish("", queue, _BODY)
            sent += 1
            connection.process_data_events(0)
        assert told == ["low on memory"], told
        # It publishes on, and acknowledges behind that.
        for _ in range(5):
            channel.basic_publish("", queue, _BODY)
            sent += 1
        acknowledged = 0

        def acknowledge() -> bool:
            nonlocal acknowledged
            while acknowledged < len(got):
                channel.basic_ack(got[acknowledged])
                acknowledged += 1
            return acknowledged == sent and told[-1] == "unblocked"

        _pump(connection, acknowledge, 20)
        assert told[-1] == "unblocked", told
        connection.close()


@scenario("only publishers wait")
def only_publishers_wait() -> None:
    """While a publisher is blocked others connect, declare, consume, get, acknowledge and close; then it goes on."""
    with Martlet("--port", "0", "--ephemeral", "--memory-limit", "4MiB", "--shards", "2") as martlet:
        publisher = martlet.connect()
        told = _watch(publisher)
        sending = publisher.channel()
        sending.queue_declare("work")
        sending.confirm_delivery()
        confirmed = 0
        gone = threading.Event()

        def publish() -> None:
            nonlocal confirmed
            for _ in range(100):
                sending.basic_publish("", "work", _BODY)
                confirmed += 1
                publisher.process_data_events(0)
            publisher.close()
            gone.set()

        threading.Thread(target=publish, daemon=True).start()
        eventually(lambda: "memory resource limit alarm set on node" in martlet.log())
        time.sleep(0.3)
        stuck = confirmed
        assert 0 < stuck < 100, stuck
        other = martlet.connect()
        quiet = _watch(other)
        channel = other.channel()
        assert channel.queue_declare("another").method.message_count == 0
        method, _, body = channel.basic_get("work")
        assert body == _BODY
        channel.basic_ack(method.delivery_tag)
        second = other.channel()
        second.close()
        # The body in whose middle the alarm came may be completed, as soon as the acknowledgement makes room for it.
        assert confirmed <= stuck + 1, f"{confirmed - stuck} taken during the alarm"
        received = 1
        for method, _, body in channel.consume("work", inactivity_timeout=5):
            assert body == _BODY
            channel.basic_ack(method.delivery_tag)
            received += 1
            if received == 100:
                break
        channel.cancel()
        assert gone.wait(10), "not let go"
        assert confirmed == 100
        assert told[0] == "low on memory" and told[-1] == "unblocked", told
        assert quiet == [], quiet
        other.close()
        eventually(lambda: "memory resource limit alarm cleared on node" in martlet.log())
