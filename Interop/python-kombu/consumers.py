"""Receiving with kombu: the ConsumerMixin, reconnecting, heartbeats."""

import threading
import time

from kombu import Connection, Consumer, Queue
from kombu.mixins import ConsumerMixin
from proxy import Proxy
from scenarios import eventually, scenario, unique, url
from support import connect, drain


class Worker(ConsumerMixin):
    """The program of kombu's own guide: a loop that consumes and connects again when it must."""

    def __init__(self, connection: Connection, queue: Queue) -> None:
        self.connection = connection
        self._queue = queue
        self.ready = threading.Event()
        self.bodies: list[object] = []
        self.redelivered: list[bool] = []

    def get_consumers(self, Consumer, channel) -> list[Consumer]:
        return [Consumer([self._queue], callbacks=[self.on_task], prefetch_count=2)]

    def on_consume_ready(self, connection, channel, consumers, **_) -> None:
        self.ready.set()

    def on_task(self, body, message) -> None:
        self.bodies.append(body)
        self.redelivered.append(message.delivery_info["redelivered"])
        if body != "hold" or message.delivery_info["redelivered"]:
            message.ack()


@scenario("ConsumerMixin")
def consumer_mixin() -> None:
    """A worker built on ConsumerMixin takes all tasks in order and stops when it is told to."""
    with connect() as connection, connect() as client:
        queue = Queue(unique("tasks"), auto_delete=True)
        worker = Worker(connection, queue)
        thread = threading.Thread(target=worker.run)
        thread.start()
        assert worker.ready.wait(10)
        producer = client.Producer()
        for number in range(50):
            producer.publish(number, routing_key=queue.name)
        eventually(lambda: len(worker.bodies) == 50)
        assert worker.bodies == list(range(50))
        worker.should_stop = True
        thread.join(10)
        assert not thread.is_alive()


@scenario("ConsumerMixin connects again")
def reconnect() -> None:
    """When its wire is cut the worker connects again, declares its queue and gets its unfinished task once more."""
    proxy = Proxy(url())
    with connect() as client:
        queue = Queue(unique("tasks"), durable=True)
        worker = Worker(Connection(proxy.url), queue)
        thread = threading.Thread(target=worker.run, daemon=True)
        thread.start()
        assert worker.ready.wait(10)
        client.Producer().publish("hold", routing_key=queue.name)
        eventually(lambda: worker.bodies == ["hold"])
        worker.ready.clear()
        proxy.cut()
        eventually(lambda: worker.bodies == ["hold", "hold"])
        assert worker.redelivered == [False, True]
        worker.should_stop = True
        thread.join(10)
        queue(client.default_channel).delete()


@scenario("prefetch and requeue")
def prefetch() -> None:
    """qos bounds what is in hand; requeue puts a message back in its place; reject drops it."""
    with connect() as connection:
        channel = connection.channel()
        queue = Queue(unique("tasks"), exclusive=True)
        in_hand = []
        consumer = Consumer(channel, [queue], on_message=in_hand.append, auto_declare=True)
        consumer.qos(prefetch_count=3)
        producer = connection.Producer(channel)
        for number in range(6):
            producer.publish(number, routing_key=queue.name)
        consumer.consume()
        drain(connection, lambda: len(in_hand) == 3)
        in_hand[1].requeue()
        in_hand[0].reject()
        drain(connection, lambda: len(in_hand) == 5)
        assert [message.decode() for message in in_hand] == [0, 1, 2, 1, 3]
        assert in_hand[3].delivery_info["redelivered"]


@scenario("heartbeats")
def heartbeats() -> None:
    """A client that answers heartbeats of 1 s stays; heartbeat_check notices when the broker's do not come."""
    with connect(heartbeat=1) as connection:
        channel = connection.channel()
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:  # heartbeat_check raises when the broker has been silent too long.
            connection.heartbeat_check(rate=2)
            try:
                connection.drain_events(timeout=0.5)
            except TimeoutError:
                pass
        assert connection.transport.get_heartbeat_interval(connection.connection) == 1
        Queue("", exclusive=True)(channel).declare()
