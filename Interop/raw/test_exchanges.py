"""Behaviours 75-95: exchanges, bindings between them, alternate exchanges."""

from amqp import equal, method_frame, true
from checks import behaviour

PREDECLARED = [("amq.direct", "direct"), ("amq.fanout", "fanout"), ("amq.topic", "topic"), ("amq.headers", "headers"),
               ("amq.match", "headers")]


@behaviour(75, 76)
def predeclared_exchanges(t):
    ch = t.channel()
    for name, kind in PREDECLARED:
        ch.rpc("exchange.declare", exchange=name, type=kind, passive=True)
        ch.rpc("exchange.declare", exchange=name, type=kind, durable=True)
    ch.rpc("exchange.declare", exchange="amq.rabbitmq.trace", type="topic", durable=True, internal=True)


@behaviour(76)
def redeclaring_the_same(t):
    ch = t.channel()
    for kind in ("direct", "fanout", "topic", "headers"):
        for flags in ({}, {"durable": True}, {"auto_delete": True}, {"internal": True}):
            name = t.exchange(ch, kind, **flags)
            ch.rpc("exchange.declare", exchange=name, type=kind, **flags)


@behaviour(77)
def an_unknown_exchange_type(t):
    for kind, text in (("raw-x", "unknown exchange type 'raw-x'"), ("", "invalid exchange type ''"),
                       ("Direct", "unknown exchange type 'Direct'")):
        t.channel().refused_by_connection(503, "exchange.declare", text, exchange=t.name("e"), type=kind)


@behaviour(78)
def redeclaring_something_else(t):
    ch = t.channel()
    name = t.exchange(ch)
    for arg, values, received in (
            ("type", {"type": "fanout"}, "fanout"), ("durable", {"durable": True}, "true"),
            ("auto_delete", {"auto_delete": True}, "true"), ("internal", {"internal": True}, "true")):
        current = "direct" if arg == "type" else "false"
        ch.refused(406, "exchange.declare", f"inequivalent arg '{arg}' for exchange '{name}' in vhost '/': received "
                                            f"'{received}' but current is '{current}'",
                   exchange=name, **{"type": "direct", **values})
    ch.refused(406, "exchange.declare", "inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received "
                                        "'topic' but current is 'direct'", exchange="amq.direct", type="topic",
               durable=True)


@behaviour(78)
def redeclaring_another_alternate_exchange(t):
    ch = t.channel()
    plain = t.exchange(ch)
    ch.refused(406, "exchange.declare", f"inequivalent arg 'alternate-exchange' for exchange '{plain}' in vhost '/': "
                                        "received the value 'a' of type 'longstr' but current is none",
               exchange=plain, type="direct", arguments={"alternate-exchange": "a"})
    with_one = t.exchange(ch, arguments={"alternate-exchange": "a"})
    ch.rpc("exchange.declare", exchange=with_one, type="direct", arguments={"alternate-exchange": "a"})
    begin = f"inequivalent arg 'alternate-exchange' for exchange '{with_one}' in vhost '/': received "
    ch.refused(406, "exchange.declare", begin + "'b' but current is 'a'",
               exchange=with_one, type="direct", arguments={"alternate-exchange": "b"})
    ch.refused(406, "exchange.declare", begin + "none but current is the value 'a' of type 'longstr'",
               exchange=with_one, type="direct")


@behaviour(79)
def other_arguments_are_not_compared(t):
    ch = t.channel()
    name = t.exchange(ch, arguments={"x-mine": 1})
    ch.rpc("exchange.declare", exchange=name, type="direct", arguments={"x-mine": "two", "x-more": [3]})
    ch.rpc("exchange.declare", exchange=name, type="direct")


@behaviour(80)
def passive_looks_at_the_name_only(t):
    ch = t.channel()
    name = t.exchange(ch)
    for values in ({"type": "fanout"}, {"type": "no-such-type"}, {"type": ""}, {"durable": True, "type": "direct"},
                   {"internal": True, "auto_delete": True, "type": "topic", "arguments": {"alternate-exchange": "z"}}):
        ch.rpc("exchange.declare", exchange=name, passive=True, **values)
    ch.refused(404, "exchange.declare", "no exchange 'raw.nothing' in vhost '/'", exchange="raw.nothing",
               type="no-such-type", passive=True)


@behaviour(81)
def reserved_exchange_names(t):
    ch = t.channel()
    ch.refused(403, "exchange.declare", "exchange name 'amq.mine' contains reserved prefix 'amq.*'",
               exchange="amq.mine", type="direct")
    ch.refused(404, "exchange.declare", "no exchange 'amq.mine' in vhost '/'", exchange="amq.mine", type="direct",
               passive=True)
    other = t.name("Amq.mine")
    ch.rpc("exchange.declare", exchange=other, type="direct")


