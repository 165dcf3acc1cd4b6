"""Requests and answers over queues."""

import re
import threading

import pika
from scenarios import scenario, unique
from support import Consumer, connect, open_channel


def _serve_squares(queue: str, ready: threading.Event) -> None:
    """A server that answers with the square of what it is asked, until it is asked nothing."""
    with open_channel() as channel:
        channel.queue_declare(queue, auto_delete=True)

        def on_request(channel, method, properties, body):
            if not body:
                channel.stop_consuming()
                return
            answer = pika.BasicProperties(correlation_id=properties.correlation_id)
            channel.basic_publish("", properties.reply_to, b"%d" % int(body) ** 2, answer)
            channel.basic_ack(method.delivery_tag)

        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, on_request)
        ready.set()
        channel.start_consuming()


def _ask_for_squares(reply_to: str | None) -> None:
    """Asks for ten squares and compares; answers go to `reply_to`, or to an exclusive queue when it is None."""
    requests = unique("requests")
    ready = threading.Event()
    server = threading.Thread(target=_serve_squares, args=(requests, ready), daemon=True)
    server.start()
    assert ready.wait(10)
    with open_channel() as channel:
        replies = reply_to or channel.queue_declare("", exclusive=True).method.queue
        consumer = Consumer(channel, replies, auto_ack=True)
        for number in range(10):
            question = pika.BasicProperties(reply_to=replies, correlation_id=f"question {number}")
            channel.basic_publish("", requests, b"%d" % number, question)
        answers = {message.properties.correlation_id: message.body for message in consumer.wait(10)}
        assert answers == {f"question {number}": b"%d" % number**2 for number in range(10)}
        channel.basic_publish("", requests, b"")
    server.join(10)
    assert not server.is_alive()


@scenario("RPC with an exclusive reply queue")
def reply_queue() -> None:
    """Answers come to the asker's own queue and are matched by correlation id."""
    _ask_for_squares(None)


@scenario("RPC with direct reply-to")
def direct_reply_to() -> None:
    """Answers come over amq.rabbitmq.reply-to without any queue."""
    _ask_for_squares("amq.rabbitmq.reply-to")


@scenario("direct reply-to addresses")
def reply_addresses() -> None:
    """The server sees an address of its own for each asker, which is good from any connection until the asker goes."""
    with open_channel() as server, connect() as connection:
        asker = connection.channel()
        requests = server.queue_declare("", exclusive=True).method.queue
        consumer = Consumer(asker, "amq.rabbitmq.reply-to", auto_ack=True)
        asker.basic_publish("", requests, b"?", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to"))
        (request,) = Consumer(server, requests, auto_ack=True).wait(1)
        address = request.properties.reply_to
        assert address.startswith("amq.rabbitmq.reply-to.") and len(address) < 256, address
        # The form that clients know from RabbitMQ: the PHP extension's tests look for it.
        assert re.fullmatch(r"amq\.rabbitmq\.reply-to\.[^.]+\.[^.]+==", address), address

        there = server.queue_declare(address, passive=True).method
        assert (there.queue, there.message_count, there.consumer_count) == (address, 0, 1)
        server.basic_publish("", address, b"!")
        (answer,) = consumer.wait(1)
        assert (answer.body, answer.method.exchange, answer.method.routing_key) == (b"!", "", address)

        asker.close()
        try:
            server.queue_declare(address, passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            assert error.reply_code == 404, error
        else:
            raise AssertionError("the address outlived its channel")
