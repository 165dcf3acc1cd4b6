"""Input that is too long, too deep or too much. Each time another connection must go on."""

import struct

from amqp import (BODY, HEADER, METHOD, Closed, Silence, content_frames, equal, frame, header, long, method,
                  method_frame, properties, publish_frames, short, table, true)
from checks import behaviour
from test_bad_input import end


@behaviour()
def giant_lengths_in_tables(t):
    prove = t.bystander()
    for size in (2 ** 32 - 1, 2 ** 31, 2 ** 31 - 1, 200000):
        giant = struct.pack(">I", size)
        payload = method("queue.declare", queue="raw.never")[:-4] + giant
        c = t.connect()
        c.channel()
        c.write(frame(METHOD, 1, payload))
        equal(end(c, 2), 501, "a table of a giant length")
        for inside in (short("a") + b"F" + giant, short("a") + b"A" + giant, short("a") + b"S" + giant,
                       short("a") + b"x" + giant + b"x"):
            c = t.connect()
            c.channel()
            c.write(frame(METHOD, 1, method("queue.declare", queue="raw.never", arguments=inside)))
            true(end(c, 2) in ("closed", 501, 502), "a giant length in a table")
            c = t.connect()
            c.channel()
            c.write(method_frame(1, "basic.publish"), content_frames(1, raw=properties(headers=inside)))
            equal(end(c, 2), 541, "a giant length in headers")
    prove()


@behaviour(slow=True)
def giant_lengths_before_login(t):
    prove = t.bystander()
    waiting = []
    giant = struct.pack(">I", 2 ** 32 - 1)
    for payload in (giant, table({}) + short("PLAIN") + giant,
                    table(short("a") + b"F" + giant) + short("PLAIN") + long("\0a\0b") + short("")):
        c = t.socket()
        c.start()
        c.write(frame(METHOD, 0, struct.pack(">HH", 10, 11) + payload))
        waiting.append(c)
    for c in waiting:
        c.expect_eof(timeout=12, exact=True)
    prove()


def nested(depth, kind=b"F"):
    """The content of a table that holds a table, and so on."""
    inside = b""
    for _ in range(depth):
        inside = (short("n") + b"F" if kind == b"F" else b"A") + long(inside)
    return inside if kind == b"F" else short("n") + (inside or b"V")


@behaviour()
def tables_sixteen_deep(t):
    prove = t.bystander()
    ch = t.channel(client_properties=nested(16))
    queue = t.queue(ch)
    for kind in (b"F", b"A"):
        deep = properties(headers=nested(16, kind))
        ch.publish(b"deep", key=queue, raw=deep)
        equal(ch.get(queue).raw, deep)
        named = t.name("q")
        ch.connection.write(frame(METHOD, 1, method("queue.declare", queue=named, arguments=nested(16, kind))))
        ch.expect("queue.declare-ok")
        exchange = t.exchange(ch, "headers")
        ch.connection.write(frame(METHOD, 1, method("queue.bind", queue=named, exchange=exchange,
                                                    arguments=nested(16, kind))))
        ch.expect("queue.bind-ok")
    prove()


@behaviour()
def tables_far_too_deep(t):
    """They may be taken or refused, but everyone else goes on."""
    prove = t.bystander()
    for depth in (200, 2000, 15000):
        for kind in (b"F", b"A"):
            deep = nested(depth, kind)
            ch = t.channel()
            queue = t.queue(ch)
            ch.connection.write_anyway(publish_frames(1, b"deep", key=queue, raw=properties(headers=deep)),
                                       method_frame(1, "basic.get", queue=queue))
            first = next_raw(ch.connection)
            true(first in ("get-ok", "close", "closed"), f"headers {depth} deep: {first}")
            ch = t.channel()
            ch.connection.write_anyway(frame(METHOD, 1, method("queue.declare", queue=t.name("q"), exclusive=True,
                                                               arguments=deep)))
            first = next_raw(ch.connection)
            true(first in ("declare-ok", "close", "closed"), f"arguments {depth} deep: {first}")
    prove()
    c = t.socket()
    c.start()
    c.write_anyway(frame(METHOD, 0, method("connection.start-ok", client_properties=nested(8000), mechanism="PLAIN",
                                           response=f"\0{c.user}\0{c.password}", locale="en_US")))
    true(next_raw(c) in ("tune", "closed"), "client properties 8000 deep")
    prove()


def next_raw(c):
    """What comes next, without looking into tables that are too deep for this program as well."""
    try:
        payload = c.read_frame().payload
    except Closed:
        return "closed"
    names = {(10, 30): "tune", (50, 11): "declare-ok", (60, 71): "get-ok", (10, 50): "close", (20, 40): "close"}
    return names.get(struct.unpack_from(">HH", payload), "something else")


@behaviour()
def giant_bodies_announced(t):
    """The broker waits for the rest or refuses at once, but it does not make room for it."""
    prove = t.bystander()
    for size in (2 ** 63, 2 ** 64 - 1, 2 ** 63 - 1, 2 ** 40, 2 ** 32):
        ch = t.channel()
        queue = t.queue(ch)
        ch.connection.write(method_frame(1, "basic.publish", routing_key=queue), frame(HEADER, 1, header(size)),
                            frame(BODY, 1, b"x" * 1000))
        other = ch.connection.channel()
        other.barrier()
        equal(other.get(queue), None)
        try:
            event = ch.connection.next_event(1, 0.1)
            equal((event.name, event.reply_code), ("channel.close", 406))
        except Silence:
            pass
        ch.connection.drop()
    prove()


@behaviour()
def names_of_255_octets(t):
    prove = t.bystander()
    ch = t.channel()
    name = t.name("long")
    name += "n" * (255 - len(name))
    ch.rpc("queue.declare", queue=name, exclusive=True)
    ch.rpc("exchange.declare", exchange=name, type="direct", auto_delete=True)
    ch.bind(name, name, "k" * 255)
    ch.publish(b"x", exchange=name, key="k" * 255)
    message = ch.get(name)
    equal((message.exchange, message.routing_key), (name, "k" * 255))
    ch.send("queue.declare", queue="m" * 255, passive=True)
    event = ch.expect("channel.close")
    equal(event.reply_code, 404)
    whole = f"NOT_FOUND - no queue '{'m' * 255}' in vhost '/'"
    equal(event.reply_text, whole[:252] + "...", "the text is cut to what fits")
    ch.send("channel.close-ok")
    ch.rpc("channel.open")
    ch.rpc("queue.delete", queue=name)
    prove()


@behaviour(slow=True)
def a_consumer_that_does_not_read(t):
    prove = t.bystander()
    reader, feeder = t.channel(), t.channel()
    queue = t.queue(feeder)
    reader.consume(queue, no_ack=True)
    body = bytes(65536)
    for number in range(300):
        feeder.publish(struct.pack(">I", number) + body, key=queue)
    feeder.barrier()
    prove()
    equal([struct.unpack_from(">I", reader.deliver().body)[0] for _ in range(300)], list(range(300)), "in order")
    prove()
