"""What RabbitMQ needs plugins for, or does not know at all; skipped with RabbitMQ itself."""

import contextlib
import time
from collections.abc import Iterator

import pika
from pika.adapters.blocking_connection import BlockingChannel
from scenarios import Skipped, scenario, unique
from support import Consumer, connect, get_all


@contextlib.contextmanager
def our_channel(**parameters: object) -> Iterator[BlockingChannel]:
    """Opens a connection and one channel that confirms, to a broker that is not RabbitMQ."""
    with connect(**parameters) as connection:
        # pika keeps what the server has said of itself in the connection below the blocking one.
        if connection._impl.server_properties["product"] == "RabbitMQ":
            raise Skipped("RabbitMQ cannot do this")
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


@scenario("unique jobs")
def unique_jobs() -> None:
    """A queue with x-message-deduplication ignores, and confirms, a message whose x-deduplication-header is that of one
    that waits or is being worked on; with the acknowledgement the id is free again."""
    with our_channel() as channel:
        queue = unique("jobs")
        channel.queue_declare(queue, durable=True, arguments={"x-message-deduplication": True})

        def enqueue(job: str, body: bytes) -> None:
            properties = pika.BasicProperties(delivery_mode=2, headers={"x-deduplication-header": job})
            # Returns when it is confirmed, and raises when it is refused or has no queue.
            channel.basic_publish("", queue, body, properties, mandatory=True)

        try:
            enqueue("report", b"1")
            enqueue("report", b"2")
            enqueue("invoice", b"3")
            worker = Consumer(channel, queue)
            assert [message.body for message in worker.wait(2)] == [b"1", b"3"]
            enqueue("report", b"4")
            worker.settle()
            assert worker.bodies == [b"1", b"3"], "it is being worked on"
            channel.basic_nack(worker.messages[0].method.delivery_tag, requeue=True)
            assert worker.wait(3)[2].body == b"1"
            enqueue("report", b"5")
            channel.basic_ack(worker.messages[2].method.delivery_tag)
            enqueue("report", b"6")
            assert worker.wait(4)[3].body == b"6"
            worker.cancel()
            worker.acknowledge_all()
            assert get_all(channel, queue) == []
        finally:
            channel.queue_delete(queue)


@scenario("reason for a nack")
def nack_reason() -> None:
    """With the capability x-nack-reason a refused message comes back before its nack, with 506 when there is no room for
    it and 311 when there never will be, and a text that names limit and queue; without it nothing comes back."""
    capabilities = {"basic.nack": True, "publisher_confirms": True, "x-nack-reason": True}
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    small = {"x-max-length-bytes": 10, "x-overflow": "reject-publish"}
    with our_channel(client_properties={"capabilities": capabilities}) as asking, our_channel() as silent:
        for arguments, code, text in (
            (full, 506, "RESOURCE_ERROR - no room within max-length 1"),
            (small, 311, "CONTENT_TOO_LARGE - 11 octets are more than max-length-bytes 10"),
        ):
            queue = unique("full")
            asking.queue_declare(queue, arguments=arguments)
            try:
                if arguments is full:
                    asking.basic_publish("", queue, b"first")
                for channel, count in ((asking, 1), (silent, 0)):
                    try:
                        channel.basic_publish("", queue, b"one of many", pika.BasicProperties(message_id="7"))
                    except pika.exceptions.NackError as error:
                        returned = error.messages
                    else:
                        raise AssertionError("it was taken")
                    assert len(returned) == count, returned
                    for message in returned:
                        assert message.method.reply_code == code, message.method
                        assert message.method.reply_text == f"{text} of queue '{queue}' in vhost '/'", message.method
                        assert message.method.routing_key == queue
                        assert (message.properties.message_id, message.body) == ("7", b"one of many")
            finally:
                asking.queue_delete(queue)


