"""Many channels, many connections, and clients that say nothing."""

import contextlib
import socket
import time
from urllib.parse import urlsplit

import pika
from pika import frame, spec
from scenarios import scenario, unique, url
from support import Consumer, connect, get_all, open_channel


@scenario("1,000 channels")
def thousand_channels() -> None:
    """A thousand channels of one connection work side by side, each with a consumer of its own."""
    count = 1000
    with connect() as connection:
        channels = [connection.channel() for _ in range(count)]
        assert len({channel.channel_number for channel in channels}) == count
        exchange = unique("everybody")
        channels[0].exchange_declare(exchange, "fanout", auto_delete=True)
        received = []
        for channel in channels:
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queue, exchange)
            channel.basic_consume(queue, lambda channel, *_: received.append(channel.channel_number), auto_ack=True)
        channels[-1].basic_publish(exchange, "", b"to all")
        deadline = time.monotonic() + 20
        while len(received) < count and time.monotonic() < deadline:
            connection.process_data_events(0.1)
        assert sorted(received) == sorted(channel.channel_number for channel in channels)


@scenario("channels opened and closed")
def channel_reuse() -> None:
    """One channel number can be opened and closed five hundred times."""
    with connect() as connection:
        for _ in range(500):
            channel = connection.channel(7)
            channel.basic_qos(prefetch_count=1)
            channel.close()
        connection.channel(7).queue_declare("", exclusive=True)


@scenario("200 connections")
def many_connections() -> None:
    """Two hundred connections at once each get their copy of a message, and each can publish."""
    count = 200
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect()) for _ in range(count)]
        channels = [connection.channel() for connection in connections]
        exchange = unique("everybody")
        channels[0].exchange_declare(exchange, "fanout", auto_delete=True)
        collected = channels[0].queue_declare("", exclusive=True).method.queue
        queues = []
        for channel in channels:
            queues.append(channel.queue_declare("", exclusive=True).method.queue)
            channel.queue_bind(queues[-1], exchange)
        channels[0].confirm_delivery()
        channels[0].basic_publish(exchange, "", b"to all")
        for number, (channel, queue) in enumerate(zip(channels, queues)):
            assert get_all(channel, queue) == [b"to all"], number
            channel.basic_publish("", collected, b"%d" % number)
        messages = Consumer(channels[0], collected, auto_ack=True).wait(count)
        assert sorted(int(message.body) for message in messages) == list(range(count))


class _RawClient:
    """A client that speaks only when told to: pika's frames over a plain socket."""

    def __init__(self, heartbeat: int) -> None:
        address = urlsplit(url())
        self.socket = socket.create_connection((address.hostname, address.port), timeout=10)
        self._buffer = b""
        self.socket.sendall(frame.ProtocolHeader().marshal())
        self._expect(spec.Connection.Start)
        self.send(spec.Connection.StartOk({"product": "raw"}, "PLAIN", "\0guest\0guest", "en_US"))
        self._expect(spec.Connection.Tune)
        self.send(spec.Connection.TuneOk(channel_max=10, frame_max=131072, heartbeat=heartbeat))
        self.send(spec.Connection.Open("/"))
        self._expect(spec.Connection.OpenOk)

    def send(self, method: pika.amqp_object.Method) -> None:
        """Sends a method on channel 0."""
        self.socket.sendall(frame.Method(0, method).marshal())

    def receive(self) -> frame.Frame | None:
        """Returns the next frame, or None when the broker has closed the socket."""
        while True:
            used, received = frame.decode_frame(self._buffer)
            if received:
                self._buffer = self._buffer[used:]
                return received
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._buffer += data

    def _expect(self, method: type) -> None:
        received = self.receive()
        assert isinstance(received, frame.Method) and isinstance(received.method, method), received


@scenario("heartbeats: a silent client is closed")
def silent_client() -> None:
    """A client that agreed to heartbeats of 1 s and then sends nothing gets some, and is closed within 2 to 4 s."""
    client = _RawClient(heartbeat=1)
    started = time.monotonic()
    received = []
    while (item := client.receive()) is not None:
        received.append(item)
    seconds = time.monotonic() - started
    assert 1.5 < seconds < 4.5, f"closed after {seconds:.1f} s"
    assert len(received) >= 2 and all(isinstance(item, frame.Heartbeat) for item in received), received


@scenario("heartbeats: any frame counts")
def any_frame_counts() -> None:
    """A client that sends no heartbeats but other frames twice a second stays connected."""
    client = _RawClient(heartbeat=1)
    client.socket.sendall(frame.Method(1, spec.Channel.Open()).marshal())
    for _ in range(10):
        time.sleep(0.5)
        client.socket.sendall(frame.Method(1, spec.Basic.Qos(prefetch_count=1)).marshal())
    client.send(spec.Connection.Close(200, "", 0, 0))
    while (item := client.receive()) is not None:
        if isinstance(item, frame.Method) and isinstance(item.method, spec.Connection.CloseOk):
            return
    raise AssertionError("closed by the broker")


@scenario("heartbeats: an idle client stays")
def idle_client() -> None:
    """Clients that are idle for five intervals but answer heartbeats stay connected, and so do those without any."""
    with open_channel(heartbeat=1) as idle, open_channel(heartbeat=0) as without:
        queue = idle.queue_declare("", exclusive=True).method.queue
        consumer = Consumer(idle, queue, auto_ack=True)
        idle.connection.sleep(5)
        without.basic_publish("", queue, b"still there?")
        assert consumer.wait(1, seconds=2)[0].body == b"still there?"
