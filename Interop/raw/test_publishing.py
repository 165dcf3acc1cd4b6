"""Behaviours 118-127: publishing."""

from amqp import (BODY, HEADER, Field, Silence, check_close, equal, field, frame, header, method, properties, short,
                  true)
from checks import behaviour
from test_connection import EVERY_FIELD


@behaviour(118)
def no_such_exchange(t):
    ch = t.channel()
    ch.publish(b"x", exchange="raw.nothing", key="k")
    ch.expect_close(404, "basic.publish", "no exchange 'raw.nothing' in vhost '/'")


@behaviour(118)
def no_such_exchange_as_soon_as_the_message_is_there(t):
    ch = t.channel()
    ch.send("basic.publish", exchange="raw.nothing")
    ch.frame(HEADER, header(4))
    ch.frame(BODY, b"12")
    ch.quiet()
    ch.frame(BODY, b"34")
    ch.expect_close(404, "basic.publish", "no exchange 'raw.nothing' in vhost '/'")


@behaviour(119)
def no_route(t):
    ch = t.channel()
    exchange = t.exchange(ch)
    ch.publish(b"dropped", exchange=exchange, key="k")
    raw = properties(content_type="text/plain", headers=EVERY_FIELD, priority=9, app_id="me")
    for body in (b"back", b"", b"z" * 300000):
        ch.publish(body, exchange=exchange, key="k", mandatory=True, raw=raw)
        event = ch.expect("basic.return")
        equal((event.reply_code, event.reply_text, event.exchange, event.routing_key),
              (312, "NO_ROUTE", exchange, "k"))
        equal((event.raw, event.body == body), (raw, True), "properties and body")
    ch.publish(b"default exchange", key="raw.nothing", mandatory=True)
    equal((event := ch.expect("basic.return")).exchange, "", repr(event))


