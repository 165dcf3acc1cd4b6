"""One of the two brokers: carries operations out and collects what a client sees of them."""

import select
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "raw"))

import amqp  # noqa: E402
from amqp import Closed, Connection, Silence, long, short, table  # noqa: E402

#: Channels that operations use; each has a connection of its own, so that ends of connections can be compared too.
CHANNELS = 3


def connect(host, port):
    """A connection to one of the brokers."""
    amqp.address = lambda: (host, port, "guest", "guest")
    connection = Connection(time.monotonic() + 3600)
    connection.log_in()
    return connection


def headers_of(event):
    """Headers as text, with tags, without what differs from moment to moment."""
    def shown(field):
        if field.tag == "F":
            return "{" + ", ".join(f"{name}: {shown(item)}" for name, item in field.value if name != "time") + "}"
        if field.tag == "A":
            return "[" + ", ".join(map(shown, field.value)) + "]"
        return f"{field.tag} {field.value!r}"
    # The order of headers is not the same in both: RabbitMQ sorts a table when it adds to it.
    # RabbitMQ writes x-last-death-* from 3.13 on; Martlet does, as known differences say.
    return sorted(f"{name}: {shown(item)}" for name, item in getattr(event, "header_pairs", [])
                  if not name.startswith("x-last-death-"))


def seen(event, prefix):
    """An event as it is compared."""
    fields = {name: value.replace(prefix, "") if isinstance(value, str) else value
              for name, value in event.fields.items()}
    if event.name == "queue.declare-ok" and fields["queue"].startswith("amq.gen-"):
        fields["queue"] = "amq.gen"
    if event.has_content:
        rest = {name: value for name, value in event.properties.items() if name != "headers"}
        return event.name, tuple(sorted(fields.items())), tuple(sorted(rest.items())), tuple(header.replace(prefix, "") for header in headers_of(event)), event.body
    return event.name, tuple(sorted(fields.items()))


class Side:
    """The sessions of one sequence with one broker."""

    def __init__(self, host, port, prefix):
        self.host, self.port, self.prefix = host, port, prefix
        self.control = connect(host, port).channel()
        self.sessions = [connect(host, port).channel() for _ in range(CHANNELS)]
        self.log = [[] for _ in range(CHANNELS)]
        self.cancels = [set() for _ in range(CHANNELS)]
        self.confirms = [{} for _ in range(CHANNELS)]
        self.published = [0] * CHANNELS
        self.told = [0] * CHANNELS
        self.open = [True] * CHANNELS

    def name(self, label):
        """A name of this sequence; "" and predeclared ones stay."""
        return label if not label or label.startswith("amq.") else f"{self.prefix}{label}"

    # Operations

    def send(self, index, method, **values):
        """Sends a method on one of the channels."""
        self.sessions[index].send(method, **values)

    def publish(self, index, body, exchange, key, mandatory, values):
        """Publishes; the channel may be in confirm mode."""
        self.published[index] += 1
        self.sessions[index].publish(body, exchange=exchange, key=key, mandatory=mandatory, **values)

    def reopen(self, index):
        """A new connection with a new channel in place of one that ended; in order, so that its exclusive queues are gone."""
        try:
            self.sessions[index].connection.rpc("connection.close", reply_code=200, reply_text="done")
        except (OSError, Closed, Silence):
            pass  # It has ended already.
        self.sessions[index].connection.drop()
        self.sessions[index] = connect(self.host, self.port).channel()
        self.cancels[index] = set()
        self.confirms[index], self.published[index], self.told[index] = {}, 0, 0
        self.open[index] = True

    # Observations

    def pump(self):
        """Takes what has come."""
        for index, session in enumerate(self.sessions):
            connection = session.connection
            while self.open[index] and self._has_input(connection):
                try:
                    number, event = connection.read_event(2)
                except (Closed, Silence) as problem:
                    self.log[index].append(("gone", type(problem).__name__))
                    self.open[index] = False
                    break
                self._take(index, session, number, event)

    @staticmethod
    def _has_input(connection):
        return bool(connection.buffer) or bool(select.select([connection.socket], [], [], 0)[0])

    def _take(self, index, session, number, event):
        if event.name in ("basic.ack", "basic.nack"):
            # How many confirms one ack covers is up to the broker.
            first = self.told[index] + 1 if event.multiple else event.delivery_tag
            for tag in range(first, event.delivery_tag + 1):
                self.confirms[index].setdefault(tag, event.name)
            while self.told[index] + 1 in self.confirms[index]:
                self.told[index] += 1
            return
        if event.name in ("channel.close", "connection.close"):
            text = event.reply_text.replace(self.prefix, "")
            self.log[index].append((event.name, event.reply_code, text, event.class_id, event.method_id))
            if event.name == "channel.close":
                session.send("channel.close-ok")
            self.open[index] = False
            return
        if event.name == "basic.cancel":
            # RabbitMQ's channel hears of the queue's end from two sides, in either order.
            self.cancels[index].add(event.consumer_tag)
            return
        self.log[index].append(seen(event, self.prefix))

    def counts(self, queues):
        """Ready messages and consumers of every queue, None for one that is not there."""
        result = {}
        for queue in queues:
            self.control.send("queue.declare", queue=self.name(queue), passive=True)
            event = self.control.expect("queue.declare-ok", "channel.close")
            if event.name == "channel.close":
                self.control.send("channel.close-ok")
                self.control.rpc("channel.open")
                result[queue] = event.reply_code
            else:
                result[queue] = (event.message_count, event.consumer_count)
        return result

    def state(self, queues):
        """Everything that is compared."""
        self.pump()
        counts = self.counts(queues)
        self.pump()
        return {
            "counts": counts,
            "log": [list(log) for log in self.log],
            "cancels": [set(cancels) for cancels in self.cancels],
            "confirms": [dict(confirms) for confirms in self.confirms],
            "open": list(self.open),
        }

    def finish(self, queues, exchanges):
        """Deletes everything and hangs up."""
        for session in self.sessions:
            session.connection.drop()
        for queue in queues:
            self.control.send("queue.delete", queue=self.name(queue))
            if self.control.expect("queue.delete-ok", "channel.close").name == "channel.close":
                self.control.send("channel.close-ok")
                self.control.rpc("channel.open")
        for exchange in exchanges:
            self.control.rpc("exchange.delete", exchange=self.name(exchange))
        self.control.connection.drop()


__all__ = ["CHANNELS", "Side", "long", "short", "table"]
