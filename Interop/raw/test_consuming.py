"""Behaviours 129-141: getting and consuming."""

import re

from amqp import Field, equal, method_frame, publish_frames, true
from checks import behaviour


def fill(ch, queue, count, start=1):
    """Publishes bodies 1, 2, 3 ... and waits until they are in the queue."""
    ch.fill(queue, *(b"%d" % number for number in range(start, start + count)))


@behaviour(129)
def get_ok_and_get_empty(t):
    ch = t.channel()
    queue = t.queue(ch)
    fill(ch, queue, 3)
    for left in (2, 1, 0):
        message = ch.get(queue, no_ack=bool(left % 2))
        equal((message.message_count, message.redelivered, message.exchange, message.routing_key),
              (left, False, "", queue))
    ch.connection.write(method_frame(1, "basic.get", queue=queue))
    equal(ch.connection.read_frame().payload, b"\0\x3c\0\x48\0", "get-empty")
    ch.refused(404, "basic.get", "no queue 'raw.nothing' in vhost '/'", queue="raw.nothing")


@behaviour(130)
def delivery_tags_count_per_channel(t):
    ch = t.channel()
    other = ch.connection.channel()
    queue, second = t.queue(ch), t.queue(ch)
    fill(ch, queue, 6)
    equal([ch.get(queue, no_ack=no_ack).delivery_tag for no_ack in (True, False, True)], [1, 2, 3])
    equal(other.get(queue).delivery_tag, 1, "on another channel")
    ch.consume(queue, no_ack=True)
    equal([ch.deliver().delivery_tag for _ in range(2)], [4, 5])
    ch.consume(second, no_ack=False)
    other.publish(b"x", key=second)
    equal(ch.deliver().delivery_tag, 6)


@behaviour(131)
def server_made_consumer_tags(t):
    ch = t.channel()
    queue = t.queue(ch)
    tags = [ch.consume(queue) for _ in range(3)]
    for tag in tags:
        true(re.fullmatch(r"amq\.ctag-[A-Za-z0-9_-]{22}", tag), f"the tag {tag!r}")
    equal(len(set(tags)), 3, "different tags")
    equal(ch.consume(queue, tag="mine"), "mine")


@behaviour(132)
def consume_ok_is_first_and_cancel_ok_last(t):
    ch = t.channel()
    feeder = t.channel()
    queue = t.queue(ch)
    for _ in range(10):
        fill(feeder, queue, 20)
        ch.connection.write(method_frame(1, "basic.consume", queue=queue, consumer_tag="c", no_ack=True))
        feeder.connection.write(publish_frames(1, b"x", key=queue) * 20)
        equal(ch.expect("basic.consume-ok").consumer_tag, "c")
        equal(ch.deliver().consumer_tag, "c")
        ch.send("basic.cancel", consumer_tag="c")
        while ch.expect("basic.deliver", "basic.cancel-ok").name == "basic.deliver":
            pass
        ch.barrier()


@behaviour(133)
def a_consumer_tag_used_twice(t):
    ch = t.channel()
    queue, other = t.queue(ch), t.queue(ch)
    ch.consume(queue, tag="x")
    ch.connection.channel().consume(queue, tag="x")
    ch.rpc("basic.cancel", consumer_tag="x")
    ch.consume(queue, tag="x")
    ch.refused_by_connection(530, "basic.consume", "attempt to reuse consumer tag 'x'", queue=other, consumer_tag="x")
    # It is looked at before the queue is.
    again = t.channel()
    again.consume(queue, tag="x")
    again.refused_by_connection(530, "basic.consume", "attempt to reuse consumer tag 'x'", queue="not there",
                                consumer_tag="x")


@behaviour(134)
def consuming_from_no_queue(t):
    t.channel().refused(404, "basic.consume", "no queue 'raw.nothing' in vhost '/'", queue="raw.nothing")


@behaviour(135)
def exclusive_consumers(t):
    ch = t.channel()
    other = t.channel()
    queue = t.queue(ch)
    text = f"queue '{queue}' in vhost '/' in exclusive use"
    tag = ch.consume(queue)
    other.refused(403, "basic.consume", text, queue=queue, exclusive=True)
    ch.rpc("basic.cancel", consumer_tag=tag)
    tag = ch.consume(queue, exclusive=True)
    for exclusive in (False, True):
        other.refused(403, "basic.consume", text, queue=queue, exclusive=exclusive)
    ch.connection.channel().refused(403, "basic.consume", text, queue=queue)
    other.get(queue)
    ch.rpc("basic.cancel", consumer_tag=tag)
    other.consume(queue)


