"""pika's other faces: SelectConnection with its callbacks, and the adapter for asyncio."""

import asyncio
from collections.abc import Callable

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from scenarios import scenario, unique, url


class HelloByCallbacks:
    """Opens, declares, publishes and consumes, each step from the callback of the one before."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._queue = unique("hello")
        self.received: list[bytes] = []

    def on_connection_open(self, connection: pika.connection.Connection) -> None:
        connection.channel(on_open_callback=self.on_channel_open)

    def on_channel_open(self, channel: pika.channel.Channel) -> None:
        self._channel = channel
        channel.queue_declare(self._queue, auto_delete=True, callback=self.on_queue_declared)

    def on_queue_declared(self, _) -> None:
        self._channel.basic_consume(self._queue, self.on_message, callback=self.on_consuming)

    def on_consuming(self, _) -> None:
        for body in (b"Hello,", b"World!"):
            self._channel.basic_publish("", self._queue, body)

    def on_message(self, channel, method, properties, body) -> None:
        channel.basic_ack(method.delivery_tag)
        self.received.append(body)
        if len(self.received) == 2:
            channel.basic_cancel(method.consumer_tag, callback=lambda _: channel.connection.close())

    def on_closed(self, connection, reason: Exception) -> None:
        self.reason = reason
        self._stop()


class ConfirmsByCallbacks:
    """Publishes a thousand messages without waiting and collects the confirms; every tenth has no queue."""

    count = 1000

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._queue = unique("confirmed")
        self._confirmed: set[int] = set()
        self._highest = 0
        self.events: list[tuple[str, int]] = []

    def on_connection_open(self, connection: pika.connection.Connection) -> None:
        connection.channel(on_open_callback=self.on_channel_open)

    def on_channel_open(self, channel: pika.channel.Channel) -> None:
        self._channel = channel
        channel.add_on_return_callback(self.on_return)
        channel.queue_declare(self._queue, exclusive=True, callback=self.on_queue_declared)

    def on_queue_declared(self, _) -> None:
        self._channel.confirm_delivery(self.on_confirm, callback=self.on_confirming)

    def on_confirming(self, _) -> None:
        for tag in range(1, self.count + 1):
            key = unique("nobody") if tag % 10 == 0 else self._queue
            self._channel.basic_publish("", key, b"%d" % tag, mandatory=True)

    def on_return(self, channel, method, properties, body) -> None:
        self.events.append(("return", int(body)))

    def on_confirm(self, frame) -> None:
        assert isinstance(frame.method, pika.spec.Basic.Ack), frame
        tags = [frame.method.delivery_tag]
        if frame.method.multiple:
            tags = [tag for tag in range(self._highest + 1, tags[0] + 1) if tag not in self._confirmed]
            self._highest = frame.method.delivery_tag
        assert self._confirmed.isdisjoint(tags), "confirmed twice"
        self._confirmed.update(tags)
        self.events += [("ack", tag) for tag in tags]
        if len(self._confirmed) == self.count:
            self._channel.connection.close()

    def on_closed(self, connection, reason: Exception) -> None:
        self.reason = reason
        self._stop()

    def check(self) -> None:
        """Checks that every message was confirmed once, and those without a queue returned once, and before that."""
        assert isinstance(self.reason, pika.exceptions.ConnectionClosedByClient), self.reason
        place = {event: position for position, event in enumerate(self.events)}
        assert sum(kind == "ack" for kind, _ in self.events) == self.count
        assert [tag for kind, tag in self.events if kind == "return"] == list(range(10, self.count + 1, 10))
        assert all(place["return", tag] < place["ack", tag] for tag in range(10, self.count + 1, 10))


def _run_select(program: type) -> HelloByCallbacks | ConfirmsByCallbacks:
    """Runs a program of callbacks on a SelectConnection until it has closed."""
    running = program(stop=lambda: connection.ioloop.stop())
    connection = pika.SelectConnection(
        pika.URLParameters(url()),
        on_open_callback=running.on_connection_open,
        on_close_callback=running.on_closed,
    )
    connection.ioloop.start()
    return running


def _run_asyncio(program: type) -> HelloByCallbacks | ConfirmsByCallbacks:
    """Runs the same program on the event loop of asyncio."""

    async def main() -> HelloByCallbacks | ConfirmsByCallbacks:
        ended = asyncio.Event()
        running = program(stop=ended.set)
        AsyncioConnection(
            pika.URLParameters(url()),
            on_open_callback=running.on_connection_open,
            on_close_callback=running.on_closed,
        )
        await ended.wait()
        return running

    return asyncio.run(main())


@scenario("SelectConnection: hello world")
def select_hello() -> None:
    """Declare, consume, publish, acknowledge, cancel and close, all by callbacks."""
    program = _run_select(HelloByCallbacks)
    assert program.received == [b"Hello,", b"World!"]
    assert isinstance(program.reason, pika.exceptions.ConnectionClosedByClient), program.reason


@scenario("SelectConnection: confirms and returns")
def select_confirms() -> None:
    """A thousand messages in flight are each confirmed once; those without a queue come back before their confirm."""
    _run_select(ConfirmsByCallbacks).check()


@scenario("asyncio: hello world")
def asyncio_hello() -> None:
    """The same on asyncio's event loop."""
    program = _run_asyncio(HelloByCallbacks)
    assert program.received == [b"Hello,", b"World!"]
    assert isinstance(program.reason, pika.exceptions.ConnectionClosedByClient), program.reason


@scenario("asyncio: confirms and returns")
def asyncio_confirms() -> None:
    """A thousand messages in flight on asyncio's event loop are each confirmed once, after their return if any."""
    _run_asyncio(ConfirmsByCallbacks).check()
