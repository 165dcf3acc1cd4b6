"""Behaviours 96-116: queues and their bindings."""

import re

from amqp import Field, equal, method_frame, true
from checks import behaviour


@behaviour(96)
def declare_ok_counts(t):
    ch = t.channel()
    other = ch.connection.channel()
    queue = t.queue(ch)
    ok = ch.rpc("queue.declare", queue=queue)
    equal((ok.queue, ok.message_count, ok.consumer_count), (queue, 0, 0))
    for _ in range(5):
        ch.publish(b"x", key=queue)
    ch.barrier()
    true(other.get(queue, no_ack=False) is not None, "a message to get")
    t.counts(ch, queue, 4, 0)
    other.rpc("basic.qos", prefetch_count=1)
    other.consume(queue)
    other.deliver()
    t.counts(ch, queue, 3, 1)
    ok = ch.rpc("queue.declare", queue=queue)
    equal((ok.message_count, ok.consumer_count), (3, 1), "not only passively")


@behaviour(97)
def server_named_queues(t):
    ch = t.channel()
    names = [ch.rpc("queue.declare", exclusive=True).queue for _ in range(3)]
    for name in names:
        true(re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name), f"the name {name!r}")
    equal(len(set(names)), 3, "different names")


@behaviour(97)
def an_empty_name_is_the_last_queue(t):
    ch = t.channel()
    first, last = t.queue(ch, "first"), t.queue(ch, "last")
    ch.bind("", "amq.direct", "raw.k." + last)
    ch.publish(b"1", exchange="amq.direct", key="raw.k." + last)
    ch.publish(b"2", key=last)
    ch.barrier()
    equal(ch.get("").body, b"1")
    equal(ch.rpc("queue.purge").message_count, 1)
    tag = ch.consume("")
    t.counts(ch, last, 0, 1)
    ch.rpc("basic.cancel", consumer_tag=tag)
    ch.rpc("queue.declare", queue=first, passive=True)
    ch.rpc("queue.unbind", queue=last, exchange="amq.direct", routing_key="raw.k." + last)
    ch.rpc("queue.delete")
    true(not t.has_queue(ch.connection, first), "a passive declare makes it the last one, too")
    true(t.has_queue(ch.connection, last), "the other one stays")


@behaviour(97)
def no_queue_was_declared_yet(t):
    other = t.channel()
    t.queue(other)
    for name, values in (("basic.get", {}), ("basic.consume", {}), ("queue.purge", {}), ("queue.delete", {}),
                         ("queue.bind", {"exchange": "amq.direct"}), ("queue.unbind", {"exchange": "amq.direct"})):
        ch = other.connection.channel()
        ch.refused(404, name, "no previously declared queue", **values)


@behaviour(98)
def bind_with_neither_name_nor_key(t):
    ch = t.channel()
    exchange, queue = t.exchange(ch), t.queue(ch)
    ch.bind("", exchange)
    ch.publish(b"empty key", exchange=exchange, key="")
    ch.publish(b"own name", exchange=exchange, key=queue)
    equal(ch.drain(queue), [b"own name"])


@behaviour(99)
def redeclaring_with_other_flags(t):
    ch = t.channel()
    for flags in ({}, {"durable": True}, {"auto_delete": True}):
        queue = t.queue(ch, **flags)
        ch.rpc("queue.declare", queue=queue, **flags)
        for arg in ("durable", "auto_delete"):
            was = bool(flags.get(arg))
            text = (f"inequivalent arg '{arg}' for queue '{queue}' in vhost '/': received '{str(not was).lower()}' "
                    f"but current is '{str(was).lower()}'")
            ch.refused(406, "queue.declare", text, queue=queue, **{**flags, arg: not was})


@behaviour(100)
def redeclaring_with_other_arguments(t):
    ch = t.channel()
    for name, value in (("x-message-ttl", 500000), ("x-expires", 500000), ("x-max-length", 50),
                        ("x-max-length-bytes", 5000), ("x-max-priority", 5), ("x-dead-letter-exchange", "amq.direct"),
                        ("x-overflow", "reject-publish"), ("x-single-active-consumer", True)):
        kind = "longstr" if isinstance(value, str) else "bool" if value is True else "signedint"
        plain, shown = t.queue(ch), str(value).lower()
        begin = f"inequivalent arg '{name}' for queue '%s' in vhost '/': received "
        ch.refused(406, "queue.declare", begin % plain + f"the value '{shown}' of type '{kind}' but current is none",
                   queue=plain, arguments={name: value})
        full = t.queue(ch, arguments={name: value})
        ch.rpc("queue.declare", queue=full, arguments={name: value})
        ch.refused(406, "queue.declare", begin % full + f"none but current is the value '{shown}' of type '{kind}'",
                   queue=full)
        if kind == "signedint":
            ch.refused(406, "queue.declare", begin % full + f"'{value + 1}' but current is '{value}'", queue=full,
                       arguments={name: value + 1})


