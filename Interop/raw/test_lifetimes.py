"""Behaviours 181-194: messages that expire, dead letters."""

import time

from amqp import Field, equal, true
from checks import behaviour


def dead_letter_pair(t, ch, arguments=(), **more):
    """A queue whose dead letters go through a fanout exchange to another; answers (queue, exchange, other queue)."""
    exchange, dead = t.exchange(ch, "fanout", label="dlx"), t.queue(ch, "dead")
    ch.bind(dead, exchange)
    queue = t.queue(ch, "q", arguments={"x-dead-letter-exchange": exchange, **dict(arguments), **more})
    return queue, exchange, dead


def wait_for(t, ch, queue, timeout=5.0):
    """The next message of a queue, when it comes."""
    found = []
    t.eventually(lambda: found.append(ch.get(queue)) or found[-1] is not None, f"a message in {queue}", timeout)
    return found[-1]


@behaviour(181)
def the_shorter_time_counts(t):
    ch = t.channel()
    for ttl, expiration in ((300, None), (None, "300"), (300, "60000"), (60000, "300")):
        queue = t.queue(ch, arguments={"x-message-ttl": ttl} if ttl is not None else {})
        ch.publish(b"x", key=queue, expiration=expiration)
        ch.barrier()
        t.counts(ch, queue, 1)
        began = time.monotonic()
        t.counts(ch, queue, 0)
        true(time.monotonic() - began < 3, f"gone soon after {ttl}, {expiration}")
        equal(ch.get(queue), None)


@behaviour(181)
def no_time_is_enough_for_a_consumer_that_waits(t):
    ch, other = t.channel(), t.channel()
    queue, plain = t.queue(ch, arguments={"x-message-ttl": 0}), t.queue(ch)
    ch.publish(b"dropped", key=queue)
    ch.publish(b"dropped", key=plain, expiration="0")
    ch.barrier()
    equal((ch.get(queue), ch.get(plain)), (None, None))
    for name in (queue, plain):
        other.consume(name, no_ack=True)
        ch.publish(b"taken", key=name, expiration="0")
        equal(other.deliver().body, b"taken")


@behaviour(182, slow=True)
def an_expired_message_is_never_delivered(t):
    """RabbitMQ counts it until those before it are gone; a broker that takes it out on time is as good."""
    ch = t.channel()
    queue = t.queue(ch)
    ch.fill(queue, b"lasts")
    ch.publish(b"short", key=queue, expiration="100")
    ch.publish(b"lasts, too", key=queue)
    t.sleep(0.5)
    equal(ch.drain(queue), [b"lasts", b"lasts, too"])


