"""Behaviours 211-216: queues of type quorum."""

from amqp import equal
from checks import behaviour
from test_lifetimes import wait_for

QUORUM = {"x-queue-type": "quorum"}


def quorum(t, ch, **arguments):
    """A quorum queue."""
    return t.queue(ch, "quorum", durable=True,
                   arguments={**QUORUM, **{key.replace("_", "-"): value for key, value in arguments.items()}})


def wait_for_open(t, ch, queue):
    """The next message, which stays unacknowledged."""
    found = []
    t.eventually(lambda: found.append(ch.get(queue, no_ack=False)) or found[-1], "a message")
    return found[-1]


@behaviour(211)
def quorum_queues_are_durable_and_shared(t):
    ch = t.channel()
    for word, flags in (("non-durable", {}), ("exclusive-owner", {"durable": True, "exclusive": True}),
                        ("auto-delete", {"durable": True, "auto_delete": True})):
        queue = t.name("q")
        ch.refused(406, "queue.declare", f"invalid property '{word}' for queue '{queue}' in vhost '/'", queue=queue,
                   arguments=QUORUM, **flags)


@behaviour(212)
def quorum_queues_have_names(t):
    t.channel().refused(406, "queue.declare", "Cannot declare a server-named queue for type rabbit_quorum_queue",
                        durable=True, arguments=QUORUM)


@behaviour(213)
def arguments_of_other_queue_types(t):
    ch = t.channel()
    for name, value in (("x-max-priority", 5), ("x-queue-mode", "lazy"), ("x-max-age", "1h")):
        queue = t.name("q")
        ch.refused(406, "queue.declare", f"invalid arg '{name}' for queue '{queue}' in vhost '/' of queue type "
                                         "rabbit_quorum_queue", queue=queue, durable=True,
                   arguments={**QUORUM, name: value})


@behaviour(99, 213)
def another_queue_type_is_inequivalent(t):
    ch = t.channel()
    queue = quorum(t, ch)
    ch.refused(406, "queue.declare", f"inequivalent arg 'x-queue-type' for queue '{queue}' in vhost '/': received none "
                                     "but current is the value 'quorum' of type 'longstr'", queue=queue, durable=True)


@behaviour(214)
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


@behaviour(214)
def every_way_back_is_counted(t):
    ch = t.channel()
    queue = quorum(t, ch, x_delivery_limit=50)
    ch.publish(b"x", key=queue)

    def next_count(channel):
        found = []
        t.eventually(lambda: found.append(channel.get(queue, no_ack=False)) or found[-1], "the message")
        return found[-1].headers.get("x-delivery-count"), found[-1].delivery_tag

    counts = []
    for back in ("basic.nack", "basic.reject", "recover", "channel", "connection", "consumer"):
        count, tag = next_count(ch)
        counts.append(count)
        if back == "recover":
            ch.rpc("basic.recover", requeue=True)
        elif back == "channel":
            ch.close()
            ch = ch.connection.channel()
        elif back == "connection":
            ch.connection.drop()
            ch = t.channel()
        elif back == "consumer":
            ch.send("basic.nack", delivery_tag=tag, requeue=True)
            ch.consume(queue)
            counts.append(ch.deliver().headers.get("x-delivery-count"))
            ch.close()
            ch = ch.connection.channel()
            counts.append(next_count(ch)[0])
        else:
            ch.send(back, delivery_tag=tag, requeue=True)
    equal(counts, [0, 1, 2, 3, 4, 5, 6, 7])


@behaviour(214)
def what_the_count_does_to_headers(t):
    ch = t.channel()
    queue = quorum(t, ch)
    own = {"zz": 1, "x-delivery-count": 77, "aa": 2}
    for values in ({}, {"headers": own, "priority": 3}):
        ch.publish(b"x", key=queue, **values)
    ch.barrier()
    ch.consume(queue)
    # A consumer's first delivery is as it was published.
    messages = [ch.deliver() for _ in range(2)]
    equal([message.properties for message in messages], [{}, {"headers": own, "priority": 3}])
    ch.send("basic.nack", delivery_tag=messages[-1].delivery_tag, multiple=True, requeue=True)
    again = [ch.deliver() for _ in range(2)]
    equal([list(message.headers.items()) for message in again],
          [[("x-delivery-count", 1)], [("aa", 2), ("x-delivery-count", 1), ("zz", 1)]])
    equal([message.redelivered for message in again], [True, True])


@behaviour(215)
def where_lost_messages_go(t):
    # What a channel had when it ended comes first, in its order; what is given back one by one in that order.
    for arguments in ({}, {"x_delivery_limit": 9}):
        ch = t.channel()
        queue = quorum(t, ch, **arguments)
        ch.fill(queue, b"1", b"2", b"3", b"4")
        for _ in range(3):
            wait_for_open(t, ch, queue)
        ch.connection.drop()
        ch = t.channel()
        t.counts(ch, queue, 4)
        equal([wait_for_open(t, ch, queue).body for _ in range(4)], [b"1", b"2", b"3", b"4"])
    ch = t.channel()
    queue = quorum(t, ch, x_delivery_limit=9)
    ch.fill(queue, b"1", b"2", b"3", b"4")
    messages = [wait_for_open(t, ch, queue) for _ in range(3)]
    for index in (2, 0):
        ch.send("basic.nack", delivery_tag=messages[index].delivery_tag, requeue=True)
        t.counts(ch, queue, 2 if index else 3)
    equal([wait_for_open(t, ch, queue).body for _ in range(3)], [b"3", b"1", b"4"])


@behaviour(215)
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
def quorum_queues_know_no_global_prefetch(t):
    ch = t.channel()
    queue = quorum(t, ch)
    ch.rpc("basic.qos", prefetch_count=5, global_=True)
    ch.refused_by_connection(540, "basic.consume", f"queue '{queue}' in vhost '/' does not support global qos",
                             queue=queue)
