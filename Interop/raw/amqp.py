"""A connection over which a check can send anything and read everything, always with a deadline."""

import collections
import os
import re
import socket
import struct
import time
import urllib.parse
from typing import NamedTuple

from codec import (BODY, HEADER, HEARTBEAT, METHOD, PROTOCOL_HEADER, Event, Field, content_frames, erlang, field, frame,
                   header, long, method, method_frame, properties, publish_frames, short, table)
from methods import METHODS, REPLY_CODES

__all__ = ["BODY", "HEADER", "HEARTBEAT", "METHOD", "PROTOCOL_HEADER", "Channel", "Closed", "Connection", "Event",
           "Failure", "Field", "Frame", "Silence", "check_close", "content_frames", "equal", "erlang", "field", "frame",
           "header", "long", "method", "method_frame", "properties", "publish_frames", "short", "table", "true"]

#: How long an answer may take. Generous, because the machine may be building something meanwhile.
PATIENCE = 6.0


class Failure(AssertionError):
    """The broker did something else than expected."""


class Silence(Failure):
    """Nothing came in time."""


class Closed(Failure):
    """The socket was closed."""


class Frame(NamedTuple):
    """One frame as it came."""
    kind: int
    channel: int
    payload: bytes


def equal(actual, expected, what=""):
    """Fails unless both are equal."""
    if actual != expected:
        raise Failure(f"{what + ': ' if what else ''}expected {expected!r}, got {actual!r}")


def true(condition, what):
    """Fails with a sentence unless the condition holds."""
    if not condition:
        raise Failure(what)


def address():
    """Host, port, user and password of MARTLET_URL."""
    url = urllib.parse.urlsplit(os.environ.get("MARTLET_URL", "amqp://guest:guest@127.0.0.1:5672/"))
    return url.hostname, url.port or 5672, url.username or "guest", url.password or "guest"


def check_close(event, name, code, where, text):
    """Compares a close with what is expected: code, method at fault (None is 0/0) and text.

    `text` leaves out the code's name; "" is the bare name; None is not looked at; a pattern must match all of it."""
    if event.name != name:
        raise Failure(f"expected {name} {code}, got {event!r}")
    at_fault = (0, 0) if where is None else METHODS[where][:2] if isinstance(where, str) else where
    equal((event.reply_code, (event.class_id, event.method_id)), (code, at_fault), f"code and method of {event!r}")
    if isinstance(text, re.Pattern):
        begin = REPLY_CODES[code] + " - "
        true(event.reply_text.startswith(begin) and text.fullmatch(event.reply_text[len(begin):]),
             f"text {event.reply_text!r} does not match {text.pattern!r}")
    elif text is not None:
        equal(event.reply_text, REPLY_CODES[code] + (" - " + text if text else ""), "text")