@behaviour(120)
def immediate(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.connection.write(frame(1, 1, method("basic.publish", routing_key=queue, immediate=True)),
                        frame(HEADER, 1, header(0)))
    ch.connection.expect_close(540, "basic.publish", "immediate=true")


@behaviour(121, 122)
def properties_are_handed_on_octet_for_octet(t):
    ch = t.channel()
    queue = t.queue(ch)
    every = b"".join(short(name) + field(value) for name, value in EVERY_FIELD)
    repeated = short("a") + field(1) + short("a") + field("again") + short("") + field(None) + short("a") + b"t\x02"
    for headers in (every, repeated, short("n") + field({"b": 1, "a": [Field("F", [("x", 1), ("x", 2)])]}), b""):
        raw = properties(content_type="t", content_encoding="e", headers=headers, delivery_mode=1, priority=200,
                         correlation_id=b"\xff\0", reply_to="r", expiration="60000", message_id="m",
                         timestamp=2 ** 64 - 1, type="y", user_id=ch.connection.user, app_id="a", cluster_id="c")
        ch.publish(b"x", key=queue, raw=raw)
        equal(ch.get(queue).raw, raw)
        ch.consume(queue, tag="c", no_ack=True)
        ch.publish(b"x", key=queue, raw=raw)
        equal(ch.deliver().raw, raw)
        ch.rpc("basic.cancel", consumer_tag="c")


@behaviour(122)
def field_type_s_has_16_bits(t):
    ch = t.channel()
    queue = t.queue(ch)
    headers = {"s": Field("s", -2), "L": Field("L", -3), "l": Field("l", -4), "u": Field("u", 5), "i": Field("i", 6)}
    ch.publish(b"x", key=queue, headers=headers)
    equal(ch.get(queue).headers, {"s": -2, "L": -3, "l": -4, "u": 5, "i": 6})


@behaviour(123)
def user_id(t):
    ch = t.channel()
    queue, user = t.queue(ch), ch.connection.user
    ch.publish(b"mine", key=queue, user_id=user)
    equal(ch.get(queue).properties, {"user_id": user})
    ch.publish(b"x", key=queue, user_id="somebody")
    ch.expect_close(406, "basic.publish", f"user_id property set to 'somebody' but authenticated user was '{user}'")


@behaviour(124)
def expiration_that_is_no_number(t):
    ch = t.channel()
    queue = t.queue(ch)
    for value, key, why in (("abc", queue, "no_integer"), ("", queue, "no_integer"), (" 1", queue, "no_integer"),
                            ("1.5", "raw.nothing", '{leftover_string,".5"}'), ("-1", queue, "{value_negative,-1}")):
        ch.publish(b"x", key=key, expiration=value)
        ch.expect_close(406, "basic.publish", f"invalid expiration '{value}': {why}")
        ch.rpc("channel.open")
    ch.publish(b"good", key=queue, expiration="100000")
    equal(ch.get(queue).properties, {"expiration": "100000"})


@behaviour(125)
def cc_and_bcc_that_are_no_lists(t):
    ch = t.channel()
    queue = t.queue(ch)
    for name in ("CC", "BCC"):
        for value, kind in (("text", "longstr"), (5, "signedint"), ({"a": 1}, "table"), (None, "void")):
            ch.publish(b"x", key=queue, headers={name: value})
            ch.expect_close(406, "basic.publish", f'invalid message: {{unacceptable_type_in_header,"{name}",{kind}}}')
            ch.rpc("channel.open")
    equal(ch.drain(queue), [])


@behaviour(125)
def cc_and_bcc_with_more_than_strings(t):
    ch = t.channel()
    to, copy = t.queue(ch), t.queue(ch)
    for name in ("CC", "BCC"):
        ch.publish(b"x", key=to, headers={name: [5, None, copy, ["a"]]})
        equal((ch.drain(to), ch.drain(copy)), ([b"x"], [b"x"]), f"{name} with a number in it")


@behaviour(126)
def cc_and_bcc(t):
    ch = t.channel()
    exchange = t.exchange(ch)
    queues = {key: t.queue(ch, key) for key in ("to", "cc", "cc2", "bcc")}
    for key, queue in queues.items():
        ch.bind(queue, exchange, key)
    ch.publish(b"x", exchange=exchange, key="to", headers=[("a", 1), ("CC", ["cc", "cc2", "to"]), ("BCC", ["bcc"]),
                                                           ("b", 2)])
    ch.barrier()
    for key, queue in queues.items():
        message = ch.get(queue)
        true(message is not None, f"nothing in {key}")
        equal((message.routing_key, message.message_count), ("to", 0))
        equal(message.headers, {"a": 1, "CC": ["cc", "cc2", "to"], "b": 2}, f"headers in {key}")


@behaviour(126)
def cc_through_the_default_exchange(t):
    ch = t.channel()
    queues = [t.queue(ch) for _ in range(3)]
    ch.publish(b"x", key=queues[0], mandatory=True, headers={"CC": [queues[1]], "BCC": [queues[2]]})
    ch.barrier()
    equal([ch.drain(queue) for queue in queues], [[b"x"]] * 3)
    ch.publish(b"y", key="raw.nothing", mandatory=True, headers={"CC": [queues[1]]})
    ch.barrier()
    equal(ch.drain(queues[1]), [b"y"])


@behaviour(127, slow=True)
def a_message_above_the_limit(t):
    """The broker may refuse it as soon as it knows the length, or when it has all of it, as RabbitMQ does."""
    ch = t.channel()
    c, size = ch.connection, 134217729
    ch.send("basic.publish", routing_key="raw.nothing")
    ch.frame(HEADER, header(size))
    chunk, refusal = bytes(131064), None
    for at in range(0, size, len(chunk)):
        c.write(frame(BODY, 1, chunk[:size - at]))
        if at % (1 << 24) < len(chunk):
            try:
                refusal = c.next_event(1, 0.001)
                break
            except Silence:
                pass
    refusal = refusal or c.next_event(1, 10)
    check_close(refusal, "channel.close", 406, "basic.publish",
                "message size 134217729 is larger than configured max size 134217728")
