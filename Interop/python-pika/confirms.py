"""Publisher confirms: knowing that a message has arrived, and what becomes of one that has not."""

import pika
from scenarios import scenario, unique
from support import Consumer, connect, depth, get_all, open_channel


@scenario("confirms")
def confirms() -> None:
    """Each publish returns when the broker has confirmed it; selecting confirms again changes nothing."""
    with connect() as connection:
        channel, other = connection.channel(), connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.confirm_delivery()
        for number in range(100):
            channel.basic_publish("", queue, b"%d" % number, pika.BasicProperties(delivery_mode=2))
        # Confirmed means in the queue: whoever asks, on whichever channel, finds it.
        assert depth(other, queue) == 100


@scenario("mandatory messages are returned")
def returned() -> None:
    """A mandatory message without a queue comes back with 312 NO_ROUTE, as it was sent, and before its confirm."""
    with open_channel() as channel:
        channel.confirm_delivery()
        key = unique("nobody")
        sent = pika.BasicProperties(message_id="7", headers={"a": 1})
        try:
            channel.basic_publish("amq.direct", key, b"to nobody", sent, mandatory=True)
        except pika.exceptions.UnroutableError as error:
            (message,) = error.messages
        else:
            raise AssertionError("confirmed without having been returned")
        assert (message.method.reply_code, message.method.reply_text) == (312, "NO_ROUTE")
        assert (message.method.exchange, message.method.routing_key) == ("amq.direct", key)
        assert (message.properties, message.body) == (sent, b"to nobody")

        channel.basic_publish("amq.direct", key, b"to nobody")  # Not mandatory: confirmed and dropped.


@scenario("returns without confirms")
def returned_without_confirms() -> None:
    """A mandatory message without a queue is returned on a channel that did not ask for confirms, too."""
    with open_channel() as channel:
        returns = []
        channel.add_on_return_callback(lambda _, method, properties, body: returns.append((method.reply_code, body)))
        queue = channel.queue_declare("", exclusive=True).method.queue
        for key, body in ((unique("nobody"), b"1"), (queue, b"2"), (unique("nobody"), b"3")):
            channel.basic_publish("", key, body, mandatory=True)
        assert get_all(channel, queue) == [b"2"]
        channel.connection.process_data_events()
        assert returns == [(312, b"1"), (312, b"3")]


@scenario("large message returned")
def large_returned() -> None:
    """A returned message of many frames comes back whole."""
    body = bytes(range(256)) * 4096
    with open_channel() as channel:
        channel.confirm_delivery()
        try:
            channel.basic_publish("", unique("nobody"), body, mandatory=True)
        except pika.exceptions.UnroutableError as error:
            assert error.messages[0].body == body
        else:
            raise AssertionError("not returned")


@scenario("nack by a full queue")
def nack() -> None:
    """A queue with x-max-length and x-overflow reject-publish refuses what is too much by basic.nack."""
    arguments = {"x-max-length": 2, "x-overflow": "reject-publish"}
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True, arguments=arguments).method.queue
        channel.confirm_delivery()
        for body in (b"1", b"2"):
            channel.basic_publish("", queue, body)
        try:
            channel.basic_publish("", queue, b"3")
        except pika.exceptions.NackError:
            pass
        else:
            raise AssertionError("confirmed although the queue is full")
        assert get_all(channel, queue) == [b"1", b"2"]
        channel.basic_publish("", queue, b"4")
        assert get_all(channel, queue) == [b"4"]


@scenario("confirms with consumers")
def confirms_with_consumers() -> None:
    """Publishing with confirms and consuming on one connection at the same time: nothing is lost or doubled."""
    with connect() as connection:
        publisher, subscriber = connection.channel(), connection.channel()
        queue = publisher.queue_declare("", exclusive=True).method.queue
        consumer = Consumer(subscriber, queue)
        publisher.confirm_delivery()
        for number in range(200):
            publisher.basic_publish("", queue, b"%d" % number, mandatory=True)
        consumer.wait(200)
        assert consumer.bodies == [b"%d" % number for number in range(200)]
