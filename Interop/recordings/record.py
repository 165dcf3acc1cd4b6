#!/usr/bin/env python3
"""What a client sees of dead letters, limits and times, recorded from a RabbitMQ and compared with Martlet.

    Interop/recordings/record.py --write      with MARTLET_URL at a RabbitMQ 3.10: makes *.json anew
    Interop/recordings/record.py --check      with MARTLET_URL at Martlet: every field must be equal

A recording is a list of steps, each with what came: for a message its exchange, key, redelivered, body, properties and
the headers in order with types; for a refusal its code and text; for a publish ack or nack. Moments are written as "now"
when they are.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "raw"))

from amqp import Connection, Silence  # noqa: E402
from codec import Field  # noqa: E402

SCENARIOS = {}


def scenario(group):
    """Registers a scenario; its steps go to GROUP.json under its name."""
    def register(function):
        SCENARIOS.setdefault(group, {})[function.__name__] = function
        return function
    return register


def told(field):
    """A field as plain data with its type."""
    tag, value = field.tag, field.value
    if tag == "T":
        value = "now" if abs(value - time.time()) < 60 else value
    elif tag == "F":
        value = [[name, *told(inner)] for name, inner in value]
    elif tag == "A":
        value = [told(inner) for inner in value]
    elif isinstance(value, bytes):
        value = value.decode("latin-1")
    return [tag, value]


class Scene:
    """A connection, names that are free, and the steps that were seen."""

    def __init__(self):
        self.connection = Connection(time.monotonic() + 60)
        self.connection.log_in()
        self.ch = self.connection.channel()
        self.steps, self.queues, self.exchanges = [], [], []

    def queue(self, name, durable=False, **arguments):
        """Declares a queue of that name, which the scenario has for itself."""
        name = f"rec.{name}"
        if name not in self.queues:
            self.ch.rpc("queue.delete", queue=name)
            self.queues.append(name)
        self.ch.rpc("queue.declare", queue=name, durable=durable,
                    arguments={key.replace("_", "-"): value for key, value in arguments.items()})
        return name

    def exchange(self, name, kind="fanout"):
        name = f"rec.{name}"
        self.ch.rpc("exchange.delete", exchange=name)
        self.ch.rpc("exchange.declare", exchange=name, type=kind)
        self.exchanges.append(name)
        return name

    def dead(self, **arguments):
        """The queue `rec.q` whose dead letters go through `rec.dlx` to `rec.dead`."""
        exchange, dead = self.exchange("dlx"), self.queue("dead")
        self.ch.bind(dead, exchange)
        return self.queue("q", x_dead_letter_exchange=exchange, **arguments), dead

    def message(self, event, label="message"):
        """Notes a delivery."""
        if event is None:
            self.steps.append([label, None])
            return None
        properties = {key: value for key, value in event.properties.items() if key != "headers"}
        self.steps.append([label, {
            "exchange": event.exchange, "routing_key": event.routing_key, "redelivered": event.redelivered,
            "body": event.body.decode("latin-1"), "properties": {k: v if not isinstance(v, bytes) else v.decode()
                                                                  for k, v in sorted(properties.items())},
            "headers": [[name, *told(field)] for name, field in event.header_pairs]
            if "headers" in event.properties else None,
        }])
        return event

    def get(self, queue, timeout=3.0, no_ack=True, note=True):
        """Takes the next message of a queue when it is there, and notes it."""
        until = time.monotonic() + timeout
        while (event := self.ch.get(queue, no_ack=no_ack)) is None and time.monotonic() < until:
            time.sleep(0.01)
        return self.message(event, f"from {queue}") if note else event

    def reject(self, queue, name="basic.reject", note=False):
        """Takes a message and rejects it."""
        event = self.get(queue, no_ack=False, note=note)
        self.ch.send(name, delivery_tag=event.delivery_tag, requeue=False)
        return event

    def deliveries(self, seconds=0.3):
        """Notes everything that consumers get for a while."""
        while True:
            try:
                event = self.connection.next_event(self.ch.number, seconds)
            except Silence:
                return
            self.message(event, event.name)

    def count(self, *queues):
        """Notes how many messages are ready, when that has stopped changing."""
        before = None
        for _ in range(40):
            counts = [self.ch.counts(queue)[0] for queue in queues]
            if counts == before:
                break
            before = counts
            time.sleep(0.08)
        self.steps.append(["count", dict(zip(queues, counts))])

    def confirmed(self, *bodies, queue=None, exchange="", **values):
        """Publishes with confirms on a channel of its own and notes each answer."""
        ch = self.connection.channel()
        ch.rpc("confirm.select")
        for body in bodies:
            ch.publish(body, exchange=exchange, key=queue or "", **values)
            event = ch.expect("basic.ack", "basic.nack")
            self.steps.append(["confirm", event.name])
        ch.close()

    def refused(self, name, **values):
        """Notes how the broker refuses something."""
        ch = self.connection.channel()
        if name == "basic.publish":
            key = values.pop("queue", "")
            ch.publish(b"x", key=key, **values)
        else:
            ch.send(name, **values)
        try:
            event = self.connection.next_event(ch.number, 3)
        except Silence:
            self.steps.append(["refused", None])
            return
        if event.name != "channel.close":
            self.steps.append(["answered", event.name])
            ch.close()
            return
        self.steps.append(["refused", event.reply_code, event.reply_text, event.class_id, event.method_id])
        ch.send("channel.close-ok")

    def end(self):
        for queue in self.queues:
            self.ch.rpc("queue.delete", queue=queue)
        for exchange in self.exchanges:
            self.ch.rpc("exchange.delete", exchange=exchange)
        self.connection.close()


PERSISTENT = {"delivery_mode": 2}


@scenario("dead-letters")
def rejected_with_everything(s):
    q, dead = s.dead()
    s.ch.publish(b"x", key=q, headers={"zebra": 1, "alpha": "a", "Mine": True}, priority=3, delivery_mode=2,
                 content_type="text/plain", content_encoding="utf-8", correlation_id="c", reply_to="r", message_id="m",
                 timestamp=1000, type="t", app_id="a", user_id="guest")
    s.reject(q)
    s.get(dead)


@scenario("dead-letters")
def rejected_without_headers(s):
    q, dead = s.dead()
    for name in ("basic.reject", "basic.nack"):
        s.ch.publish(b"x", key=q)
        s.reject(q, name)
        s.get(dead)


@scenario("dead-letters")
def expired_by_message(s):
    q, dead = s.dead()
    s.ch.publish(b"x", key=q, expiration="30", headers={"h": "v"})
    s.get(dead)


@scenario("dead-letters")
def expired_by_queue(s):
    q, dead = s.dead(x_message_ttl=30)
    s.ch.publish(b"x", key=q, expiration="60000")
    s.get(dead)
    s.ch.publish(b"y", key=q)
    s.get(dead)


@scenario("dead-letters")
def pushed_out(s):
    q, dead = s.dead(x_max_length=2)
    s.confirmed(b"1", b"2", b"3", b"4", queue=q)
    s.get(dead)
    s.get(dead)
    s.count(q, dead)


@scenario("dead-letters")
def refused_by_length(s):
    q, dead = s.dead(x_max_length=1, x_overflow="reject-publish-dlx")
    s.confirmed(b"1", b"2", b"3", queue=q)
    s.get(dead)
    s.get(dead)
    s.count(q, dead)


@scenario("dead-letters")
def routing_key_and_copies(s):
    for key in (None, "other"):
        s.ch.rpc("queue.delete", queue="rec.q")
        q, dead = s.dead(**({} if key is None else {"x_dead_letter_routing_key": key}))
        cc, bcc = s.queue("cc"), s.queue("bcc")
        s.ch.publish(b"x", key=q, headers={"CC": [cc, "one"], "BCC": [bcc], "a": 1})
        s.reject(q, note=True)
        s.get(dead)
        s.count(cc, bcc)


@scenario("dead-letters")
def copies_route_again(s):
    exchange = s.exchange("dlx", "direct")
    first, second = s.queue("first"), s.queue("second")
    # RabbitMQ routes by BCC again, too, which is not in the message any more.
    for queue, key in ((first, "rec.q"), (second, "copy")):
        s.ch.bind(queue, exchange, key)
    q = s.queue("q", x_dead_letter_exchange=exchange)
    s.ch.publish(b"x", key=q, headers={"CC": ["copy"]})
    s.reject(q)
    s.get(first)
    s.get(second)


@scenario("dead-letters")
def through_three_queues(s):
    exchange = s.exchange("dlx", "direct")
    a, b, c = (s.queue(name, x_dead_letter_exchange=exchange, x_dead_letter_routing_key=to, x_message_ttl=30)
               for name, to in (("a", "to-b"), ("b", "to-c"), ("c", "to-end")))
    end = s.queue("end")
    for queue, key in ((b, "to-b"), (c, "to-c"), (end, "to-end")):
        s.ch.bind(queue, exchange, key)
    s.ch.publish(b"x", key=a, expiration="20", headers={"m": 1})
    s.get(end)


@scenario("dead-letters")
def counted_up(s):
    exchange = s.exchange("dlx", "direct")
    work = s.queue("work", x_dead_letter_exchange=exchange, x_dead_letter_routing_key="wait")
    wait = s.queue("wait", x_dead_letter_exchange=exchange, x_dead_letter_routing_key="work", x_message_ttl=20)
    s.ch.bind(work, exchange, "work")
    s.ch.bind(wait, exchange, "wait")
    s.ch.publish(b"x", key=work)
    for _ in range(4):
        s.reject(work, note=True)
    s.get(work)


@scenario("dead-letters")
def published_again_with_its_deaths(s):
    q, dead = s.dead()
    s.ch.publish(b"x", key=q, expiration="20")
    letter = s.get(dead)
    s.ch.publish(b"y", key=q, raw=letter.raw)
    s.reject(q)
    letter = s.get(dead)
    s.ch.publish(b"z", key=q, raw=letter.raw)
    s.reject(q)
    s.get(dead)


@scenario("dead-letters")
def deaths_that_are_none(s):
    q, dead = s.dead()
    entry = {"queue": q, "reason": "rejected"}
    # RabbitMQ's queue dies of entries that are no tables and of counts that are no numbers, and loses the message.
    for deaths in ("text", 5, [], [entry], [{**entry, "count": 7}], [{"queue": "elsewhere"}],
                   [entry, {**entry, "count": 3}], [{"queue": "a"}, {"queue": "b", "reason": "expired"}, {"queue": "a"}]):
        s.ch.publish(b"x", key=q, headers={"x-death": deaths, "a": 1})
        s.reject(q)
        s.get(dead)


@scenario("dead-letters")
def first_death_headers_of_a_client(s):
    q, dead = s.dead()
    s.ch.publish(b"x", key=q, headers={"x-first-death-queue": "mine", "x-first-death-reason": 5, "z": 0})
    s.reject(q)
    s.get(dead)


@scenario("dead-letters")
def nowhere_to_go(s):
    lost = s.queue("lost", x_dead_letter_exchange="rec.nothing")
    s.ch.publish(b"x", key=lost, mandatory=True)
    s.reject(lost)
    s.count(lost)
    q = s.queue("q", x_dead_letter_exchange="")
    s.ch.publish(b"x", exchange="amq.fanout", key="k", mandatory=False)
    s.ch.publish(b"y", key=q)
    s.reject(q)
    s.get(q, timeout=0.5)


@scenario("dead-letters")
def circles(s):
    q = s.queue("q", x_dead_letter_exchange="", x_dead_letter_routing_key="rec.q", x_message_ttl=30)
    s.ch.publish(b"x", key=q)
    time.sleep(0.3)
    s.count(q)
    s.ch.publish(b"y", key=q, delivery_mode=2)
    s.reject(q)
    s.get(q, timeout=0.3)
    a = s.queue("a", x_dead_letter_exchange="", x_dead_letter_routing_key="rec.b", x_message_ttl=30)
    b = s.queue("b", x_dead_letter_exchange="", x_dead_letter_routing_key="rec.a", x_message_ttl=30)
    s.ch.publish(b"z", key=a)
    time.sleep(0.4)
    s.count(a, b)
    full = s.queue("full", x_dead_letter_exchange="", x_dead_letter_routing_key="rec.full", x_max_length=1)
    s.confirmed(b"1", b"2", b"3", queue=full)
    s.count(full)
    s.get(full)


@scenario("dead-letters")
def to_several_queues_at_once(s):
    q, dead = s.dead(x_message_ttl=30)
    other = s.queue("other")
    s.ch.bind(other, "rec.dlx")
    s.ch.bind(q, "rec.dlx")
    s.ch.publish(b"x", key=q)
    s.get(dead)
    s.get(other)
    s.count(q)


@scenario("dead-letters")
def through_a_headers_exchange_and_an_alternate(s):
    exchange = s.exchange("dlx", "headers")
    q, dead = s.queue("q", x_dead_letter_exchange=exchange), s.queue("dead")
    s.ch.bind(dead, exchange, "", arguments={"x-match": "any", "x-first-death-reason": "rejected", "kind": "a"})
    s.ch.publish(b"x", key=q, headers={"kind": "b"})
    s.reject(q)
    s.get(dead, timeout=0.5)
    s.ch.publish(b"y", key=q, headers={"kind": "a"})
    s.reject(q)
    s.get(dead)


@scenario("limits")
def length_with_and_without_consumer(s):
    for length in (0, 1, 2):
        q = s.queue(f"q{length}", x_max_length=length)
        s.confirmed(b"1", b"2", b"3", queue=q)
        s.count(q)
        tag = s.ch.consume(q, no_ack=True)
        for _ in range(min(length, 3)):
            s.message(s.ch.deliver())
        s.confirmed(b"4", queue=q)
        s.message(s.ch.deliver())
        s.ch.rpc("basic.cancel", consumer_tag=tag)
        s.count(q)


@scenario("limits")
def requeued_messages_count(s):
    q, dead = s.dead(x_max_length=2)
    s.confirmed(b"1", b"2", queue=q)
    events = [s.get(q, no_ack=False) for _ in range(2)]
    s.confirmed(b"3", b"4", queue=q)
    s.count(q)
    s.ch.send("basic.nack", delivery_tag=events[1].delivery_tag, multiple=True, requeue=True)
    s.count(q, dead)
    for queue in (dead, dead, q, q):
        s.get(queue)


@scenario("limits")
def refusing(s):
    for length in (0, 1):
        q = s.queue(f"q{length}", x_max_length=length, x_overflow="reject-publish")
        s.confirmed(b"1", b"2", queue=q)
        s.count(q)
        tag = s.ch.consume(q, no_ack=True)
        s.deliveries()
        s.confirmed(b"3", queue=q)
        s.deliveries()
        s.ch.rpc("basic.cancel", consumer_tag=tag)
        s.count(q)


@scenario("limits")
def octets(s):
    for overflow in ("drop-head", "reject-publish"):
        q = s.queue(f"q.{overflow}", x_max_length_bytes=10, x_overflow=overflow)
        s.confirmed(b"12345", b"67890", b"", b"x", b"more than ten", queue=q)
        s.count(q)
        for _ in range(3):
            s.get(q, timeout=0.2)


@scenario("limits")
def one_of_two_refuses(s):
    exchange = s.exchange("both")
    q, plain = s.queue("q", x_max_length=1, x_overflow="reject-publish"), s.queue("plain")
    s.ch.bind(q, exchange)
    s.ch.bind(plain, exchange)
    s.confirmed(b"1", b"2", exchange=exchange)
    s.count(q, plain)


@scenario("limits")
def unacknowledged_do_not_count(s):
    q = s.queue("q", x_max_length=1)
    s.confirmed(b"1", queue=q)
    s.get(q, no_ack=False)
    s.confirmed(b"2", b"3", queue=q)
    s.count(q)
    s.get(q)


@scenario("limits")
def refused_in_a_transaction(s):
    q = s.queue("q", x_max_length=1, x_overflow="reject-publish")
    ch = s.connection.channel()
    ch.rpc("tx.select")
    for body in (b"1", b"2"):
        ch.publish(body, key=q)
    ch.send("tx.commit")
    event = s.connection.next_event(ch.number, 3)
    s.steps.append(["refused", event.reply_code, event.reply_text, event.class_id, event.method_id]
                   if event.name == "channel.close" else ["answered", event.name])
    ch.send("channel.close-ok")
    s.count(q)


@scenario("times")
def refusals(s):
    q = s.queue("q")
    for expiration in ("abc", "-1", "", "1.5", "1 ", " 1", "315360000001", "99999999999999999999", "0x1", "+5", "5x"):
        s.refused("basic.publish", queue=q, expiration=expiration)
    for arguments in ({"x-message-ttl": -1}, {"x-message-ttl": "5"}, {"x-message-ttl": 315360000001},
                      {"x-expires": 0}, {"x-expires": -1}, {"x-expires": 315360000001}, {"x-max-length": -1},
                      {"x-max-length-bytes": -5}, {"x-overflow": "drop"}, {"x-dead-letter-exchange": 5},
                      {"x-dead-letter-routing-key": "k"}, {"x-dead-letter-exchange": "e", "x-dead-letter-routing-key": 5},
                      {"x-message-ttl": 134217728000}, {"x-dead-letter-strategy": "at-least-once"}):
        s.refused("queue.declare", queue="rec.refused", exclusive=True, arguments=arguments)
        s.ch.rpc("queue.delete", queue="rec.refused")


@scenario("times")
def no_time_at_all(s):
    q, dead = s.dead(x_message_ttl=0)
    s.confirmed(b"1", queue=q)
    s.get(dead)
    tag = s.ch.consume(q)
    s.confirmed(b"2", queue=q)
    event = s.message(s.ch.deliver())
    s.ch.rpc("basic.cancel", consumer_tag=tag)
    s.ch.send("basic.nack", delivery_tag=event.delivery_tag, requeue=True)
    s.get(dead)
    s.count(q)


@scenario("times")
def kept_on_requeue(s):
    q, dead = s.dead(x_message_ttl=200)
    s.confirmed(b"1", queue=q)
    event = s.get(q, no_ack=False)
    time.sleep(0.4)
    s.count(q, dead)
    s.ch.send("basic.reject", delivery_tag=event.delivery_tag, requeue=True)
    s.get(dead)
    s.count(q)


def comparable(step):
    """A step without x-last-death-*, which newer RabbitMQs write and Martlet does; what they say is checked."""
    if not (step and isinstance(step[-1], dict) and step[-1].get("headers")):
        return step
    pairs = {name: value for name, _, value in step[-1]["headers"]}
    last = {name: pairs.pop(name) for name in list(pairs) if name.startswith("x-last-death-")}
    if last:
        newest = {name: value for name, _, value in pairs["x-death"][0][1]}
        expected = {f"x-last-death-{part}": newest[part] for part in ("reason", "queue", "exchange") if part in newest}
        # A counted death keeps the exchange of its first time.
        if any(last.get(name) != value for name, value in expected.items() if not name.endswith("exchange")):
            return ["wrong", last, expected]
    message = {**step[-1], "headers": [pair for pair in step[-1]["headers"] if pair[0] not in last]}
    return [*step[:-1], message]


def compare(path, recorded, seen):
    """Prints what differs; answers how many steps do."""
    differences = 0
    for name, steps in recorded.items():
        got = seen.get(name, [])
        for index in range(max(len(steps), len(got))):
            want, have = (part[index] if index < len(part) else None for part in (steps, got))
            have = comparable(have)
            if want != have:
                differences += 1
                print(f"{path.name}: {name}: step {index + 1}\n  recorded {json.dumps(want)}\n  seen     {json.dumps(have)}")
    return differences


def perform(function):
    scene = Scene()
    try:
        function(scene)
    finally:
        scene.end()
    return json.loads(json.dumps(scene.steps))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="record what the broker of MARTLET_URL does")
    mode.add_argument("--check", action="store_true", help="compare the broker of MARTLET_URL with the recordings")
    parser.add_argument("--only", help="a part of a scenario's name")
    options = parser.parse_args()
    differences = steps = 0
    for group, scenarios in SCENARIOS.items():
        path = HERE / f"{group}.json"
        chosen = {name: f for name, f in scenarios.items() if not options.only or options.only in name}
        seen = {}
        for name, function in chosen.items():
            try:
                seen[name] = perform(function)
            except Exception as problem:
                print(f"{group}: {name}: {type(problem).__name__}: {problem}")
                differences += 1
        steps += sum(len(part) for part in seen.values())
        if options.write:
            recorded = {**(json.loads(path.read_text()) if options.only and path.exists() else {}), **seen}
            lines = ",\n".join(
                f' {json.dumps(name)}: [\n' + ",\n".join("  " + json.dumps(step) for step in part) + "\n ]"
                for name, part in recorded.items())
            path.write_text("{\n" + lines + "\n}\n")
        else:
            recorded = {name: part for name, part in json.loads(path.read_text()).items() if name in chosen}
            differences += compare(path, recorded, seen)
    print(f"{steps} steps, {differences} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