@behaviour(82)
def the_default_exchange_is_not_to_be_touched(t):
    ch = t.channel()
    queue = t.queue(ch)
    for name, values in (
            ("exchange.declare", {"exchange": "", "type": "direct"}), ("exchange.delete", {"exchange": ""}),
            ("queue.bind", {"queue": queue, "routing_key": "k"}), ("queue.unbind", {"queue": queue}),
            ("exchange.bind", {"source": "", "destination": "amq.direct"}),
            ("exchange.bind", {"source": "amq.direct", "destination": ""}),
            ("exchange.unbind", {"source": "", "destination": "amq.direct"}),
            ("exchange.unbind", {"source": "amq.direct", "destination": ""})):
        ch.refused(403, name, "operation not permitted on the default exchange", **values)


@behaviour(83)
def system_exchanges_stay(t):
    ch = t.channel()
    for name in ("amq.direct", "amq.nothing", "amq.rabbitmq.trace"):
        ch.refused(403, "exchange.delete", f"deletion of system exchange '{name}' in vhost '/' not allowed",
                   exchange=name)


@behaviour(84)
def deleting_what_is_not_there(t):
    ch = t.channel()
    ch.rpc("exchange.delete", exchange="raw.nothing")
    ch.rpc("exchange.delete", exchange="raw.nothing", if_unused=True)


@behaviour(85)
def if_unused_with_a_binding(t):
    ch = t.channel()
    name, target = t.exchange(ch), t.exchange(ch)
    ch.rpc("exchange.bind", source=name, destination=target)
    ch.refused(406, "exchange.delete", f"exchange '{name}' in vhost '/' in use", exchange=name, if_unused=True)
    # A binding to an exchange does not count.
    ch.rpc("exchange.delete", exchange=target, if_unused=True)
    ch.rpc("exchange.delete", exchange=name, if_unused=True)


@behaviour(86)
def nowait_on_exchanges(t):
    ch = t.channel()
    name, other = t.name("e"), t.name("e")
    ch.send("exchange.declare", exchange=name, type="direct", nowait=True)
    ch.send("exchange.declare", exchange=other, type="direct", nowait=True)
    ch.send("exchange.bind", source=name, destination=other, routing_key="k", nowait=True)
    ch.barrier()
    true(t.has_exchange(ch.connection, name), "declared with nowait")
    ch.refused(406, "exchange.delete", f"exchange '{name}' in vhost '/' in use", exchange=name, if_unused=True,
               nowait=True)
    ch.send("exchange.unbind", source=name, destination=other, routing_key="k", nowait=True)
    ch.send("exchange.delete", exchange=name, if_unused=True, nowait=True)
    ch.barrier()
    true(not t.has_exchange(ch.connection, name), "deleted with nowait")
    ch.refused(406, "exchange.declare", None, exchange=other, type="fanout", nowait=True)


@behaviour(87)
def line_ends_are_taken_out_of_names(t):
    ch = t.channel()
    name = t.name("e")
    ch.rpc("exchange.declare", exchange="\r\n" + name + "\n", type="direct")
    true(t.has_exchange(ch.connection, name), "declared without the line ends")
    queue = t.name("q")
    equal(ch.rpc("queue.declare", queue=queue[:5] + "\r\n" + queue[5:]).queue, queue)


@behaviour(88)
def publishing_to_an_internal_exchange(t):
    ch = t.channel()
    internal, source = t.exchange(ch, "fanout", internal=True), t.exchange(ch, "fanout")
    queue = t.queue(ch)
    ch.rpc("exchange.bind", source=source, destination=internal)
    ch.bind(queue, internal)
    ch.publish(b"through", exchange=source)
    equal(ch.get(queue).body, b"through")
    ch.publish(b"x", exchange=internal)
    ch.expect_close(403, "basic.publish", f"cannot publish to internal exchange '{internal}' in vhost '/'")


@behaviour(89)
def auto_delete_exchanges_cascade(t):
    ch = t.channel()
    c = ch.connection
    last, first = t.exchange(ch, auto_delete=True, label="last"), t.exchange(ch, auto_delete=True, label="first")
    queue = t.queue(ch)
    ch.rpc("exchange.bind", source=first, destination=last)
    ch.bind(queue, last, "k")
    ch.bind(queue, last, "l")
    ch.rpc("queue.unbind", queue=queue, exchange=last, routing_key="k")
    true(t.has_exchange(c, last), "there is still a binding from it")
    ch.rpc("queue.unbind", queue=queue, exchange=last, routing_key="l")
    true(not t.has_exchange(c, last), "gone with the last binding from it")
    true(not t.has_exchange(c, first), "gone with what it was bound to")


@behaviour(89)
def auto_delete_waits_for_a_first_binding(t):
    ch = t.channel()
    name, source = t.exchange(ch, auto_delete=True), t.exchange(ch)
    ch.rpc("exchange.bind", source=source, destination=name)
    ch.rpc("exchange.unbind", source=source, destination=name)
    ch.rpc("queue.unbind", queue=t.queue(ch), exchange=name)
    true(t.has_exchange(ch.connection, name), "bindings to it do not count")


