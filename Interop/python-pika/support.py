"""What the scenarios here share: a connection, and a consumer that keeps what it gets."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pika
from pika.adapters.blocking_connection import BlockingChannel
from scenarios import url


def connect(address: str | None = None, **parameters: Any) -> pika.BlockingConnection:
    """Connects to the broker under test; `parameters` are attributes of `pika.ConnectionParameters`."""
    options = pika.URLParameters(address or url())
    for name, value in parameters.items():
        setattr(options, name, value)
    return pika.BlockingConnection(options)


@contextlib.contextmanager
def open_channel(**parameters: Any) -> Iterator[BlockingChannel]:
    """Opens a connection and one channel for the length of a `with` block."""
    with connect(**parameters) as connection:
        yield connection.channel()


class Message(NamedTuple):
    """A delivery: how it came, its properties, its content."""

    method: pika.spec.Basic.Deliver
    properties: pika.BasicProperties
    body: bytes


class Consumer:
    """Consumes a queue and keeps the messages in the order they came. Nothing is acknowledged by itself."""

    def __init__(self, channel: BlockingChannel, queue: str, **options: Any) -> None:
        self._channel = channel
        self.messages: list[Message] = []
        self.tag = channel.basic_consume(queue, self._keep, **options)

    def _keep(self, _: BlockingChannel, *message: Any) -> None:
        self.messages.append(Message(*message))

    @property
    def bodies(self) -> list[bytes]:
        """The contents that came so far."""
        return [message.body for message in self.messages]

    def wait(self, count: int, seconds: float = 10) -> list[Message]:
        """Waits until there are `count` messages in all and returns them."""
        deadline = time.monotonic() + seconds
        while len(self.messages) < count:
            assert time.monotonic() < deadline, f"{len(self.messages)} messages instead of {count}: {self.bodies}"
            self._channel.connection.process_data_events(0.1)
        return self.messages

    def settle(self, seconds: float = 0.3) -> list[Message]:
        """Waits a while, so that a message that must not come would be there, and returns all."""
        self._channel.connection.sleep(seconds)
        return self.messages

    def acknowledge_all(self) -> None:
        """Acknowledges everything the channel got so far."""
        self._channel.basic_ack(0, multiple=True)

    def cancel(self) -> None:
        """Stops consuming; what came stays here, to be acknowledged or not."""
        self._channel.basic_cancel(self.tag)


def get_all(channel: BlockingChannel, queue: str) -> list[bytes]:
    """Takes every message that is ready in the queue, one by one, with basic.get."""
    bodies = []
    while (message := channel.basic_get(queue, auto_ack=True))[0]:
        bodies.append(message[2])
    return bodies


def depth(channel: BlockingChannel, queue: str) -> int:
    """Returns how many messages are ready in the queue."""
    return channel.queue_declare(queue, passive=True).method.message_count
