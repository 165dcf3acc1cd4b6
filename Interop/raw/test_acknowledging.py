"""Behaviours 143-151: acknowledging and prefetch."""

from amqp import equal, method_frame
from checks import behaviour
from test_consuming import fill


@behaviour(143)
def unknown_delivery_tags(t):
    ch = t.channel()
    queue = t.queue(ch)
    for name in ("basic.ack", "basic.nack", "basic.reject"):
        ch.refused(406, name, "unknown delivery tag 7", delivery_tag=7)
        ch.refused(406, name, "unknown delivery tag 0", delivery_tag=0)
        for settled in ("basic.ack", "basic.reject"):
            fill(ch, queue, 1)
            ch.get(queue, no_ack=False)
            ch.send(settled, delivery_tag=1)
            ch.refused(406, name, "unknown delivery tag 1", delivery_tag=1)
        fill(ch, queue, 1)
        ch.get(queue, no_ack=True)
        ch.refused(406, name, "unknown delivery tag 1", delivery_tag=1)
    ch.refused(406, "basic.ack", f"unknown delivery tag {2 ** 64 - 1}", delivery_tag=2 ** 64 - 1)


@behaviour(143)
def multiple_with_nothing_up_to_the_tag(t):
    ch = t.channel()
    queue = t.queue(ch)
    for name in ("basic.ack", "basic.nack"):
        ch.refused(406, name, "unknown delivery tag 3", delivery_tag=3, multiple=True)
        fill(ch, queue, 2)
        ch.get(queue, no_ack=False)
        ch.get(queue, no_ack=False)
        ch.send("basic.ack", delivery_tag=1)
        ch.refused(406, name, "unknown delivery tag 1", delivery_tag=1, multiple=True)
        ch.drain(queue)


@behaviour(143)
def multiple_up_to_a_tag_that_is_settled_or_unknown(t):
    ch = t.channel()
    queue = t.queue(ch)
    fill(ch, queue, 3)
    for _ in range(3):
        ch.get(queue, no_ack=False)
    ch.send("basic.ack", delivery_tag=2)
    ch.refused(406, "basic.ack", "unknown delivery tag 2", delivery_tag=2, multiple=True)
    for _ in range(2):
        ch.get(queue, no_ack=False)
    ch.refused(406, "basic.nack", "unknown delivery tag 9", delivery_tag=9, multiple=True)
    equal(ch.drain(queue), [b"1", b"3"], "nothing up to it was settled")


@behaviour(144)
def multiple_with_0_is_all(t):
    ch = t.channel()
    queue = t.queue(ch)
    for name, left in (("basic.ack", []), ("basic.nack", [b"1", b"2", b"3"])):
        ch.send(name, delivery_tag=0, multiple=True, **({"requeue": True} if left else {}))
        fill(ch, queue, 3)
        for _ in range(3):
            ch.get(queue, no_ack=False)
        ch.send(name, delivery_tag=0, multiple=True, **({"requeue": True} if left else {}))
        ch.barrier()
        equal(ch.drain(queue), left)


@behaviour(145)
def without_requeue_messages_are_dropped(t):
    ch = t.channel()
    queue = t.queue(ch)
    fill(ch, queue, 4)
    for _ in range(4):
        ch.get(queue, no_ack=False)
    ch.send("basic.reject", delivery_tag=1)
    ch.send("basic.nack", delivery_tag=3, multiple=True)
    ch.close()
    ch.rpc("channel.open")
    equal(ch.drain(queue), [b"4"])


@behaviour(145)
def requeued_messages_get_their_places_back(t):
    ch = t.channel()
    queue = t.queue(ch)
    fill(ch, queue, 6)
    for _ in range(5):
        ch.get(queue, no_ack=False)
    ch.send("basic.reject", delivery_tag=4, requeue=True)
    ch.send("basic.nack", delivery_tag=2, requeue=True)
    ch.send("basic.nack", delivery_tag=5, requeue=True)
    ch.send("basic.reject", delivery_tag=1, requeue=True)
    ch.barrier()
    got = [ch.get(queue) for _ in range(5)]
    equal([(message.body, message.redelivered) for message in got],
          [(b"1", True), (b"2", True), (b"4", True), (b"5", True), (b"6", False)])


@behaviour(146)
def recover(t):
    ch = t.channel()
    queue, other = t.queue(ch), t.queue(ch)
    fill(ch, queue, 3)
    fill(ch, other, 1)
    for name in (queue, queue, other):
        ch.get(name, no_ack=False)
    ch.rpc("basic.recover", requeue=True)
    t.counts(ch, queue, 3)
    t.counts(ch, other, 1)
    message = ch.get(queue, no_ack=False)
    equal((message.body, message.redelivered, message.delivery_tag), (b"1", True, 4))
    ch.send("basic.recover-async", requeue=True)
    t.counts(ch, queue, 3)  # it has no answer but acts
    equal([ch.get(queue).redelivered for _ in range(3)], [True, True, False])


@behaviour(147)
def recover_without_requeue(t):
    for name in ("basic.recover", "basic.recover-async"):
        ch = t.channel()
        ch.refused_by_connection(540, name, "requeue=false", requeue=False)