class Connection:
    """A socket with a frame reader. `limit` is the time (monotonic) by which the whole check must be over."""

    def __init__(self, limit):
        self.host, self.port, self.user, self.password = address()
        self.limit, self.buffer, self.inbox = limit, bytearray(), collections.defaultdict(collections.deque)
        self.partial, self.heartbeats, self.frame_max, self.tuned, self.last_channel = {}, 0, 131072, None, 0
        self.socket = socket.create_connection((self.host, self.port), timeout=max(0.1, limit - time.monotonic()))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # Bytes and frames

    def write(self, *pieces):
        """Sends bytes as they are, in one go."""
        self.socket.settimeout(max(0.01, self.limit - time.monotonic()))
        try:
            self.socket.sendall(b"".join(pieces))
        except TimeoutError:
            raise Silence("the broker does not read what is sent") from None
        except OSError as problem:
            raise Closed(f"the broker closed the socket while being written to ({problem})") from None

    def write_anyway(self, *pieces):
        """Sends bytes the broker is free to refuse by closing the socket."""
        try:
            self.write(*pieces)
        except Closed:
            pass

    def fill(self, until):
        """Reads what is there into the buffer; fails when nothing comes until then."""
        until = min(until, self.limit)
        self.socket.settimeout(max(0.001, until - time.monotonic()))
        try:
            data = self.socket.recv(1 << 20)
        except TimeoutError:
            raise Silence("nothing came") from None
        except OSError as problem:
            raise Closed(f"the socket was reset ({problem})") from None
        if not data:
            raise Closed("the socket was closed")
        self.buffer += data

    def take(self, count, timeout=PATIENCE):
        """That many octets, whatever they are."""
        until = time.monotonic() + timeout
        while len(self.buffer) < count:
            self.fill(until)
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read_frame(self, timeout=PATIENCE):
        """The next frame of any kind, heartbeats included."""
        until = time.monotonic() + timeout
        while len(self.buffer) < 7 or len(self.buffer) < 8 + struct.unpack_from(">I", self.buffer, 3)[0]:
            self.fill(until)
        kind, channel, size = struct.unpack_from(">BHI", self.buffer)
        true(self.buffer[7 + size] == 0xCE, f"a frame of type {kind} and size {size} ends in {self.buffer[7 + size]}")
        payload = bytes(self.buffer[7:7 + size])
        del self.buffer[:8 + size]
        true(size + 8 <= self.frame_max, f"a frame of {size + 8} octets is longer than frame_max {self.frame_max}")
        return Frame(kind, channel, payload)

    def read_event(self, timeout=PATIENCE):
        """The next whole method, with its content if it has some, as (channel, event)."""
        until = time.monotonic() + timeout
        while True:
            kind, channel, payload = self.read_frame(max(0.001, until - time.monotonic()))
            if kind == HEARTBEAT:
                equal((channel, payload), (0, b""), "heartbeat")
                self.heartbeats += 1
                continue
            if kind == METHOD:
                true(channel not in self.partial, "a method came where the rest of a content was expected")
                event = Event(payload)
                if not event.has_content:
                    return channel, event
                self.partial[channel] = [event, None]
                continue
            true(channel in self.partial, f"a frame of type {kind} came without a method")
            event, left = self.partial[channel]
            if left is None:
                equal(kind, HEADER, "frame type after a method with content")
                left = event.set_header(payload)
            else:
                equal(kind, BODY, "frame type where a body is due")
                event.body += payload
                event.frames.append(len(payload))
                left -= len(payload)
                true(payload and left >= 0, "body frames do not add up to the announced length")
            self.partial[channel][1] = left
            if left == 0:
                del self.partial[channel]
                return channel, event

    def next_event(self, channel, timeout=PATIENCE):
        """The next method on a channel; those of other channels are kept for later."""
        until = time.monotonic() + timeout
        while not self.inbox[channel]:
            if channel != 0 and self.inbox[0] and self.inbox[0][0].name == "connection.close":
                raise Failure(f"the broker closed the connection: {self.inbox[0][0]!r}")
            try:
                number, event = self.read_event(max(0.001, until - time.monotonic()))
            except (Silence, Closed) as problem:
                others = [f"{event!r} on channel {number}" for number, kept in self.inbox.items() for event in kept]
                raise type(problem)(f"{problem}, but {others[0]} came") if others else problem from None
            self.inbox[number].append(event)
        return self.inbox[channel].popleft()

    # Handshake

    def start(self, head=PROTOCOL_HEADER):
        """Sends the protocol header and takes connection.start."""
        self.write(head)
        return self.expect("connection.start")

    def start_ok(self, mechanism="PLAIN", response=None, client_properties=None, user=None, password=None):
        """Answers connection.start."""
        if client_properties is None:
            client_properties = {"product": "raw", "capabilities": {
                "authentication_failure_close": True, "consumer_cancel_notify": True, "basic.nack": True,
                "publisher_confirms": True, "connection.blocked": True}}
        if response is None:
            response = f"\0{user or self.user}\0{password or self.password}"
        self.send("connection.start-ok", client_properties=client_properties, mechanism=mechanism, response=response,
                  locale="en_US")

    def tune_ok(self, channel_max=2047, frame_max=131072, heartbeat=0):
        """Answers connection.tune."""
        self.send("connection.tune-ok", channel_max=channel_max, frame_max=frame_max, heartbeat=heartbeat)
        self.frame_max = frame_max

    def log_in(self, vhost="/", channel_max=2047, frame_max=131072, heartbeat=0, **start):
        """The whole handshake; answers open-ok."""
        self.start()
        self.start_ok(**start)
        self.tuned = self.expect("connection.tune")
        self.tune_ok(channel_max, frame_max, heartbeat)
        return self.rpc("connection.open", virtual_host=vhost)

    # Methods on channel 0

    def send(self, name, **values):
        """Sends a method on channel 0."""
        self.write(method_frame(0, name, **values))

    def expect(self, *names, timeout=PATIENCE):
        """The next method on channel 0, which must be one of these."""
        event = self.next_event(0, timeout)
        true(event.name in names, f"expected {' or '.join(names)}, got {event!r}")
        return event

    def rpc(self, name, **values):
        """Sends a method and takes its -ok."""
        self.send(name, **values)
        return self.expect(name + "-ok")

    def channel(self, number=None):
        """Opens a channel, of the next number if none is given."""
        self.last_channel += number is None
        channel = Channel(self, number or self.last_channel)
        channel.rpc("channel.open")
        return channel

    # Ends

    def expect_close(self, code, where, text, timeout=PATIENCE):
        """The broker closes the connection with exactly this, and the socket after close-ok."""
        event = self.next_event(0, timeout)
        check_close(event, "connection.close", code, where, text)
        self.write_anyway(method_frame(0, "connection.close-ok"))
        self.expect_eof()
        return event

    def expect_eof(self, timeout=PATIENCE, exact=False):
        """The broker closes the socket; unless `exact`, frames of open channels may still be on their way before.

        A method on channel 0 is always a failure: it would be a close with a reason."""
        until = time.monotonic() + timeout
        while True:
            try:
                kind, channel, payload = self.read_frame(max(0.001, until - time.monotonic()))
            except Closed:
                equal(bytes(self.buffer), b"", "octets before the end")
                return
            except Silence:
                raise Silence(f"the socket is still open after {timeout} s") from None
            if kind == METHOD and (exact or channel == 0):
                raise Failure(f"expected the end of the connection, got {Event(payload)!r}")

    def close(self):
        """Closes in order. Nothing may follow close-ok; whether the broker or we close the socket is left open."""
        self.rpc("connection.close", reply_code=200, reply_text="done")
        self.expect_nothing(0.05)
        self.drop()

    def expect_nothing(self, seconds=0.25):
        """No octet comes for a while; the socket may be closed."""
        try:
            self.take(1, seconds)
        except (Silence, Closed):
            return
        raise Failure("octets came where nothing should")

    def drop(self):
        """Closes the socket without a word."""
        self.socket.close()


