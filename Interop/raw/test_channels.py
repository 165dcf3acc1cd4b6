"""Behaviours 66-74: opening, closing and reopening channels."""

from amqp import content_frames, equal, method_frame, publish_frames
from checks import behaviour


@behaviour(66)
def open_ok_carries_an_empty_long_string(t):
    c = t.connect()
    c.write(method_frame(1, "channel.open", out_of_band=""))
    equal(c.read_frame().payload, b"\0\x14\0\x0b\0\0\0\0", "channel.open-ok")


@behaviour(67)
def anything_but_open_on_a_closed_channel(t):
    for name in ("queue.declare", "channel.close", "channel.close-ok", "basic.ack", "channel.flow", "tx.select"):
        c = t.connect()
        c.write(method_frame(5, name))
        c.expect_close(504, name, "expected 'channel.open'")


@behaviour(67)
def a_channel_closed_by_the_client_is_closed(t):
    ch = t.channel()
    ch.close()
    ch.refused_by_connection(504, "queue.declare", "expected 'channel.open'")


@behaviour(68)
def a_second_open(t):
    t.channel().refused_by_connection(504, "channel.open", "second 'channel.open' seen")


@behaviour(69)
def a_number_is_free_after_close_ok(t):
    c = t.connect()
    ch = c.channel(7)
    for _ in range(20):
        ch.close()
        ch.rpc("channel.open")
    for _ in range(5):
        ch.refused(404, "queue.bind", None, queue="raw.nothing", exchange="amq.direct")
    ch.barrier()


@behaviour(68, 70)
def open_is_not_ignored_after_the_brokers_close(t):
    ch = t.channel()
    ch.send("queue.declare", queue="raw.nothing", passive=True)
    ch.expect("channel.close")
    ch.refused_by_connection(504, "channel.open", "second 'channel.open' seen")


@behaviour(70)
def everything_after_the_brokers_close_is_ignored(t):
    ch = t.channel()
    other = ch.connection.channel()
    queue = t.queue(other, exclusive=True)
    ch.connection.write(
        method_frame(1, "queue.declare", queue="raw.nothing", passive=True),
        publish_frames(1, b"lost", key=queue), method_frame(1, "basic.get", queue=queue),
        method_frame(1, "tx.select"), method_frame(1, "queue.declare", queue="raw.nothing", passive=True),
        method_frame(1, "basic.ack", delivery_tag=9))
    ch.expect_close(404, "queue.declare", "no queue 'raw.nothing' in vhost '/'")
    ch.rpc("channel.open")
    ch.barrier()
    equal(other.drain(queue), [])


@behaviour(71)
def both_sides_close(t):
    ch = t.channel()
    ch.connection.write(method_frame(1, "queue.declare", queue="raw.nothing", passive=True),
                        method_frame(1, "channel.close", reply_code=200, reply_text="me too"))
    events = [ch.connection.next_event(1).name for _ in range(2)]
    equal(events, ["channel.close", "channel.close-ok"])
    ch.send("channel.close-ok")
    ch.rpc("channel.open")
    ch.barrier()


@behaviour(72)
def close_puts_back_and_cancels(t):
    ch = t.channel()
    other = ch.connection.channel()
    queue = t.queue(other)
    for body in (b"1", b"2", b"3"):
        other.publish(body, key=queue)
    other.barrier()
    ch.consume(queue)
    equal([ch.deliver().body for _ in range(3)], [b"1", b"2", b"3"])
    t.counts(other, queue, 0, 1)
    ch.close()
    t.counts(other, queue, 3, 0)
    got = [other.get(queue) for _ in range(3)]
    equal([(message.body, message.redelivered) for message in got], [(b"1", True), (b"2", True), (b"3", True)])


@behaviour(73)
def flow(t):
    ch = t.channel()
    equal(ch.rpc("channel.flow", active=True).active, True)
    ch.refused_by_connection(540, "channel.flow", "active=false", active=False)


@behaviour(74)
def access_request_of_0_8(t):
    ch = t.channel()
    equal(ch.rpc("access.request", realm="/data", active=True, write=True).ticket, 1)


@behaviour(70)
def content_after_the_brokers_close_is_ignored(t):
    ch = t.channel()
    ch.publish(b"x", exchange="raw.nothing")
    for _ in range(20):
        ch.publish(b"y" * 1000, exchange="raw.nothing")
    ch.expect_close(404, "basic.publish", "no exchange 'raw.nothing' in vhost '/'")
    ch.rpc("channel.open")
    ch.barrier()


@behaviour(70)
def a_content_begun_before_the_brokers_close(t):
    ch = t.channel()
    ch.connection.write(method_frame(1, "queue.declare", queue="raw.nothing", passive=True),
                        method_frame(1, "basic.publish", routing_key="raw.nothing"))
    event = ch.connection.next_event(1)
    equal(event.name, "channel.close")
    # The header and body of a publish that is already lost belong to the channel that was closed.
    ch.connection.write(content_frames(1, b"late"), method_frame(1, "channel.close-ok"),
                        method_frame(1, "channel.open"))
    ch.expect("channel.open-ok")
    ch.barrier()
