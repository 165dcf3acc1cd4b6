"""Consumers that come and go."""

import multiprocessing
import time

from pika.exceptions import ChannelClosedByBroker
from scenarios import eventually, in_process, scenario, unique
from support import Consumer, connect, depth, get_all, open_channel


@scenario("cancel by the client")
def cancel() -> None:
    """After cancel-ok nothing more is delivered; what was delivered can still be acknowledged."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"1")
        consumer = Consumer(channel, queue)
        (message,) = consumer.wait(1)
        consumer.cancel()
        channel.confirm_delivery()
        channel.basic_publish("", queue, b"2")
        assert len(consumer.settle()) == 1
        channel.basic_ack(message.method.delivery_tag)
        state = channel.queue_declare(queue, passive=True).method
        assert (state.message_count, state.consumer_count) == (1, 0)


@scenario("cancel by the broker")
def cancel_notification() -> None:
    """A consumer whose queue is deleted is told by basic.cancel with its tag, and its channel goes on."""
    queue = unique("short-lived")
    with connect() as connection, open_channel() as other:
        channel = connection.channel()
        channel.queue_declare(queue)
        cancelled = []
        channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        consumers = [Consumer(channel, queue) for _ in range(2)]
        other.queue_delete(queue)
        channel.start_consuming()  # Returns when there are no consumers left.
        assert sorted(cancelled) == sorted(consumer.tag for consumer in consumers)
        channel.queue_declare("", exclusive=True)


@scenario("consumer tags")
def consumer_tags() -> None:
    """Deliveries carry the tag of their consumer, also one that the client chose."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        chosen = Consumer(channel, queue, consumer_tag="chosen tag")
        assert chosen.tag == "chosen tag"
        channel.basic_publish("", queue, b"1")
        assert chosen.wait(1)[0].method.consumer_tag == "chosen tag"


@scenario("consumer priorities")
def priorities() -> None:
    """The consumer of the highest x-priority gets everything while it can take more, then the next."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_qos(prefetch_count=2)
        low = Consumer(channel, queue, arguments={"x-priority": -1})
        high = Consumer(channel, queue, arguments={"x-priority": 10})
        normal = Consumer(channel, queue)
        for number in range(5):
            channel.basic_publish("", queue, b"%d" % number)
        low.wait(1)
        assert [consumer.bodies for consumer in (high, normal, low)] == [[b"0", b"1"], [b"2", b"3"], [b"4"]]


@scenario("single active consumer")
def single_active() -> None:
    """Of several consumers the first gets everything; when it goes the next one follows, with what was left."""
    arguments = {"x-single-active-consumer": True}
    queue = unique("serial")
    with open_channel() as first_channel, open_channel() as second_channel:
        first_channel.queue_declare(queue, auto_delete=True, arguments=arguments)
        first, second = Consumer(first_channel, queue), Consumer(second_channel, queue)
        for number in range(4):
            first_channel.basic_publish("", queue, b"%d" % number)
        first.wait(4)
        assert second.settle() == []
        first_channel.basic_ack(2, multiple=True)
        first_channel.connection.close()
        messages = second.wait(2)
        assert [(message.body, message.method.redelivered) for message in messages] == [(b"2", True), (b"3", True)]


@scenario("exclusive consumer")
def exclusive_consumer() -> None:
    """An exclusive consumer is alone: 403 for any other, until it is cancelled; basic.get is not stopped by it."""
    with connect() as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        alone = Consumer(channel, queue, exclusive=True)
        for exclusive in (False, True):
            try:
                Consumer(connection.channel(), queue, exclusive=exclusive)
            except ChannelClosedByBroker as error:
                assert error.reply_code == 403
                assert error.reply_text == f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
            else:
                raise AssertionError("two consumers")
        assert connection.channel().basic_get(queue) == (None, None, None)
        alone.cancel()
        Consumer(connection.channel(), queue)


@scenario("consumer before the message")
def waiting_consumer() -> None:
    """A consumer that waits gets a message that another connection publishes, at once."""
    queue = unique("waited")
    with open_channel() as channel, open_channel() as publisher:
        channel.queue_declare(queue, auto_delete=True)
        consumer = Consumer(channel, queue)
        publisher.basic_publish("", queue, b"there")
        assert consumer.wait(1, seconds=2)[0].body == b"there"


def _lazy_consumer(queue: str, consuming: multiprocessing.Event) -> None:
    """Starts to consume and then never reads from its socket again."""
    channel = connect().channel()
    channel.basic_consume(queue, print)
    consuming.set()
    time.sleep(60)


@scenario("consumer that does not read")
def slow_reader() -> None:
    """A consumer that stops reading from its socket delays nobody else; what it did not acknowledge comes back."""
    body = bytes(1024 * 1024)
    queue = unique("flood")
    with open_channel() as channel:
        channel.queue_declare(queue)
        consuming = multiprocessing.Event()
        lazy = in_process(_lazy_consumer, queue, consuming)
        assert consuming.wait(10)
        channel.confirm_delivery()
        for _ in range(40):  # More than the sockets between the broker and the lazy one take.
            channel.basic_publish("", queue, body)
        neighbour = channel.queue_declare("", exclusive=True).method.queue
        consumer = Consumer(channel, neighbour, auto_ack=True)
        for number in range(100):
            channel.basic_publish("", neighbour, b"%d" % number)
        consumer.wait(100, seconds=5)

        lazy.kill()
        lazy.join()
        eventually(lambda: depth(channel, queue) == 40)
        assert get_all(channel, queue) == [body] * 40
        channel.queue_delete(queue)