@scenario("message groups")
def message_groups() -> None:
    """Messages with one value of the group header go to one consumer at a time, in order, those of others meanwhile to
    others; with the acknowledgement of all that is out the group is free."""
    with our_channel() as channel, our_channel() as second:
        queue = unique("groups")
        channel.queue_declare(queue, arguments={"x-group-header": "customer"})
        try:
            workers = []
            for each in (channel, second):
                each.basic_qos(prefetch_count=1)
                workers.append(Consumer(each, queue))
            for number, customer in enumerate(("a", "a", "a", "b")):
                channel.basic_publish("", queue, b"%d" % number, pika.BasicProperties(headers={"customer": customer}))
            got = [worker.wait(1)[0].body for worker in workers]
            # Whoever has the first one has the group; the other one passes over it.
            assert sorted(got) == [b"0", b"3"], got
            owner, other = workers if got[0] == b"0" else reversed(workers)
            other.acknowledge_all()
            other.settle()
            assert other.bodies == [b"3"], "the group has somebody"
            owner.acknowledge_all()
            rest = [b"1", b"2"]
            while rest:
                (worker,) = [each for each in workers if each.settle(0.2) and each.bodies[-1] == rest[0]]
                rest.pop(0)
                worker.acknowledge_all()
        finally:
            channel.queue_delete(queue)


@scenario("times to live on time")
def times_to_live() -> None:
    """A message with a short time to live becomes a dead letter on time, though one with a long time stands before it."""
    with our_channel() as channel:
        dead, queue = unique("dead"), unique("ttl")
        channel.queue_declare(dead)
        channel.queue_declare(
            queue, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, "x-message-ttl": 60_000}
        )
        try:
            letters = Consumer(channel, dead, auto_ack=True)
            started = time.monotonic()
            channel.basic_publish("", queue, b"long")
            channel.basic_publish("", queue, b"short", pika.BasicProperties(expiration="300"))
            (letter,) = letters.wait(1)
            assert letter.body == b"short"
            assert 0.3 <= time.monotonic() - started < 5
            assert channel.queue_declare(queue, passive=True).method.message_count == 1
        finally:
            channel.queue_delete(queue)
            channel.queue_delete(dead)


@scenario("retries with backoff")
def retries() -> None:
    """A classic queue holds back what fails, longer with each failure, tells how often that was, and gives up in the
    end: then it is a dead letter."""
    with our_channel() as channel:
        dead, queue = unique("dead"), unique("retries")
        channel.queue_declare(dead)
        arguments = {
            "x-delayed-retry-type": "all",
            "x-delayed-retry-min": 200,
            "x-delayed-retry-max": 300,
            "x-delivery-limit": 2,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead,
        }
        channel.queue_declare(queue, durable=True, arguments=arguments)
        try:
            worker, letters = Consumer(channel, queue), Consumer(channel, dead, auto_ack=True)
            channel.basic_publish("", queue, b"job", pika.BasicProperties(delivery_mode=2))
            for attempt, least in ((0, 0), (1, 0.2), (2, 0.3)):
                message = worker.wait(attempt + 1)[attempt]
                if attempt:
                    assert time.monotonic() - failed >= least - 0.01, attempt
                    headers = message.properties.headers
                    assert headers == {"x-acquired-count": attempt, "x-delivery-count": attempt}, headers
                else:
                    assert message.properties.headers is None
                failed = time.monotonic()
                channel.basic_nack(message.method.delivery_tag, requeue=True)
            (letter,) = letters.wait(1)
            assert letter.properties.headers["x-death"][0]["reason"] == "delivery_limit"
        finally:
            channel.queue_delete(queue)
            channel.queue_delete(dead)


@scenario("work taken back")
def work_taken_back() -> None:
    """A delivery that stays unacknowledged for too long goes to another consumer; the channel of the first one lives,
    and its late acknowledgement is taken."""
    with our_channel() as channel, our_channel() as second:
        queue = unique("timeout")
        channel.queue_declare(queue, arguments={"x-consumer-timeout": 500, "x-dispatch": "least-loaded"})
        try:
            stuck = Consumer(channel, queue)
            channel.basic_publish("", queue, b"job")
            (delivery,) = stuck.wait(1)
            helper = Consumer(second, queue)
            (again,) = helper.wait(1)
            assert (again.body, again.method.redelivered) == (b"job", True)
            second.basic_ack(again.method.delivery_tag)
            channel.basic_ack(delivery.method.delivery_tag)
            channel.basic_publish("", queue, b"next")
            deadline = time.monotonic() + 10
            while len(stuck.bodies) + len(helper.bodies) < 3:
                assert time.monotonic() < deadline
                stuck.settle(0.05)
                helper.settle(0.05)
        finally:
            channel.queue_delete(queue)