class Channel:
    """An open channel of a connection."""

    def __init__(self, connection, number):
        self.connection, self.number = connection, number

    def send(self, name, **values):
        """Sends a method."""
        self.connection.write(method_frame(self.number, name, **values))

    def frame(self, kind, payload, end=b"\xce"):
        """Sends any frame on this channel's number."""
        self.connection.write(frame(kind, self.number, payload, end))

    def expect(self, *names, timeout=PATIENCE):
        """The next method, which must be one of these."""
        event = self.connection.next_event(self.number, timeout)
        true(event.name in names, f"expected {' or '.join(names)}, got {event!r}")
        return event

    def rpc(self, name, **values):
        """Sends a method and takes its -ok, which must be the next one on the channel."""
        self.send(name, **values)
        return self.expect(name + "-ok")

    def expect_close(self, code, where, text, timeout=PATIENCE):
        """The broker closes this channel with exactly this; answers close-ok."""
        event = self.connection.next_event(self.number, timeout)
        check_close(event, "channel.close", code, where, text)
        self.send("channel.close-ok")
        return event

    def refused(self, code, name, text, **values):
        """Sends a method that the broker closes the channel for, naming that method, and opens the channel again."""
        self.send(name, **values)
        self.expect_close(code, name, text)
        self.rpc("channel.open")

    def refused_by_connection(self, code, name, text, **values):
        """Sends a method that the broker closes the connection for, naming that method."""
        self.send(name, **values)
        self.connection.expect_close(code, name, text)

    def quiet(self, seconds=0.25):
        """Nothing comes on this channel for a while."""
        try:
            event = self.connection.next_event(self.number, seconds)
        except Silence:
            return
        raise Failure(f"expected nothing, got {event!r}")

    def barrier(self):
        """Everything sent so far has been worked on, and nothing came before the answer."""
        self.rpc("channel.flow", active=True)

    # Everyday methods

    def publish(self, body=b"", exchange="", key="", mandatory=False, raw=None, **values):
        """Publishes a message."""
        self.connection.write(method_frame(self.number, "basic.publish", exchange=exchange, routing_key=key,
                                           mandatory=mandatory),
                              content_frames(self.number, body, self.connection.frame_max, raw=raw, **values))

    def get(self, queue="", no_ack=True):
        """The next message of a queue, or None."""
        self.send("basic.get", queue=queue, no_ack=no_ack)
        event = self.expect("basic.get-ok", "basic.get-empty")
        return event if event.name == "basic.get-ok" else None

    def fill(self, queue, *bodies):
        """Publishes to a queue and waits until all of it is there, on a channel of its own."""
        feeder = self.connection.channel(2000 + self.number)
        feeder.rpc("confirm.select")
        for body in bodies:
            feeder.publish(body, key=queue)
        while bodies and (event := feeder.expect("basic.ack")).delivery_tag < len(bodies):
            true(event.delivery_tag > 0, "confirm of tag 0")
        feeder.close()

    def drain(self, queue):
        """The bodies of all ready messages, which are taken out of the queue."""
        bodies = []
        while (message := self.get(queue)) is not None:
            bodies.append(message.body)
        return bodies

    def consume(self, queue="", tag="", no_ack=False, exclusive=False, **arguments):
        """Starts a consumer; answers its tag."""
        return self.rpc("basic.consume", queue=queue, consumer_tag=tag, no_ack=no_ack, exclusive=exclusive,
                        arguments=arguments.get("arguments", {})).consumer_tag

    def deliver(self, timeout=PATIENCE):
        """The next delivery."""
        return self.expect("basic.deliver", timeout=timeout)

    def bind(self, queue, exchange, key="", **arguments):
        """Binds a queue."""
        self.rpc("queue.bind", queue=queue, exchange=exchange, routing_key=key,
                 arguments=arguments.get("arguments", {}))

    def counts(self, queue):
        """Ready messages and consumers of a queue.

        RabbitMQ may answer before what was sent ahead has reached the queue, so checks wait for what they expect, see
        `Bench.counts`."""
        ok = self.rpc("queue.declare", queue=queue, passive=True)
        return ok.message_count, ok.consumer_count

    def close(self):
        """Closes in order."""
        self.rpc("channel.close", reply_code=200, reply_text="done")
