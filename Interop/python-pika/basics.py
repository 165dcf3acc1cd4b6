"""Publishing and receiving one message, in the ways there are."""

import re
import subprocess
import sys
from pathlib import Path

import pika
from scenarios import scenario, unique, url
from support import Consumer, connect, depth, open_channel


@scenario("hello world")
def hello_world() -> None:
    """A message published to the default exchange with a queue's name for its key is delivered from that queue."""
    with connect() as connection:
        channel = connection.channel()
        queue = unique("hello")
        channel.queue_declare(queue, auto_delete=True)
        channel.basic_publish(exchange="", routing_key=queue, body=b"Hello, World!")

        received = []

        def on_message(channel, method, properties, body):
            received.append((method.exchange, method.routing_key, method.redelivered, body))
            channel.stop_consuming()

        channel.basic_consume(queue, on_message, auto_ack=True)
        channel.start_consuming()
        assert received == [("", queue, False, b"Hello, World!")]


@scenario("the program in Interop/README.md")
def readme() -> None:
    """The ten lines printed there run as they are and print what they promise."""
    text = (Path(__file__).parent.parent / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert program.count("amqp://localhost") == 1, "the one thing to change is the address"
    program = program.replace("amqp://localhost", url())
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (output.returncode, output.stdout) == (0, "received: Hello, World!\n"), output


@scenario("server properties")
def server_properties() -> None:
    """The broker names itself and the extensions of RabbitMQ that clients ask for before they use them."""
    with connect() as connection:
        properties = connection._impl.server_properties
        assert properties["product"] and properties["version"]
        capabilities = properties["capabilities"]
        for name in (
            "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
            "connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos",
            "direct_reply_to",
        ):  # fmt: skip
            assert capabilities[name] is True, name


@scenario("empty message")
def empty_message() -> None:
    """A message without content arrives without content, by consume and by get."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        for _ in range(2):
            channel.basic_publish("", queue, b"", pika.BasicProperties(type="empty"))
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        assert (body, properties.type, method.message_count) == (b"", "empty", 1)
        (message,) = Consumer(channel, queue, auto_ack=True).wait(1)
        assert (message.body, message.properties.type) == (b"", "empty")


@scenario("16 MiB message")
def large_message() -> None:
    """16 MiB come back octet for octet, by consume and by get, with a small message behind them."""
    body = bytes(range(256)) * (16 * 1024 * 1024 // 256)
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.confirm_delivery()
        for content in (body, b"small", body):
            channel.basic_publish("", queue, content)
        consumer = Consumer(channel, queue, auto_ack=True)
        assert consumer.wait(3, seconds=30)[0].body == body
        assert consumer.bodies[1] == b"small" and consumer.bodies[2] == body
        consumer.cancel()

        channel.basic_publish("", queue, body)
        assert channel.basic_get(queue, auto_ack=True)[2] == body


@scenario("every size around a frame")
def frame_sizes() -> None:
    """Contents one octet below, at and above what fits into one and two frames arrive whole and in order."""
    payload = 131072 - 8  # The frame size that both sides agree on, less the octets of the frame itself.
    sizes = [1, payload - 1, payload, payload + 1, 2 * payload - 1, 2 * payload, 2 * payload + 1]
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        for size in sizes:
            channel.basic_publish("", queue, bytes([size % 251]) * size)
        messages = Consumer(channel, queue, auto_ack=True).wait(len(sizes))
        assert [len(message.body) for message in messages] == sizes
        assert all(set(message.body) == {len(message.body) % 251} for message in messages)


@scenario("smallest frames")
def small_frames() -> None:
    """With a frame size of 4096 agreed, a message of 100,000 octets arrives whole."""
    body = bytes(i % 253 for i in range(100_000))
    with open_channel(frame_max=4096) as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, body)
        assert Consumer(channel, queue, auto_ack=True).wait(1)[0].body == body


@scenario("properties")
def properties() -> None:
    """All fourteen properties, and headers of every type that pika writes, are delivered as they were published."""
    sent = pika.BasicProperties(
        content_type="application/json",
        content_encoding="gzip",
        headers={
            "text": "grüße", "small": 7, "large": 2**40, "negative": -5, "yes": True, "no": False, "nothing": None,
            "list": [1, "two", [3]], "table": {"inner": {"deep": "down"}}, "empty": {},
        },
        delivery_mode=2,
        priority=5,
        correlation_id="correlation",
        reply_to="reply-queue",
        expiration="60000",
        message_id="message",
        timestamp=1_700_000_000,
        type="type",
        user_id="guest",
        app_id="interop",
        cluster_id="cluster",
    )  # fmt: skip
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"{}", sent)
        channel.basic_publish("", queue, b"", pika.BasicProperties())
        full, none = Consumer(channel, queue, auto_ack=True).wait(2)
        assert full.properties == sent, full.properties
        assert none.properties == pika.BasicProperties(), none.properties


@scenario("get")
def get() -> None:
    """basic.get takes from the head and tells what is left; what is not acknowledged comes back redelivered."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        assert channel.basic_get(queue) == (None, None, None)
        for body in (b"1", b"2", b"3"):
            channel.basic_publish("", queue, body)
        first, _, body = channel.basic_get(queue)
        assert (body, first.message_count, first.redelivered, first.delivery_tag) == (b"1", 2, False, 1)
        second, _, body = channel.basic_get(queue, auto_ack=True)
        assert (body, second.message_count, second.delivery_tag) == (b"2", 1, 2)
        channel.basic_nack(first.delivery_tag)
        again, _, body = channel.basic_get(queue)
        assert (body, again.redelivered, again.message_count) == (b"1", True, 1)
        channel.basic_ack(again.delivery_tag)
        assert channel.basic_get(queue, auto_ack=True)[2] == b"3"
        assert channel.basic_get(queue) == (None, None, None)


@scenario("ten thousand messages in order")
def many_messages() -> None:
    """10,000 messages come in the order they were published, none missing and none twice."""
    count = 10_000
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        for number in range(count):
            channel.basic_publish("", queue, b"%d" % number)
        consumer = Consumer(channel, queue)
        consumer.wait(count, seconds=30)
        assert consumer.bodies == [b"%d" % number for number in range(count)]
        assert [message.method.delivery_tag for message in consumer.messages] == list(range(1, count + 1))
        consumer.acknowledge_all()
        consumer.cancel()
        assert depth(channel, queue) == 0