@behaviour(148)
def a_lost_connection_puts_back(t):
    watcher = t.channel()
    queue = t.queue(watcher)
    fill(watcher, queue, 3)
    for way in ("drop", "close", "refusal"):
        ch = t.channel()
        ch.consume(queue)
        equal([ch.deliver().body for _ in range(3)], [b"1", b"2", b"3"])
        if way == "drop":
            ch.connection.drop()
        elif way == "close":
            ch.connection.close()
        else:
            ch.refused(404, "queue.bind", None, queue=queue, exchange="raw.nothing")
        t.eventually(lambda: watcher.counts(queue) == (3, 0), f"messages back after {way}")
    got = [watcher.get(queue) for _ in range(3)]
    equal([(message.body, message.redelivered) for message in got], [(b"1", True), (b"2", True), (b"3", True)])


@behaviour(149)
def prefetch_size(t):
    t.channel().refused_by_connection(540, "basic.qos", "prefetch_size!=0 (1)", prefetch_size=1)


def burst(ch, most=50):
    """Everything that is delivered now, as consumer tags; the end is when nothing comes for a while."""
    ch.connection.channel(40 + ch.number).barrier()
    tags = []
    while len(tags) < most:
        try:
            tags.append(ch.deliver(0.3).consumer_tag)
        except AssertionError:
            break
    ch.connection.write(method_frame(40 + ch.number, "channel.close"))
    equal(ch.connection.next_event(40 + ch.number).name, "channel.close-ok")
    return tags


@behaviour(150)
def prefetch_of_each_consumer(t):
    ch = t.channel()
    feeder, queue = t.channel(), t.queue(ch)
    ch.rpc("basic.qos", prefetch_count=2)
    ch.consume(queue, tag="two")
    ch.consume(queue, tag="two more")
    ch.rpc("basic.qos", prefetch_count=5)
    ch.consume(queue, tag="five")
    fill(feeder, queue, 30)
    equal(sorted(burst(ch)), ["five"] * 5 + ["two"] * 2 + ["two more"] * 2)
    # Get is free of it, and so are consumers without acknowledgement.
    equal(ch.get(queue, no_ack=False) is not None, True)
    t.counts(feeder, queue, 20)
    ch.rpc("basic.consume", queue=queue, consumer_tag="free", no_ack=True)
    equal(burst(ch), ["free"] * 20)


@behaviour(150)
def prefetch_makes_room_with_acknowledgements(t):
    ch = t.channel()
    feeder, queue = t.channel(), t.queue(ch)
    ch.rpc("basic.qos", prefetch_count=3)
    ch.consume(queue)
    fill(feeder, queue, 8)
    equal(len(burst(ch)), 3)
    ch.send("basic.ack", delivery_tag=2)
    equal(len(burst(ch)), 1)
    ch.send("basic.nack", delivery_tag=4, multiple=True)
    equal(len(burst(ch)), 3)
    ch.send("basic.reject", delivery_tag=5)
    equal(len(burst(ch)), 1)


@behaviour(150)
def prefetch_of_0_is_none(t):
    ch = t.channel()
    feeder, queue = t.channel(), t.queue(ch)
    ch.rpc("basic.qos", prefetch_count=1)
    ch.rpc("basic.qos", prefetch_count=0)
    ch.consume(queue)
    fill(feeder, queue, 30)
    equal(len(burst(ch)), 30)


@behaviour(150)
def prefetch_of_the_channel(t):
    ch = t.channel()
    feeder, queue = t.channel(), t.queue(ch)
    ch.rpc("basic.qos", prefetch_count=3, global_=True)
    ch.consume(queue, tag="a")
    ch.consume(queue, tag="b")
    fill(feeder, queue, 10)
    equal(len(burst(ch)), 3)
    ch.send("basic.ack", delivery_tag=2, multiple=True)
    equal(len(burst(ch)), 2)
    ch.rpc("basic.qos", prefetch_count=0, global_=True)
    equal(len(burst(ch)), 5, "after the limit was lifted")


@behaviour(151)
def both_limits_when_global_is_set_last(t):
    ch = t.channel()
    feeder, queue = t.channel(), t.queue(ch)
    ch.rpc("basic.qos", prefetch_count=4)
    ch.rpc("basic.qos", prefetch_count=6, global_=True)
    ch.consume(queue, tag="a")
    ch.consume(queue, tag="b")
    fill(feeder, queue, 20)
    tags = burst(ch)
    equal(len(tags), 6, "the channel's limit")
    equal(max(tags.count("a"), tags.count("b")) <= 4, True, "each consumer's limit")


@behaviour(151)
def qos_without_global_lifts_the_channels_limit(t):
    ch = t.channel()
    feeder, queue = t.channel(), t.queue(ch)
    ch.rpc("basic.qos", prefetch_count=3, global_=True)
    ch.rpc("basic.qos", prefetch_count=5)
    ch.consume(queue, tag="a")
    ch.consume(queue, tag="b")
    fill(feeder, queue, 20)
    equal(sorted(burst(ch)), ["a"] * 5 + ["b"] * 5)
