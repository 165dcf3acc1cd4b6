"""Behaviours 216-223: queues of type stream."""

import time

from amqp import Field, equal, true
from checks import behaviour, later

STREAM = {"x-queue-type": "stream"}


def stream(t, ch, bodies=(), **arguments):
    """A stream with messages in it."""
    queue = t.queue(ch, "stream", durable=True,
                    arguments={**STREAM, **{key.replace("_", "-"): value for key, value in arguments.items()}})
    ch.fill(queue, *bodies)
    return queue


def reader(t, queue, offset=None, prefetch=100):
    """A channel that consumes a stream."""
    ch = t.channel()
    ch.rpc("basic.qos", prefetch_count=prefetch)
    ch.consume(queue, tag="r", arguments={} if offset is None else {"x-stream-offset": offset})
    return ch


@behaviour(211, 212)
@later("issue 5")
def streams_are_durable_and_shared(t):
    ch = t.channel()
    for word, flags in (("non-durable", {}), ("exclusive-owner", {"durable": True, "exclusive": True}),
                        ("auto-delete", {"durable": True, "auto_delete": True})):
        queue = t.name("q")
        ch.refused(406, "queue.declare", f"invalid property '{word}' for queue '{queue}' in vhost '/'", queue=queue,
                   arguments=STREAM, **flags)
    ch.refused(406, "queue.declare", "Cannot declare a server-named queue for type rabbit_stream_queue", durable=True,
               arguments=STREAM)


@behaviour(216)
@later("issue 5")
def streams_know_no_global_prefetch(t):
    ch = t.channel()
    queue = stream(t, ch)
    ch.rpc("basic.qos", prefetch_count=5)
    ch.rpc("basic.qos", prefetch_count=5, global_=True)
    ch.refused_by_connection(540, "basic.consume", f"queue '{queue}' in vhost '/' does not support global qos",
                             queue=queue)


@behaviour(217)
@later("issue 5")
def streams_need_a_prefetch(t):
    ch = t.channel()
    queue = stream(t, ch)
    ch.refused(406, "basic.consume", f"consumer prefetch count is not set for 'queue '{queue}' in vhost '/''",
               queue=queue)


@behaviour(218)
@later("issue 5")
def streams_need_acknowledgements(t):
    ch = t.channel()
    queue = stream(t, ch)
    ch.rpc("basic.qos", prefetch_count=5)
    ch.refused_by_connection(540, "basic.consume", "automatic acknowledgement not supported by stream queues "
                                                   f"queue '{queue}' in vhost '/'", queue=queue, no_ack=True)


@behaviour(219)
@later("issue 5")
def get_and_purge_of_a_stream(t):
    queue = stream(t, t.channel())
    for name in ("basic.get", "queue.purge"):
        t.channel().refused_by_connection(540, name, f"{name} not supported by stream queues queue '{queue}' in vhost "
                                                     "'/'", queue=queue)


@behaviour(220, 221)
@later("issue 5")
def offsets(t):
    ch = t.channel()
    bodies = [b"%d" % number for number in range(10)]
    queue = stream(t, ch, bodies)
    for offset, expected in (("first", bodies), (0, bodies), (Field("l", 7), bodies[7:]),
                             (Field("T", int(time.time()) - 3600), bodies)):
        consumer = reader(t, queue, offset)
        for body in expected:
            event = consumer.deliver()
            equal((event.body, event.headers["x-stream-offset"], event.exchange, event.routing_key, event.redelivered),
                  (body, int(body), "", queue, False), f"from {offset}")
        consumer.quiet(0.1)
    for offset in (None, "next"):
        consumer = reader(t, queue, offset)
        consumer.quiet(0.2)
        ch.fill(queue, b"new")
        equal(consumer.deliver().body, b"new", f"from {offset}")
    event = reader(t, queue, "last").deliver()
    true(event.headers["x-stream-offset"] > 0, "last is the last chunk")


@behaviour(220)
@later("issue 5")
def an_offset_that_is_none(t):
    queue = stream(t, t.channel(), [b"x"])
    ch = t.channel()
    ch.rpc("basic.qos", prefetch_count=5)
    ch.send("basic.consume", queue=queue, arguments={"x-stream-offset": "nonsense"})
    ch.connection.expect_close(541, None, "")


@behaviour(222)
@later("issue 5")
def acknowledgements_only_make_room(t):
    ch = t.channel()
    queue = stream(t, ch)
    # One by one, because RabbitMQ delivers what it wrote together together, whatever the prefetch.
    for body in (b"1", b"2", b"3", b"4"):
        ch.fill(queue, body)
    for _ in range(2):
        consumer = reader(t, queue, "first", prefetch=2)
        equal([consumer.deliver().body for _ in range(2)], [b"1", b"2"])
        consumer.quiet(0.1)
        consumer.send("basic.ack", delivery_tag=1)
        equal(consumer.deliver().body, b"3")
        consumer.quiet(0.1)


@behaviour(222)
@later("issue 5")
def streams_know_no_nack(t):
    queue = stream(t, t.channel(), [b"1"])
    for name in ("basic.nack", "basic.reject"):
        consumer = reader(t, queue, "first")
        consumer.deliver()
        consumer.refused_by_connection(540, name, "basic.nack and basic.reject not supported by stream queues queue "
                                                  f"'{queue}' in vhost '/'", delivery_tag=1)


@behaviour(223)
@later("issue 5")
def stream_arguments(t):
    ch = t.channel()
    for value in ("1Y", "2M", "3D", "4h", "5m", "6s"):
        stream(t, ch, x_max_age=value, x_max_length_bytes=1000000, x_stream_max_segment_size_bytes=1000000)
    for value, why in (("1", "invalid_max_age"), ("1x", "invalid_max_age"), ("0s", "invalid_max_age"),
                       (1, "{unacceptable_type,signedint}")):
        queue = t.name("q")
        ch.refused(406, "queue.declare", f"invalid arg 'x-max-age' for queue '{queue}' in vhost '/': {why}",
                   queue=queue, durable=True, arguments={**STREAM, "x-max-age": value})
    ch.refused(406, "queue.declare", "Exceeded max value for x-stream-max-segment-size-bytes", queue=t.name("q"),
               durable=True, arguments={**STREAM, "x-stream-max-segment-size-bytes": 3000000001})
    for name, value in (("x-message-ttl", 1000), ("x-max-length", 5), ("x-expires", 1000),
                        ("x-dead-letter-exchange", "amq.direct"), ("x-overflow", "drop-head"), ("x-max-priority", 5),
                        ("x-single-active-consumer", True)):
        queue = t.name("q")
        ch.refused(406, "queue.declare", f"invalid arg '{name}' for queue '{queue}' in vhost '/' of queue type "
                                         "rabbit_stream_queue", queue=queue, durable=True,
                   arguments={**STREAM, name: value})
