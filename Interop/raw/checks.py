"""What a check is: a function that takes a Bench, decorated with the numbers of BEHAVIOURS.md that it proves."""

import itertools
import random
import threading
import time

from amqp import Channel, Closed, Connection, Failure, Silence

#: All checks, in the order of the files.
CHECKS = []

_RUN = f"{random.SystemRandom().getrandbits(40):x}"
_counter = itertools.count()
_counter_lock = threading.Lock()


def behaviour(*numbers, slow=False):
    """Registers a check for these behaviours; none means bad input that the list has no number for.

    `slow` checks mostly wait and are started first."""
    def register(function):
        function.numbers, function.slow = numbers, slow
        function.later = getattr(function, "later", None)
        function.title = function.__name__.replace("_", " ")
        CHECKS.append(function)
        return function
    return register


def later(what):
    """Marks a check of what is built later; goes below `behaviour`."""
    def mark(function):
        function.later = what
        return function
    return mark


class Bench:
    """What a check works with: connections that are closed after it, names that are deleted after it."""

    def __init__(self, seconds):
        self.limit = time.monotonic() + seconds
        self._connections, self._names = [], []

    def socket(self):
        """A connection on which nothing has been said yet."""
        connection = Connection(self.limit)
        self._connections.append(connection)
        return connection

    def connect(self, **options):
        """A connection that is logged in, see `Connection.log_in`."""
        connection = self.socket()
        connection.log_in(**options)
        return connection

    def channel(self, **options) -> Channel:
        """Channel 1 of a connection of its own."""
        return self.connect(**options).channel()

    def name(self, label):
        """A name nobody else uses; the queue or exchange of that name is deleted after the check."""
        with _counter_lock:
            name = f"raw.{label}.{_RUN}.{next(_counter)}"
        self._names.append(name)
        return name

    def queue(self, channel, label="q", arguments=(), **flags):
        """Declares a queue of a new name; answers the name."""
        name = self.name(label)
        channel.rpc("queue.declare", queue=name, arguments=dict(arguments), **flags)
        return name

    def exchange(self, channel, kind="direct", label="e", arguments=(), **flags):
        """Declares an exchange of a new name; answers the name."""
        name = self.name(label)
        channel.rpc("exchange.declare", exchange=name, type=kind, arguments=dict(arguments), **flags)
        return name

    def has_queue(self, connection, name):
        """Whether there is a queue of that name, be it locked."""
        return self._has(connection, "queue.declare", queue=name)

    def has_exchange(self, connection, name):
        """Whether there is an exchange of that name."""
        return self._has(connection, "exchange.declare", exchange=name, type="direct")

    def _has(self, connection, method, **values):
        channel = connection.channel()
        channel.send(method, passive=True, **values)
        event = channel.expect(method + "-ok", "channel.close")
        if event.name == "channel.close":
            if event.reply_code not in (404, 405):
                raise Failure(f"expected 404 or 405, got {event!r}")
            channel.send("channel.close-ok")
            return event.reply_code == 405
        channel.close()
        return True

    def eventually(self, condition, what, timeout=5.0):
        """Waits until the condition holds."""
        until = min(self.limit, time.monotonic() + timeout)
        while not condition():
            if time.monotonic() > until:
                raise Silence(f"not within {timeout} s: {what}")
            time.sleep(0.03)

    def counts(self, channel, queue, messages, consumers=None):
        """Waits until a queue has so many ready messages (and consumers)."""
        def seen():
            found = channel.counts(queue)
            return found == (messages, consumers) if consumers is not None else found[0] == messages
        self.eventually(seen, f"{messages} messages" + ("" if consumers is None else f", {consumers} consumers"))

    def sleep(self, seconds):
        """Waits, within the time the check has."""
        if time.monotonic() + seconds > self.limit:
            raise Silence("the time for this check is over")
        time.sleep(seconds)

    def bystander(self):
        """A function that proves that a connection made now is not disturbed by what happens in between."""
        channel = self.channel()
        name = self.queue(channel, "bystander")

        def prove():
            channel.publish(b"still here", key=name)
            message = channel.get(name)
            if message is None or message.body != b"still here":
                raise Failure(f"another connection was disturbed: got {message!r}")
            fresh = self.channel()
            if fresh.counts(name) != (0, 0):
                raise Failure("a new connection does not see the bystander's queue as it is")
            fresh.connection.close()
        return prove

    def finish(self):
        """Drops the connections and deletes what the names stand for. A broker that cannot do that has failed."""
        for connection in self._connections:
            connection.drop()
        connection = Connection(time.monotonic() + 5)
        try:
            connection.log_in()
            channel = connection.channel()
            for name in self._names:
                channel.send("exchange.delete", exchange=name)
                channel.expect("exchange.delete-ok")
                channel.send("queue.delete", queue=name)
                # An exclusive queue may still be locked for a moment, and then goes by itself.
                if channel.expect("queue.delete-ok", "channel.close").name == "channel.close":
                    channel.send("channel.close-ok")
                    channel.rpc("channel.open")
            connection.close()
        except (Closed, Silence) as problem:
            raise Failure(f"after the check a new connection does not work: {problem}") from None
        finally:
            connection.drop()