@behaviour(89)
def auto_delete_when_the_queue_goes(t):
    ch = t.channel()
    name, queue = t.exchange(ch, "fanout", auto_delete=True), t.queue(ch)
    ch.bind(queue, name)
    ch.rpc("queue.delete", queue=queue)
    true(not t.has_exchange(ch.connection, name), "gone with the queue")


@behaviour(90)
def chains_circles_and_several_ways(t):
    ch = t.channel()
    a, b, c = (t.exchange(ch, "fanout") for _ in range(3))
    queue, other = t.queue(ch), t.queue(ch)
    for source, destination in ((a, b), (b, c), (c, a), (a, c), (a, a)):
        ch.rpc("exchange.bind", source=source, destination=destination)
    for exchange in (a, b, c):
        ch.bind(queue, exchange)
    ch.bind(other, c)
    ch.publish(b"once", exchange=a, key="key")
    ch.barrier()
    message = ch.get(queue)
    equal((message.body, message.exchange, message.routing_key, message.message_count), (b"once", a, "key", 0))
    equal(ch.drain(other), [b"once"])


@behaviour(90)
def the_key_counts_at_every_step(t):
    ch = t.channel()
    first, second = t.exchange(ch, "topic"), t.exchange(ch, "direct")
    queue = t.queue(ch)
    ch.rpc("exchange.bind", source=first, destination=second, routing_key="a.*")
    ch.bind(queue, second, "a.b")
    for key in ("a.b", "a.c", "b.b"):
        ch.publish(key.encode(), exchange=first, key=key)
    equal(ch.drain(queue), [b"a.b"])
    ch.rpc("exchange.unbind", source=first, destination=second, routing_key="a.*")
    ch.publish(b"x", exchange=first, key="a.b")
    equal(ch.drain(queue), [])


@behaviour(91)
def exchange_bind_without_one_of_both(t):
    ch = t.channel()
    text = "no exchange 'raw.nothing' in vhost '/'"
    ch.refused(404, "exchange.bind", text, source="raw.nothing", destination="amq.direct")
    ch.refused(404, "exchange.bind", text, source="amq.direct", destination="raw.nothing")


@behaviour(91, 92)
def exchange_unbind_of_what_is_not_bound(t):
    ch = t.channel()
    ch.rpc("exchange.unbind", source="amq.direct", destination="amq.fanout", routing_key="raw.never")
    ch.rpc("exchange.unbind", source="raw.nothing", destination="raw.nothing.either")
    ch.connection.write(method_frame(1, "exchange.unbind", source="amq.direct", destination="amq.fanout"))
    equal(ch.connection.read_frame().payload, b"\0\x28\0\x33", "exchange.unbind-ok")


@behaviour(93)
def alternate_exchange(t):
    ch = t.channel()
    alternate, queue, bound = t.exchange(ch, "fanout"), t.queue(ch), t.queue(ch)
    name = t.exchange(ch, arguments={"alternate-exchange": alternate})
    ch.bind(queue, alternate)
    ch.bind(bound, name, "here")
    ch.publish(b"away", exchange=name, key="nowhere", mandatory=True)
    ch.publish(b"here", exchange=name, key="here", mandatory=True)
    ch.barrier()
    message = ch.get(queue)
    equal((message.body, message.exchange, message.routing_key, message.message_count), (b"away", name, "nowhere", 0))
    equal(ch.drain(bound), [b"here"])


@behaviour(94)
def alternates_chain_and_circles_end(t):
    ch = t.channel()
    names = [t.name("e") for _ in range(3)]
    for index, name in enumerate(names):
        ch.rpc("exchange.declare", exchange=name, type="direct",
               arguments={"alternate-exchange": names[(index + 1) % 3]})
    queue = t.queue(ch)
    ch.publish(b"round", exchange=names[0], key="k", mandatory=True)
    equal(ch.expect("basic.return").exchange, names[0])
    ch.bind(queue, names[2], "k")
    ch.publish(b"found", exchange=names[0], key="k", mandatory=True)
    ch.barrier()
    message = ch.get(queue)
    equal((message.body, message.exchange), (b"found", names[0]))


@behaviour(94)
def an_alternate_that_is_not_there(t):
    ch = t.channel()
    name = t.exchange(ch, arguments={"alternate-exchange": "raw.nothing"})
    ch.publish(b"back", exchange=name, key="k", mandatory=True)
    event = ch.expect("basic.return")
    equal((event.reply_code, event.reply_text, event.body), (312, "NO_ROUTE", b"back"))
    ch.publish(b"dropped", exchange=name, key="k")
    ch.barrier()


@behaviour(95)
def an_alternate_that_is_no_string(t):
    ch = t.channel()
    name = t.name("e")
    for value, kind in ((5, "signedint"), (True, "bool"), ({}, "table")):
        ch.refused(406, "exchange.declare", f"invalid type '{kind}' for arg 'alternate-exchange' in exchange '{name}' "
                                            "in vhost '/'", exchange=name, type="direct",
                   arguments={"alternate-exchange": value})