@behaviour(101)
def arguments_that_are_equal_all_the_same(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-max-length": Field("I", 50)})
    for tag in "bBsuIilL":
        ch.rpc("queue.declare", queue=queue, arguments={"x-max-length": Field(tag, 50)})
    queue = t.queue(ch)
    ch.rpc("queue.declare", queue=queue, arguments={"x-queue-type": "classic"})
    queue = t.queue(ch, arguments={"x-queue-type": "classic", "x-mine": 1, "mine": "two"})
    ch.rpc("queue.declare", queue=queue, arguments={"x-mine": [5]})


@behaviour(103)
def reserved_queue_names(t):
    ch = t.channel()
    ch.refused(403, "queue.declare", "queue name 'amq.mine' contains reserved prefix 'amq.*'", queue="amq.mine")
    ch.refused(404, "queue.declare", "no queue 'amq.mine' in vhost '/'", queue="amq.mine", passive=True)
    own = ch.rpc("queue.declare", exclusive=True).queue
    ch.refused(403, "queue.declare", f"queue name '{own}' contains reserved prefix 'amq.*'", queue=own, exclusive=True)
    equal(ch.rpc("queue.declare", queue=own, passive=True).queue, own)


@behaviour(104)
def passive_declare_looks_at_the_name_only(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.rpc("queue.declare", queue=queue, passive=True, durable=True, auto_delete=True,
           arguments={"x-max-length": 1, "x-overflow": "nonsense"})
    ch.refused(404, "queue.declare", "no queue 'raw.nothing' in vhost '/'", queue="raw.nothing", passive=True)


INVALID = [
    ("x-message-ttl", -1, "{value_negative,-1}"), ("x-message-ttl", "1", '"expected integer, got longstr"'),
    ("x-expires", 0, "{value_zero,0}"), ("x-expires", -5, "{value_negative,-5}"),
    ("x-expires", "1", '"expected integer, got longstr"'), ("x-max-length", -1, "{value_negative,-1}"),
    ("x-max-length", 1.5, '"expected integer, got double"'), ("x-max-length", "1", '"expected integer, got longstr"'),
    ("x-max-length-bytes", -1, "{value_negative,-1}"), ("x-max-length-bytes", True, '"expected integer, got bool"'),
    ("x-max-priority", -1, "{value_negative,-1}"), ("x-max-priority", 256, "{max_value_exceeded,256}"),
    ("x-max-priority", "9", '"expected integer, got longstr"'), ("x-overflow", "nonsense", "invalid_overflow"),
    ("x-overflow", 1, "{unacceptable_type,signedint}"),
    ("x-queue-mode", "nonsense", "\"unsupported queue mode 'nonsense'\""),
    ("x-queue-type", "nonsense", "\"unsupported queue type 'nonsense'\""),
    ("x-queue-version", -1, "{value_negative,-1}"), ("x-queue-version", 3, "\"unsupported queue version '3'\""),
    ("x-single-active-consumer", 1, "{unacceptable_type,signedint}"),
    ("x-dead-letter-routing-key", "k", "routing_key_but_no_dlx_defined"),
    ("x-dead-letter-routing-key", 5, "{unacceptable_type,signedint}"),
]


@behaviour(105)
def invalid_queue_arguments(t):
    ch = t.channel()
    for name, value, reason in INVALID:
        queue = t.name("q")
        ch.refused(406, "queue.declare", f"invalid arg '{name}' for queue '{queue}' in vhost '/': {reason}",
                   queue=queue, arguments={name: value})


@behaviour(105)
def queue_arguments_at_their_bounds(t):
    ch = t.channel()
    for name, value in (("x-message-ttl", 0), ("x-message-ttl", 2 ** 32), ("x-expires", 100000),
                        ("x-max-length", 0), ("x-max-length-bytes", 0), ("x-max-priority", 0), ("x-max-priority", 255),
                        ("x-overflow", "drop-head"), ("x-overflow", "reject-publish"),
                        ("x-overflow", "reject-publish-dlx"), ("x-queue-mode", "lazy"), ("x-queue-mode", "default"),
                        ("x-queue-version", 1), ("x-queue-version", 2), ("x-queue-type", "classic"),
                        ("x-single-active-consumer", False)):
        t.queue(ch, arguments={name: value}, exclusive=True)


@behaviour(106)
def dead_letter_exchange_argument(t):
    ch = t.channel()
    queue = t.name("q")
    ch.refused(406, "queue.declare", f"invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue '{queue}' in "
                                     "vhost '/'", queue=queue, arguments={"x-dead-letter-exchange": 5})
    t.queue(ch, arguments={"x-dead-letter-exchange": "raw.nothing"})
    t.queue(ch, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "k"})


def locked(queue):
    """The text that others get for an exclusive queue."""
    return (f"cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be originally declared "
            "on another connection or the exclusive property value does not match that of the original declaration.")


@behaviour(102, 107)
def exclusive_queues_are_locked_for_others(t):
    owner, ch = t.channel(), t.channel()
    queue = t.queue(owner, exclusive=True)
    owner.bind(queue, "amq.direct", queue)
    for name, values in (
            ("queue.declare", {}), ("queue.declare", {"exclusive": True}), ("queue.declare", {"passive": True}),
            ("queue.delete", {}), ("queue.purge", {}), ("basic.get", {}), ("basic.consume", {}),
            ("queue.bind", {"exchange": "amq.fanout"}),
            ("queue.unbind", {"exchange": "amq.direct", "routing_key": queue})):
        ch.refused(405, name, locked(queue), queue=queue, **values)
    owner.rpc("queue.unbind", queue=queue, exchange="amq.direct", routing_key=queue)


@behaviour(102)
def another_exclusive_on_the_same_connection(t):
    ch = t.channel()
    queue, shared = t.queue(ch, exclusive=True), t.queue(ch)
    ch.refused(405, "queue.declare", locked(queue), queue=queue)
    ch.refused(405, "queue.declare", locked(shared), queue=shared, exclusive=True)


@behaviour(108)
def exclusive_queues_live_with_their_connection(t):
    owner, ch = t.channel(), t.channel()
    queue = t.queue(owner, exclusive=True)
    ch.publish(b"from another", key=queue)
    ch.barrier()
    owner.close()
    owner.rpc("channel.open")
    equal(owner.get(queue).body, b"from another")
    owner.connection.drop()
    t.eventually(lambda: not t.has_queue(ch.connection, queue), "the queue goes with its connection")


@behaviour(109)
def auto_delete_queues_go_with_the_last_consumer(t):
    ch = t.channel()
    other = t.connect()
    for way in ("cancel", "channel", "connection"):
        user = t.channel()
        queue = t.queue(ch, auto_delete=True)
        ch.publish(b"x", key=queue)
        ch.barrier()
        equal(user.get(queue, no_ack=False).body, b"x")
        true(t.has_queue(other, queue), "get is no consumer")
        first, second = user.consume(queue), user.consume(queue)
        user.rpc("basic.cancel", consumer_tag=first)
        true(t.has_queue(other, queue), "there is another consumer")
        if way == "cancel":
            user.rpc("basic.cancel", consumer_tag=second)
        elif way == "channel":
            user.close()
        else:
            user.connection.drop()
        t.eventually(lambda: not t.has_queue(other, queue), f"gone with the last consumer by {way}")


@behaviour(110, slow=True)
def queues_that_expire(t):
    ch = t.channel()
    c = ch.connection
    queues = {use: t.queue(ch, arguments={"x-expires": 1200})
              for use in ("none", "publish", "get", "declare", "passive", "consume")}
    ch.consume(queues["consume"])
    for _ in range(5):
        t.sleep(0.4)
        ch.publish(b"x", key=queues["publish"])
        ch.get(queues["get"])
        ch.rpc("queue.declare", queue=queues["declare"], arguments={"x-expires": 1200})
        ch.counts(queues["passive"])
    for use, queue in queues.items():
        equal(t.has_queue(c, queue), use not in ("none", "publish"), f"still there after {use}")


@behaviour(111)
def purge_leaves_what_is_unacknowledged(t):
    ch = t.channel()
    holder = ch.connection.channel()
    queue = t.queue(ch)
    for body in (b"1", b"2", b"3"):
        ch.publish(body, key=queue)
    ch.barrier()
    message = holder.get(queue, no_ack=False)
    equal(ch.rpc("queue.purge", queue=queue).message_count, 2)
    equal(ch.rpc("queue.purge", queue=queue).message_count, 0)
    holder.send("basic.reject", delivery_tag=message.delivery_tag, requeue=True)
    holder.barrier()
    equal(ch.drain(queue), [b"1"])
    ch.publish(b"4", key=queue)
    ch.send("queue.purge", queue=queue, nowait=True)
    t.counts(ch, queue, 0, 0)
    ch.refused(404, "queue.purge", "no queue 'raw.nothing' in vhost '/'", queue="raw.nothing")


@behaviour(112)
def delete_counts_what_is_ready(t):
    ch = t.channel()
    queue = t.queue(ch)
    for _ in range(4):
        ch.publish(b"x", key=queue)
    ch.barrier()
    ch.get(queue, no_ack=False)
    equal(ch.rpc("queue.delete", queue=queue).message_count, 3)
    equal(ch.rpc("queue.delete", queue=queue).message_count, 0)
    equal(ch.rpc("queue.delete", queue="raw.nothing", if_unused=True, if_empty=True).message_count, 0)


@behaviour(113)
def if_unused_and_if_empty(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.publish(b"x", key=queue)
    ch.barrier()
    ch.refused(406, "queue.delete", f"queue '{queue}' in vhost '/' not empty", queue=queue, if_empty=True)
    other = ch.connection.channel()
    tag = other.consume(queue)
    other.deliver()
    ch.refused(406, "queue.delete", f"queue '{queue}' in vhost '/' in use", queue=queue, if_unused=True)
    other.rpc("basic.cancel", consumer_tag=tag)
    equal(ch.rpc("queue.delete", queue=queue, if_unused=True, if_empty=True).message_count, 0)


@behaviour(114)
def bind_without_one_of_both(t):
    ch = t.channel()
    queue = t.queue(ch)
    no_exchange, no_queue = "no exchange 'raw.nothing' in vhost '/'", "no queue 'raw.nothing' in vhost '/'"
    ch.refused(404, "queue.bind", no_exchange, queue=queue, exchange="raw.nothing")
    ch.refused(404, "queue.bind", no_queue, queue="raw.nothing", exchange="amq.direct")
    ch.refused(404, "queue.bind", no_exchange, queue="raw.nothing", exchange="raw.nothing")


@behaviour(115)
def unbind_of_what_is_not_bound(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.rpc("queue.unbind", queue=queue, exchange="amq.direct", routing_key="never")
    ch.rpc("queue.unbind", queue=queue, exchange="raw.nothing")
    ch.rpc("queue.unbind", queue="raw.nothing", exchange="amq.direct")
    ch.rpc("queue.unbind", queue="raw.nothing", exchange="raw.nothing")


@behaviour(116)
def binding_twice_is_one_binding(t):
    ch = t.channel()
    exchange, queue = t.exchange(ch), t.queue(ch)
    for arguments in ({}, {}, {"a": 1}):
        ch.bind(queue, exchange, "k", arguments=arguments)
    ch.bind(queue, exchange, "l")
    expected = []
    for key, arguments in (("k", {}), ("k", {"a": 1}), ("l", {})):
        ch.publish(b"x", exchange=exchange, key="k")
        ch.publish(b"y", exchange=exchange, key="l")
        ch.rpc("queue.unbind", queue=queue, exchange=exchange, routing_key=key, arguments=arguments)
        expected.append(ch.drain(queue))
    equal(expected, [[b"x", b"y"], [b"x", b"y"], [b"y"]])
    ch.publish(b"z", exchange=exchange, key="l")
    equal(ch.drain(queue), [])


@behaviour(86, 104)
def nowait_on_queues(t):
    ch = t.channel()
    queue = t.name("q")
    ch.connection.write(method_frame(1, "queue.declare", queue=queue, nowait=True),
                        method_frame(1, "queue.bind", queue=queue, exchange="amq.direct", routing_key=queue,
                                     nowait=True))
    ch.publish(b"x", exchange="amq.direct", key=queue)
    equal(ch.get(queue).body, b"x")
    ch.send("queue.delete", queue=queue, nowait=True)
    ch.barrier()
    ch.refused(404, "queue.bind", None, queue=queue, exchange="amq.direct", nowait=True)
    ch.refused(404, "queue.purge", None, queue=queue, nowait=True)