@behaviour(136)
def no_local_is_ignored(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.rpc("basic.consume", queue=queue, no_local=True, no_ack=True)
    ch.publish(b"own", key=queue)
    equal(ch.deliver().body, b"own")


@behaviour(137)
def consumers_take_turns(t):
    channels = [t.channel() for _ in range(3)]
    feeder = t.channel()
    queue = t.queue(feeder)
    for ch in channels:
        ch.rpc("basic.qos", prefetch_count=100)
        ch.consume(queue)
    fill(feeder, queue, 30)
    for ch in channels:
        bodies = [int(ch.deliver().body) for _ in range(10)]
        equal(bodies, sorted(bodies), "in order")
        ch.quiet(0.05)


@behaviour(137)
def consumer_priorities(t):
    feeder, low, high = (t.channel() for _ in range(3))
    queue = t.queue(feeder)
    for ch, priority in ((low, Field("b", -1)), (high, 5)):
        ch.rpc("basic.qos", prefetch_count=3)
        ch.consume(queue, arguments={"x-priority": priority})
    fill(feeder, queue, 5)
    got = [high.deliver() for _ in range(3)]
    equal([message.body for message in got], [b"1", b"2", b"3"], "the higher one takes what it can")
    equal([low.deliver().body for _ in range(2)], [b"4", b"5"], "the lower one takes the rest")
    high.send("basic.ack", delivery_tag=got[-1].delivery_tag, multiple=True)
    high.barrier()
    fill(feeder, queue, 2, start=6)
    equal([high.deliver().body for _ in range(2)], [b"6", b"7"], "the higher one again")


@behaviour(137)
def a_consumer_priority_that_is_no_integer(t):
    ch = t.channel()
    queue = t.queue(ch)
    for value, kind in (("1", "longstr"), (1.0, "double"), (True, "bool")):
        ch.refused(406, "basic.consume", f"invalid arg 'x-priority' for queue '{queue}' in vhost '/': \"expected "
                                         f"integer, got {kind}\"", queue=queue, arguments={"x-priority": value})


@behaviour(138)
def single_active_consumer(t):
    first, second, third = (t.channel() for _ in range(3))
    queue = t.queue(first, arguments={"x-single-active-consumer": True})
    first.consume(queue)
    second.consume(queue)
    third.consume(queue)
    fill(first.connection.channel(), queue, 4)
    equal([first.deliver().body for _ in range(4)], [b"1", b"2", b"3", b"4"])
    second.quiet(0.1)
    first.close()
    equal([(message.body, message.redelivered) for message in (second.deliver() for _ in range(4))],
          [(b"1", True), (b"2", True), (b"3", True), (b"4", True)])
    second.connection.drop()
    equal(third.deliver().body, b"1")


@behaviour(138)
def exclusive_consumers_with_single_active_consumer(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-single-active-consumer": True})
    ch.refused(403, "basic.consume", f"queue '{queue}' in vhost '/' in exclusive use", queue=queue, exclusive=True)


@behaviour(139)
def cancel_of_an_unknown_tag(t):
    ch = t.channel()
    equal(ch.rpc("basic.cancel", consumer_tag="nobody").consumer_tag, "nobody")
    ch.send("basic.cancel", consumer_tag="nobody", nowait=True)
    ch.barrier()


@behaviour(140)
def cancel_leaves_what_was_delivered(t):
    ch = t.channel()
    queue = t.queue(ch)
    fill(ch, queue, 2)
    tag = ch.consume(queue)
    tags = [ch.deliver().delivery_tag for _ in range(2)]
    ch.rpc("basic.cancel", consumer_tag=tag)
    t.counts(ch, queue, 0, 0)
    ch.send("basic.ack", delivery_tag=tags[0])
    ch.send("basic.reject", delivery_tag=tags[1], requeue=True)
    ch.barrier()
    equal(ch.drain(queue), [b"2"])


@behaviour(141)
def a_queue_that_goes_cancels(t):
    told = t.channel()
    untold = t.channel(client_properties={"capabilities": {"consumer_cancel_notify": False}})
    queue = t.queue(told)
    other = t.channel()
    told.consume(queue, tag="mine")
    told.connection.channel(7).consume(queue, tag="more")
    untold.consume(queue, tag="theirs")
    other.rpc("queue.delete", queue=queue)
    event = told.expect("basic.cancel")
    equal((event.consumer_tag, event.nowait), ("mine", True))
    equal(told.connection.next_event(7).consumer_tag, "more")
    untold.quiet()
    # The tags are free again.
    again = t.queue(told)
    told.consume(again, tag="mine")
    untold.consume(again, tag="theirs")


@behaviour(141)
def the_one_who_deletes_is_told_as_well(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.consume(queue, tag="mine")
    ch.send("queue.delete", queue=queue)
    names = [ch.expect("basic.cancel", "queue.delete-ok").name for _ in range(2)]
    equal(names, ["queue.delete-ok", "basic.cancel"], "in the order that clients rely on")


@behaviour(86, 132)
def consume_and_cancel_with_nowait(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.send("basic.consume", queue=queue, consumer_tag="c", no_ack=True, nowait=True)
    ch.publish(b"x", key=queue)
    equal(ch.deliver().consumer_tag, "c")
    ch.send("basic.cancel", consumer_tag="c", nowait=True)
    t.counts(ch, queue, 0, 0)
    ch.refused(404, "basic.consume", None, queue="raw.nothing", nowait=True)
