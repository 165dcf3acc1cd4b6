"""Random sequences of operations, the same for both brokers.

What is left out on purpose, because the two differ by decision (Spec/CONFORMANCE.md, known differences):
- messages with unlike times to live in one queue: RabbitMQ expires only the head, Martlet each one in time;
- a queue's time to live together with priorities, for the same reason.
"""

import random

QUEUES = ["q0", "q1", "q2", "q3"]
EXCHANGES = ["e0", "e1", "e2"]
KEYS = ["a", "a.b", "a.b.c", "b", ""]
#: Milliseconds after which a message of such a queue is gone; nothing is done while one is waiting for that.
SHORT_TTL = 120


class Sequence:
    """The operations of one seed. Each is a name and a dictionary; delivery tags are chosen when they are known."""

    def __init__(self, seed, operations):
        self.random = random.Random(seed)
        self.count = operations
        self.body = 0
        # Swarm: every seed leaves some kinds of operations and arguments out.
        self.weights = {name: weight for name, weight in OPERATIONS.items() if self.random.random() < 0.8}
        self.weights |= {name: OPERATIONS[name] for name in ("declare", "publish", "consume", "settle")}
        self.arguments = [name for name in ARGUMENTS if self.random.random() < 0.5]

    def __iter__(self):
        names, weights = zip(*self.weights.items())
        yield from (self.declare() for _ in range(2))
        for _ in range(self.count):
            yield getattr(self, self.random.choices(names, weights)[0])()

    def channel(self):
        return self.random.randrange(3)

    def queue(self):
        return self.random.choice(QUEUES)

    def exchange(self):
        return self.random.choice([*EXCHANGES, *EXCHANGES, "amq.direct", "amq.fanout", "amq.topic"])

    # Topology

    def declare(self):
        arguments = {}
        for name in self.arguments:
            if self.random.random() < 0.4:
                arguments[name] = self.random.choice(ARGUMENTS[name])
        if "x-dead-letter-routing-key" in arguments and self.random.random() < 0.9:
            arguments.setdefault("x-dead-letter-exchange", self.random.choice(["", "e0", "e1"]))
        if "x-max-priority" in arguments:
            arguments.pop("x-message-ttl", None)
        return "declare", {
            "channel": self.channel(), "queue": self.queue(), "passive": self.random.random() < 0.1,
            "durable": self.random.random() < 0.5, "auto_delete": self.random.random() < 0.1,
            "exclusive": self.random.random() < 0.05, "arguments": arguments,
        }

    def declare_exchange(self):
        arguments = {}
        if self.random.random() < 0.3:
            arguments["alternate-exchange"] = self.random.choice(EXCHANGES)
        return "declare_exchange", {
            "channel": self.channel(), "exchange": self.random.choice(EXCHANGES),
            "type": self.random.choice(["direct", "fanout", "topic", "headers"]),
            "durable": self.random.random() < 0.5, "auto_delete": self.random.random() < 0.1,
            "internal": self.random.random() < 0.05, "arguments": arguments,
        }

    def delete_exchange(self):
        return "delete_exchange", {"channel": self.channel(), "exchange": self.random.choice(EXCHANGES),
                                   "if_unused": self.random.random() < 0.5}

    def bind(self):
        return "bind", {"channel": self.channel(), "queue": self.queue(), "exchange": self.exchange(),
                        "key": self.random.choice([*KEYS, "a.*", "#", "*.b.#"])}

    def unbind(self):
        return "unbind", self.bind()[1]

    def bind_exchange(self):
        return "bind_exchange", {"channel": self.channel(), "destination": self.random.choice(EXCHANGES),
                                 "source": self.exchange(), "key": self.random.choice(KEYS)}

    def delete(self):
        return "delete", {"channel": self.channel(), "queue": self.queue(),
                          "if_unused": self.random.random() < 0.3, "if_empty": self.random.random() < 0.3}

    def purge(self):
        return "purge", {"channel": self.channel(), "queue": self.queue()}

    # Messages

    def publish(self):
        self.body += 1
        direct = self.random.random() < 0.6
        values = {}
        if self.random.random() < 0.4:
            values["delivery_mode"] = self.random.choice([1, 2])
        if self.random.random() < 0.4:
            values["priority"] = self.random.randrange(12)
        if self.random.random() < 0.05:
            values["expiration"] = self.random.choice(["3600000", "x", "-1", ""])
        if self.random.random() < 0.2:
            headers = {"n": self.body}
            if self.random.random() < 0.3:
                headers["CC"] = [self.queue()]
            if self.random.random() < 0.2:
                headers["BCC"] = [self.queue()]
            values["headers"] = headers
        return "publish", {
            "channel": self.channel(), "exchange": "" if direct else self.exchange(),
            "key": self.queue() if direct else self.random.choice(KEYS),
            "mandatory": self.random.random() < 0.2,
            "body": b"%d" % self.body + b"." * self.random.choice([0, 0, 5, 40]), "values": values,
        }

    def confirm(self):
        return "confirm", {"channel": self.channel()}

    # Consumers

    def consume(self):
        arguments = {"x-priority": self.random.randrange(3)} if self.random.random() < 0.1 else {}
        return "consume", {"channel": self.channel(), "queue": self.queue(), "tag": f"t{self.random.randrange(3)}",
                           "no_ack": self.random.random() < 0.3, "exclusive": self.random.random() < 0.05,
                           "arguments": arguments}

    def cancel(self):
        return "cancel", {"channel": self.channel(), "tag": f"t{self.random.randrange(3)}"}

    def get(self):
        return "get", {"channel": self.channel(), "queue": self.queue(), "no_ack": self.random.random() < 0.4}

    def qos(self):
        return "qos", {"channel": self.channel(), "count": self.random.choice([0, 1, 2, 5])}

    def settle(self):
        """`which` picks one of the tags that are open by then; beyond them it is one that is not."""
        return "settle", {"channel": self.channel(), "which": self.random.random(),
                          "method": self.random.choice(["basic.ack", "basic.ack", "basic.nack", "basic.reject"]),
                          "multiple": self.random.random() < 0.3, "requeue": self.random.random() < 0.5,
                          "unknown": self.random.random() < 0.02}

    def recover(self):
        return "recover", {"channel": self.channel()}

    def end(self):
        return "end", {"channel": self.channel(), "orderly": self.random.random() < 0.5}


#: How often each kind of operation comes.
OPERATIONS = {
    "declare": 8, "declare_exchange": 4, "delete_exchange": 1, "bind": 6, "unbind": 1, "bind_exchange": 2, "delete": 1,
    "purge": 1, "publish": 36, "confirm": 2, "consume": 8, "cancel": 3, "get": 6, "qos": 2, "settle": 20, "recover": 1,
    "end": 2,
}

#: Queue arguments and their values.
ARGUMENTS = {
    "x-message-ttl": [0, SHORT_TTL, 3600000, -1, "a"],
    "x-max-length": [0, 1, 2, 4, -1],
    "x-max-length-bytes": [0, 10, 60],
    "x-overflow": ["drop-head", "reject-publish", "reject-publish-dlx", "other"],
    "x-dead-letter-exchange": ["", "e0", "e1", "e2", "missing"],
    "x-dead-letter-routing-key": ["a", "q1", "q2"],
    "x-max-priority": [1, 3, 10, 256],
    "x-single-active-consumer": [True, False],
    "x-expires": [3600000, 0],
}
