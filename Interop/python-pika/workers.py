"""Work queues: several workers, one queue, nothing lost when one dies."""

import multiprocessing
import time

import pika
from scenarios import eventually, in_process, scenario, unique
from support import Consumer, connect, depth, get_all, open_channel


@scenario("work queue")
def work_queue() -> None:
    """With prefetch 1 a busy worker gets nothing more; every task goes to exactly one worker."""
    queue = unique("tasks")
    with connect() as connection:
        busy, free = connection.channel(), connection.channel()
        busy.queue_declare(queue, auto_delete=True)
        workers = []
        for channel in (busy, free):
            channel.basic_qos(prefetch_count=1)
            workers.append(Consumer(channel, queue))
        slow, fast = workers
        for number in range(10):
            busy.basic_publish("", queue, b"task %d" % number)
        slow.wait(1)
        for done in range(1, 10):  # The slow one sits on its task; the other does all the rest.
            message = fast.wait(done)[-1]
            free.basic_ack(message.method.delivery_tag)
        assert len(slow.settle(0.1)) == 1
        assert sorted(slow.bodies + fast.bodies) == [b"task %d" % number for number in range(10)]


@scenario("round robin")
def round_robin() -> None:
    """Consumers without a limit take turns."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        consumers = [Consumer(channel, queue, auto_ack=True) for _ in range(3)]
        for number in range(30):
            channel.basic_publish("", queue, b"%d" % number)
        for consumer in consumers:
            consumer.wait(10)
        assert [len(consumer.messages) for consumer in consumers] == [10, 10, 10]
        for first, second in zip(consumers[0].bodies, consumers[0].bodies[1:]):
            assert int(second) - int(first) == 3


def _stuck_worker(queue: str, has_task: multiprocessing.Event) -> None:
    """A worker that takes one task and never finishes it."""
    connection = connect()
    channel = connection.channel()
    channel.basic_qos(prefetch_count=1)

    def on_task(channel, method, properties, body):
        has_task.set()
        time.sleep(60)

    channel.basic_consume(queue, on_task)
    channel.start_consuming()


@scenario("killed worker")
def killed_worker() -> None:
    """A task whose worker process is killed goes to the next worker, first in line and marked redelivered."""
    queue = unique("tasks")
    with open_channel() as channel:
        channel.queue_declare(queue, durable=True)
        channel.confirm_delivery()
        for body in (b"dangerous", b"harmless"):
            channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2))
        has_task = multiprocessing.Event()
        worker = in_process(_stuck_worker, queue, has_task)
        assert has_task.wait(10)
        assert depth(channel, queue) == 1, "one is with the worker"
        worker.kill()
        worker.join()

        eventually(lambda: depth(channel, queue) == 2)
        consumer = Consumer(channel, queue)
        dangerous, harmless = consumer.wait(2)
        assert (dangerous.body, dangerous.method.redelivered) == (b"dangerous", True)
        assert (harmless.body, harmless.method.redelivered) == (b"harmless", False)
        consumer.acknowledge_all()
        channel.queue_delete(queue)


@scenario("prefetch per consumer")
def prefetch_per_consumer() -> None:
    """basic.qos limits each consumer started after it; acknowledging makes room; without ack there is no limit."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_qos(prefetch_count=3)
        three = Consumer(channel, queue)
        channel.basic_qos(prefetch_count=2)
        two = Consumer(channel, queue)
        for number in range(10):
            channel.basic_publish("", queue, b"%d" % number)
        three.wait(3)
        two.wait(2)
        assert (len(three.settle()), len(two.messages)) == (3, 2)
        channel.basic_ack(two.messages[0].method.delivery_tag)
        two.wait(3)
        assert (len(three.settle(0.1)), len(two.messages)) == (3, 3)
        assert len(Consumer(channel, queue, auto_ack=True).wait(4)) == 4


@scenario("prefetch per channel")
def prefetch_per_channel() -> None:
    """basic.qos with global set limits all consumers of the channel together, and get is free of it."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_qos(prefetch_count=4, global_qos=True)
        consumers = [Consumer(channel, queue) for _ in range(2)]
        for number in range(10):
            channel.basic_publish("", queue, b"%d" % number)
        consumers[0].settle()
        assert sum(len(consumer.messages) for consumer in consumers) == 4
        assert channel.basic_get(queue, auto_ack=True)[2] == b"4"
        channel.basic_ack(2, multiple=True)
        consumers[0].settle()
        assert sum(len(consumer.messages) for consumer in consumers) == 6


@scenario("both prefetches")
def both_prefetches() -> None:
    """A limit per consumer and a later one for the channel hold together."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_qos(prefetch_count=2)
        channel.basic_qos(prefetch_count=3, global_qos=True)
        consumers = [Consumer(channel, queue) for _ in range(3)]
        for number in range(10):
            channel.basic_publish("", queue, b"%d" % number)
        consumers[0].settle()
        counts = [len(consumer.messages) for consumer in consumers]
        assert sum(counts) == 3 and max(counts) <= 2, counts


@scenario("multiple acknowledgements")
def multiple() -> None:
    """An ack with multiple settles everything up to its tag and nothing behind it."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        for number in range(10):
            channel.basic_publish("", queue, b"%d" % number)
        consumer = Consumer(channel, queue)
        consumer.wait(10)
        channel.basic_ack(6, multiple=True)
        consumer.cancel()
        channel.basic_nack(0, multiple=True)
        assert get_all(channel, queue) == [b"6", b"7", b"8", b"9"]


@scenario("requeue order")
def requeue_order() -> None:
    """Messages put back by nack and reject go to their old places, in front of what came later."""
    with open_channel() as channel:
        queue = channel.queue_declare("", exclusive=True).method.queue
        for number in range(6):
            channel.basic_publish("", queue, b"%d" % number)
        tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(4)]
        channel.basic_reject(tags[2])  # Out of order on purpose.
        channel.basic_nack(tags[0])
        channel.basic_reject(tags[1], requeue=False)
        channel.basic_nack(tags[3])
        messages = Consumer(channel, queue).wait(5)
        assert [message.body for message in messages] == [b"0", b"2", b"3", b"4", b"5"]
        assert [message.method.redelivered for message in messages] == [True, True, True, False, False]


@scenario("recover")
def recover() -> None:
    """basic.recover puts back everything unacknowledged on its channel, in order; other channels keep theirs."""
    with connect() as connection:
        channel, other = connection.channel(), connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.confirm_delivery()  # What one channel publishes, another may look for too early.
        for number in range(4):
            channel.basic_publish("", queue, b"%d" % number)
        assert other.basic_get(queue)[2] == b"0"
        for expected in (b"1", b"2"):
            assert channel.basic_get(queue)[2] == expected
        channel.basic_recover(requeue=True)
        messages = Consumer(channel, queue).wait(3)
        assert [message.body for message in messages] == [b"1", b"2", b"3"]
        assert [message.method.redelivered for message in messages] == [True, True, False]


@scenario("closing a channel")
def closing_a_channel() -> None:
    """What a closed channel had not acknowledged is back in the queue, in order and redelivered."""
    with connect() as connection:
        channel, other = connection.channel(), connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        for number in range(3):
            channel.basic_publish("", queue, b"%d" % number)
        Consumer(channel, queue).wait(3)
        channel.close()
        messages = Consumer(other, queue).wait(3)
        assert [(message.body, message.method.redelivered) for message in messages] == [
            (b"0", True),
            (b"1", True),
            (b"2", True),
        ]
