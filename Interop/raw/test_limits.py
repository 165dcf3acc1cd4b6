"""Behaviours 195-200: length limits, overflow, priorities."""

from amqp import equal
from checks import behaviour
from test_confirms import confirming
from test_lifetimes import check_death, dead_letter_pair, death, strings, wait_for


@behaviour(195)
def max_length_counts_what_is_ready(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-max-length": 3})
    ch.fill(queue, b"1", b"2", b"3")
    ch.get(queue, no_ack=False)
    ch.fill(queue, b"4")
    t.counts(ch, queue, 3)
    ch.fill(queue, b"5")
    equal(ch.drain(queue), [b"3", b"4", b"5"])


@behaviour(195)
def max_length_bytes_counts_bodies(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-max-length-bytes": 10})
    for body in (b"aaaa", b"bbbb", b"cc"):
        ch.publish(body, key=queue, headers={"long": "x" * 1000})
    ch.barrier()
    t.counts(ch, queue, 3)
    ch.fill(queue, b"d")
    t.counts(ch, queue, 3)
    ch.fill(queue, b"", b"")
    t.counts(ch, queue, 5)
    equal(ch.drain(queue), [b"bbbb", b"cc", b"d", b"", b""])
    ch.fill(queue, b"eeee", b"x" * 11)
    equal(ch.drain(queue), [], "too large alone, after all others were dropped for it")


@behaviour(196)
def max_length_0_reaches_a_consumer_that_waits(t):
    ch, other = t.channel(), t.channel()
    queue = t.queue(ch, arguments={"x-max-length": 0})
    ch.fill(queue, b"dropped")
    equal(ch.get(queue), None)
    other.consume(queue, no_ack=True)
    ch.fill(queue, b"taken")
    equal(other.deliver().body, b"taken")


@behaviour(197)
def reject_publish(t):
    for overflow, letters in (("reject-publish", []), ("reject-publish-dlx", [b"2", b"3"])):
        ch = confirming(t)
        queue, exchange, dead = dead_letter_pair(t, ch, {"x-max-length": 1, "x-overflow": overflow})
        for number, confirm in ((1, "basic.ack"), (2, "basic.nack")):
            ch.publish(b"%d" % number, key=queue)
            equal(ch.expect("basic.ack", "basic.nack").name, confirm, overflow)
        quiet = t.channel()
        quiet.publish(b"3", key=queue)
        quiet.counts(queue)  # behind the message, wherever the queue is
        if letters:
            t.counts(ch, dead, 2)
            letter = wait_for(t, ch, dead)
            check_death(death(letter), count=1, reason="maxlen", queue=queue, exchange="", routing_keys=strings(queue))
            letters = letters[1:]
        equal((ch.drain(queue), ch.drain(dead)), ([b"1"], letters), overflow)


@behaviour(198)
def higher_priorities_go_first(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-max-priority": 5})
    for body, priority in ((b"none", None), (b"0", 0), (b"3", 3), (b"9", 9), (b"5", 5), (b"3 again", 3), (b"255", 255)):
        ch.publish(body, key=queue, priority=priority)
    ch.barrier()
    got = [ch.get(queue) for _ in range(7)]
    equal([message.body for message in got], [b"9", b"5", b"255", b"3", b"3 again", b"none", b"0"])
    equal([message.properties.get("priority") for message in got], [9, 5, 255, 3, 3, None, 0])


@behaviour(198)
def priorities_without_the_argument(t):
    ch = t.channel()
    queue = t.queue(ch)
    for priority in (1, 9, 5):
        ch.publish(b"%d" % priority, key=queue, priority=priority)
    equal(ch.drain(queue), [b"1", b"9", b"5"])


@behaviour(199)
def requeued_messages_keep_their_priority(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-max-priority": 9})
    for body, priority in ((b"low", 1), (b"high", 8), (b"high too", 8), (b"middle", 4)):
        ch.publish(body, key=queue, priority=priority)
    ch.barrier()
    for _ in range(3):
        ch.get(queue, no_ack=False)
    ch.send("basic.nack", delivery_tag=0, multiple=True, requeue=True)
    ch.barrier()
    equal(ch.drain(queue), [b"high", b"high too", b"middle", b"low"])


@behaviour(200)
def max_length_drops_the_highest_priority(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-max-priority": 5, "x-max-length": 2})
    for priority in (1, 4, 2):
        ch.publish(b"%d" % priority, key=queue, priority=priority)
    ch.barrier()
    equal(ch.drain(queue), [b"2", b"1"])
