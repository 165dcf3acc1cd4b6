"""Behaviours 211-216: queues of type quorum."""

from amqp import equal
from checks import behaviour, later
from test_lifetimes import wait_for

QUORUM = {"x-queue-type": "quorum"}


def quorum(t, ch, **arguments):
    """A quorum queue."""
    return t.queue(ch, "quorum", durable=True,
                   arguments={**QUORUM, **{key.replace("_", "-"): value for key, value in arguments.items()}})


@behaviour(211)
@later("issue 4")
def quorum_queues_are_durable_and_shared(t):
    ch = t.channel()
    for word, flags in (("non-durable", {}), ("exclusive-owner", {"durable": True, "exclusive": True}),
                        ("auto-delete", {"durable": True, "auto_delete": True})):
        queue = t.name("q")
        ch.refused(406, "queue.declare", f"invalid property '{word}' for queue '{queue}' in vhost '/'", queue=queue,
                   arguments=QUORUM, **flags)


@behaviour(212)
@later("issue 4")
def quorum_queues_have_names(t):
    t.channel().refused(406, "queue.declare", "Cannot declare a server-named queue for type rabbit_quorum_queue",
                        durable=True, arguments=QUORUM)


@behaviour(213)
@later("issue 4")
def arguments_of_other_queue_types(t):
    ch = t.channel()
    for name, value in (("x-max-priority", 5), ("x-queue-mode", "lazy"), ("x-max-age", "1h")):
        queue = t.name("q")
        ch.refused(406, "queue.declare", f"invalid arg '{name}' for queue '{queue}' in vhost '/' of queue type "
                                         "rabbit_quorum_queue", queue=queue, durable=True,
                   arguments={**QUORUM, name: value})


@behaviour(99, 213)
@later("issue 4")
def another_queue_type_is_inequivalent(t):
    ch = t.channel()
    queue = quorum(t, ch)
    ch.refused(406, "queue.declare", f"inequivalent arg 'x-queue-type' for queue '{queue}' in vhost '/': received none "
                                     "but current is the value 'quorum' of type 'longstr'", queue=queue, durable=True)


@behaviour(214)
@later("issue 4")
def deliveries_are_counted(t):
    ch = t.channel()
    dead = t.queue(ch, "dead")
    queue = quorum(t, ch, x_delivery_limit=2, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
    ch.fill(queue, b"x")
    counts = []
    for _ in range(3):
        found = []
        t.eventually(lambda: found.append(ch.get(queue, no_ack=False)) or found[-1], "the message")
        counts.append(found[-1].headers.get("x-delivery-count"))
        equal(found[-1].redelivered, len(counts) > 1)
        ch.send("basic.nack", delivery_tag=found[-1].delivery_tag, requeue=True)
    equal(counts, [0, 1, 2])
    letter = wait_for(t, ch, dead)
    equal((letter.body, letter.headers["x-death"][0]["reason"]), (b"x", "delivery_limit"))


@behaviour(215)
@later("issue 4")
def where_requeued_messages_go(t):
    for arguments, order in (({}, [b"2", b"3", b"1"]), ({"x_delivery_limit": 9}, [b"1", b"2", b"3"])):
        ch = t.channel()
        queue = quorum(t, ch, **arguments)
        ch.fill(queue, b"1", b"2", b"3")
        message = ch.get(queue, no_ack=False)
        ch.send("basic.reject", delivery_tag=message.delivery_tag, requeue=True)
        t.counts(ch, queue, 3)
        equal([wait_for(t, ch, queue).body for _ in range(3)], order)


@behaviour(216)
@later("issue 4")
def quorum_queues_know_no_global_prefetch(t):
    ch = t.channel()
    queue = quorum(t, ch)
    ch.rpc("basic.qos", prefetch_count=5, global_=True)
    ch.refused_by_connection(540, "basic.consume", f"queue '{queue}' in vhost '/' does not support global qos",
                             queue=queue)