@behaviour(183, slow=True)
def requeued_messages_keep_their_time(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-message-ttl": 900})
    ch.fill(queue, b"1", b"2")
    first, second = (ch.get(queue, no_ack=False) for _ in range(2))
    t.sleep(0.4)
    ch.send("basic.nack", delivery_tag=second.delivery_tag, requeue=True)
    message = wait_for(t, ch, queue)
    equal((message.body, message.redelivered), (b"2", True))
    t.sleep(0.8)
    ch.send("basic.reject", delivery_tag=first.delivery_tag, requeue=True)
    ch.barrier()
    equal(ch.get(queue), None, "it was held longer than it may live")


@behaviour(184)
def a_message_taken_in_time_keeps_its_expiration(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-message-ttl": 50000})
    ch.publish(b"x", key=queue, expiration="60000")
    equal(ch.get(queue).properties, {"expiration": "60000"})


def death(message, at=0):
    """The entry of x-death, as pairs of name and Field."""
    pairs = dict(message.header_pairs)
    true("x-death" in pairs, f"no x-death in {pairs}")
    return pairs["x-death"].value[at].value


def check_death(entry, **expected):
    """Compares names, order, types and values of an entry of x-death."""
    tags = {"count": "l", "reason": "S", "queue": "S", "time": "T", "exchange": "S", "routing-keys": "A",
            "original-expiration": "S"}
    names = [name for name in tags if name != "original-expiration" or "original_expiration" in expected]
    equal([(name, value.tag) for name, value in entry], [(name, tags[name]) for name in names], "names and types")
    values = {name: value.value for name, value in entry}
    true(abs(values.pop("time") - time.time()) < 20, "the time is now")
    equal(values, {name.replace("_", "-"): value for name, value in expected.items()})


def strings(*texts):
    """A field list of long strings."""
    return [Field("S", text) for text in texts]


@behaviour(185, 186, 188, 190, 191)
def a_rejected_message(t):
    ch = t.channel()
    queue, exchange, dead = dead_letter_pair(t, ch)
    for name in ("basic.reject", "basic.nack"):
        ch.publish(b"x", key=queue, headers={"mine": 1}, priority=3, delivery_mode=2)
        message = ch.get(queue, no_ack=False)
        ch.send(name, delivery_tag=message.delivery_tag)
        letter = wait_for(t, ch, dead)
        equal((letter.body, letter.exchange, letter.routing_key, letter.redelivered), (b"x", exchange, queue, False))
        equal({key: value for key, value in letter.properties.items() if key != "headers"},
              {"priority": 3, "delivery_mode": 2})
        check_death(death(letter), count=1, reason="rejected", queue=queue, exchange="",
                    routing_keys=strings(queue))
        headers = letter.headers
        # RabbitMQ writes x-last-death-* since 3.13.
        equal({key: value for key, value in headers.items() if key != "x-death" and not key.startswith("x-last-death-")},
              {"mine": 1, "x-first-death-reason": "rejected", "x-first-death-queue": queue,
               "x-first-death-exchange": ""})
        equal(len(headers["x-death"]), 1)


@behaviour(185, 186, 189)
def an_expired_message(t):
    ch = t.channel()
    queue, exchange, dead = dead_letter_pair(t, ch)
    ch.publish(b"own", key=queue, expiration="50")
    letter = wait_for(t, ch, dead)
    check_death(death(letter), count=1, reason="expired", queue=queue, exchange="", routing_keys=strings(queue),
                original_expiration="50")
    true("expiration" not in letter.properties, "expiration is taken off")
    queue, exchange, dead = dead_letter_pair(t, ch, {"x-message-ttl": 50})
    ch.publish(b"queue's", key=queue)
    letter = wait_for(t, ch, dead)
    check_death(death(letter), count=1, reason="expired", queue=queue, exchange="", routing_keys=strings(queue))


@behaviour(185, 194)
def a_message_pushed_out(t):
    ch = t.channel()
    queue, exchange, dead = dead_letter_pair(t, ch, {"x-max-length": 1})
    ch.fill(queue, b"1", b"2", b"3")
    for body in (b"1", b"2"):
        letter = wait_for(t, ch, dead)
        equal(letter.body, body)
        check_death(death(letter), count=1, reason="maxlen", queue=queue, exchange="", routing_keys=strings(queue))
    equal(ch.drain(queue), [b"3"])


@behaviour(187, 188)
def deaths_are_counted(t):
    ch = t.channel()
    exchange, first, second = t.exchange(ch), t.name("first"), t.name("second")
    for name, other in ((first, second), (second, first)):
        ch.rpc("queue.declare", queue=name, arguments={"x-dead-letter-exchange": exchange,
                                                       "x-dead-letter-routing-key": other})
        ch.bind(name, exchange, name)
    ch.publish(b"x", exchange=exchange, key=first)
    for rounds, (name, other) in enumerate([(first, second), (second, first)] * 2):
        message = []
        t.eventually(lambda: message.append(ch.get(name, no_ack=False)) or message[-1], "the message")
        ch.send("basic.reject", delivery_tag=message[-1].delivery_tag)
        if rounds == 0:
            continue
        deaths = message[-1].headers["x-death"]
        equal((deaths[0]["queue"], deaths[0]["count"], deaths[0]["routing-keys"]),
              (other, (rounds + 1) // 2, [other]), f"the latest in round {rounds}")
        equal(len(deaths), min(rounds, 2))
        equal(message[-1].headers["x-first-death-queue"], first)
    letter = wait_for(t, ch, first)
    equal([(entry["queue"], entry["count"]) for entry in letter.headers["x-death"]], [(second, 2), (first, 2)])


@behaviour(187)
def another_reason_is_another_entry(t):
    ch = t.channel()
    queue, exchange, dead = dead_letter_pair(t, ch)
    ch.publish(b"x", key=queue, expiration="20")
    letter = wait_for(t, ch, dead)
    ch.publish(b"x", key=queue, raw=letter.raw)
    message = ch.get(queue, no_ack=False)
    ch.send("basic.reject", delivery_tag=message.delivery_tag)
    letter = wait_for(t, ch, dead)
    equal([(entry["reason"], entry["count"]) for entry in letter.headers["x-death"]], [("rejected", 1), ("expired", 1)])
    equal(letter.headers["x-first-death-reason"], "expired")


@behaviour(190)
def dead_letter_routing_keys_and_cc(t):
    ch = t.channel()
    cc = t.queue(ch, "cc")
    for key in (None, "other"):
        queue, exchange, dead = dead_letter_pair(t, ch, {} if key is None else {"x-dead-letter-routing-key": key})
        ch.publish(b"x", key=queue, headers={"CC": [cc], "BCC": ["hidden"]})
        ch.barrier()
        equal(ch.drain(cc), [b"x"])
        message = ch.get(queue, no_ack=False)
        ch.send("basic.reject", delivery_tag=message.delivery_tag)
        letter = wait_for(t, ch, dead)
        equal((letter.exchange, letter.routing_key), (exchange, key or queue))
        equal(letter.headers.get("CC"), [cc] if key is None else None, "CC")
        check_death(death(letter), count=1, reason="rejected", queue=queue, exchange="",
                    routing_keys=strings(queue, cc))


@behaviour(192, slow=True)
def a_circle_without_a_rejection_is_cut(t):
    ch = t.channel()
    queue = t.name("q")
    ch.rpc("queue.declare", queue=queue, arguments={"x-message-ttl": 100, "x-dead-letter-exchange": "",
                                                    "x-dead-letter-routing-key": queue})
    ch.publish(b"x", key=queue)
    ch.barrier()
    t.counts(ch, queue, 1)
    t.sleep(0.6)
    equal(ch.get(queue), None, "dropped when it would come to the queue again")
    ch.publish(b"y", key=queue)
    message = ch.get(queue, no_ack=False)
    ch.send("basic.reject", delivery_tag=message.delivery_tag)
    message = wait_for(t, ch, queue)
    equal((message.body, message.headers["x-death"][0]["reason"]), (b"y", "rejected"), "with a rejection it goes on")


@behaviour(192, slow=True)
def a_circle_of_two_with_a_rejection_goes_on(t):
    """The usual retry: a work queue that rejects into a waiting queue that expires back."""
    ch = t.channel()
    work, wait = t.name("work"), t.name("wait")
    ch.rpc("queue.declare", queue=work, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": wait})
    ch.rpc("queue.declare", queue=wait, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work,
                                                   "x-message-ttl": 80})
    ch.publish(b"x", key=work)
    for rounds in range(4):
        found = []
        t.eventually(lambda: found.append(ch.get(work, no_ack=False)) or found[-1], "the message")
        ch.send("basic.reject", delivery_tag=found[-1].delivery_tag)
        deaths = [(entry["queue"], entry["reason"], entry["count"]) for entry in found[-1].headers.get("x-death", [])]
        equal(deaths, [(wait, "expired", rounds), (work, "rejected", rounds)] if rounds else [])


@behaviour(193)
def what_makes_no_dead_letters(t):
    ch = t.channel()
    queue, exchange, dead = dead_letter_pair(t, ch)
    ch.fill(queue, b"1", b"2", b"3")
    message = ch.get(queue, no_ack=False)
    ch.send("basic.ack", delivery_tag=message.delivery_tag)
    equal(ch.rpc("queue.purge", queue=queue).message_count, 2)
    ch.fill(queue, b"4")
    ch.rpc("queue.delete", queue=queue)
    lost = t.queue(ch, arguments={"x-dead-letter-exchange": "raw.nothing"})
    ch.fill(lost, b"5")
    message = ch.get(lost, no_ack=False)
    ch.send("basic.reject", delivery_tag=message.delivery_tag)
    ch.barrier()
    t.sleep(0.2)
    equal((ch.get(dead), ch.get(lost)), (None, None))


@behaviour(194)
def several_at_once_keep_their_order(t):
    ch = t.channel()
    queue, exchange, dead = dead_letter_pair(t, ch)
    bodies = [b"%d" % number for number in range(20)]
    ch.fill(queue, *bodies)
    for _ in bodies:
        ch.get(queue, no_ack=False)
    ch.send("basic.nack", delivery_tag=0, multiple=True)
    t.counts(ch, dead, 20)
    equal(ch.drain(dead), bodies)
    queue, exchange, dead = dead_letter_pair(t, ch, {"x-message-ttl": 100})
    ch.fill(queue, *bodies)
    t.counts(ch, dead, 20)
    equal(ch.drain(dead), bodies)
