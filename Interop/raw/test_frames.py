"""Behaviours 43-65: frames, methods and contents that are malformed or out of order."""

import struct

from amqp import (BODY, HEADER, HEARTBEAT, METHOD, check_close, equal, erlang, frame, header, method, method_frame,
                  properties, publish_frames, short, table)
from checks import behaviour

WANTS_HEADER = "expected content header for class 60, got non content header frame instead"
WANTS_BODY = "expected content body, got non content body frame instead"


def begin_publish(ch, key="raw.nowhere"):
    """Sends basic.publish without its content."""
    ch.send("basic.publish", routing_key=key)


@behaviour(43)
def a_wrong_frame_end(t):
    waiting = []
    for channel, payload in ((1, method("channel.open")), (1, b"abcd"), (0, b"\0\x0a\0\x33")):
        c = t.connect()
        c.write(frame(METHOD, channel, payload, end=b"\0"))
        waiting.append((c, payload))
    for c, payload in waiting:
        check_close(c.expect("connection.close"), "connection.close", 501, None,
                    f"type 1, all octets = {erlang(payload)}: {{invalid_frame_end_marker,0}}")
    for c, _ in waiting:
        c.expect_eof()


@behaviour(44)
def a_frame_above_frame_max(t):
    waiting = []
    for kind in (METHOD, HEADER, BODY):
        ch = t.channel(frame_max=4096)
        ch.connection.write(struct.pack(">BHI", kind, 1, 4097))
        waiting.append((kind, ch.connection))
    for kind, c in waiting:
        check_close(c.expect("connection.close"), "connection.close", 501, None,
                    f"type {kind}, all octets = <<>>: {{frame_too_large,4097,4088}}")
    for _, c in waiting:
        c.expect_eof()


@behaviour(44)
def a_giant_frame(t):
    ch = t.channel()
    ch.connection.write(struct.pack(">BHI", BODY, 1, 2 ** 32 - 1))
    ch.connection.expect_close(501, None, f"type 3, all octets = <<>>: {{frame_too_large,{2 ** 32 - 1},131064}}")


@behaviour(45)
def eight_octets_more_than_frame_max_allows(t):
    ch = t.channel(frame_max=4096)
    queue = t.queue(ch, exclusive=True)
    body = bytes(range(256)) * 16
    begin_publish(ch, queue)
    ch.frame(HEADER, header(4096))
    ch.frame(BODY, body)
    equal(ch.get(queue).body, body)


@behaviour(46)
def an_unknown_frame_type(t):
    for kind, channel, payload in ((9, 1, b"abc"), (0, 0, b"abc"), (4, 7, b"\0\1"), (255, 1, b"x")):
        c = t.connect()
        c.channel()
        c.write(frame(kind, channel, payload))
        c.expect_close(501, None, f"type {kind}, all octets = {erlang(payload)}: unknown_frame")


@behaviour(47)
def content_on_channel_0(t):
    for kind, payload in ((HEADER, header(0)), (BODY, b"abc")):
        c = t.connect()
        c.write(frame(kind, 0, payload))
        c.expect_close(505, None, f"type {kind}, all octets = {erlang(payload)}")


@behaviour(48)
def frames_too_short_for_what_they_are(t):
    for kind, payload in ((METHOD, b""), (METHOD, b"\0\x14\0"), (HEADER, header(0)[:11]), (HEADER, b"")):
        ch = t.channel()
        if kind == HEADER:
            begin_publish(ch)
        ch.frame(kind, payload)
        ch.connection.expect_close(501, None, f"type {kind}, all octets = {erlang(payload)}: unknown_frame")


@behaviour(46, 48)
def what_is_malformed_in_itself_is_refused_before_what_is_out_of_place(t):
    long = bytes(20) + b"abc"
    waiting = []
    for kind, payload in ((HEADER, b""), (HEADER, bytes(11)), (METHOD, b"abc"), (HEARTBEAT, b"x"), (9, long)):
        start = "first 16" if len(payload) > 16 else "all"
        text = f"type {kind}, {start} octets = {erlang(payload[:16])}: unknown_frame"
        for begun in (False, True):
            ch = t.channel()
            if begun:
                begin_publish(ch)
            ch.frame(kind, payload)
            waiting.append((ch.connection, text))
    expect_frame_errors(waiting)


@behaviour(46)
def an_unknown_frame_type_is_over_with_close_ok(t):
    ch = t.channel()
    ch.frame(9, b"")
    ch.connection.expect("connection.close")
    ch.connection.send("connection.close-ok")
    ch.connection.expect_eof(timeout=1.5)


@behaviour(48)
def a_frame_too_short_between_tune_ok_and_open(t):
    c = t.socket()
    c.start()
    c.start_ok()
    c.expect("connection.tune")
    c.tune_ok()
    c.write(frame(METHOD, 0, b"ab"))
    c.expect_close(501, None, 'type 1, all octets = <<"ab">>: unknown_frame')


@behaviour(43)
def long_frames_with_a_wrong_end(t):
    waiting = []
    for payload, shown in (
        (bytes(20), "<<0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0>>: {invalid_frame_end_marker,\n" + " " * 64 + "7}"),
        (bytes([128] * 17), "<<" + "128," * 12 + "\n" + " " * 28 + "128,128,128,128>>: {invalid_frame_end_marker,7}"),
        (b"\n" * 20, '<<"' + "\\n" * 16 + '">>: {invalid_frame_end_marker,\n' + " " * 67 + "7}"),
    ):
        ch = t.channel()
        ch.frame(BODY, payload, b"\7")
        waiting.append((ch.connection, f"type 3, first 16 octets = {shown}"))
    expect_frame_errors(waiting)


def expect_frame_errors(waiting):
    """Each of the connections is closed with its text: all close at about the same time, which may be seconds."""
    for c, text in waiting:
        check_close(c.expect("connection.close"), "connection.close", 501, None, text)
        c.write_anyway(method_frame(0, "connection.close-ok"))
    for c, _ in waiting:
        c.expect_eof()


@behaviour(49)
def a_session_in_pieces(t):
    ch = t.channel()
    queue = t.queue(ch, exclusive=True)
    stream = publish_frames(1, b"in pieces", key=queue, headers={"a": 1})
    for at in range(0, len(stream), 3):
        ch.connection.write(stream[at:at + 3])
        if at % 12 == 0:
            t.sleep(0.002)
    equal(ch.get(queue).body, b"in pieces")


@behaviour(49)
def many_frames_in_one_write(t):
    ch = t.channel()
    queue = t.queue(ch, exclusive=True)
    ch.connection.write(*(publish_frames(1, b"%d" % number, key=queue) for number in range(500)),
                        method_frame(1, "queue.purge", queue=queue))
    equal(ch.expect("queue.purge-ok").message_count, 500)


@behaviour(50)
def an_unknown_method(t):
    for channel, ids in ((1, (99, 99)), (1, (60, 99)), (1, (50, 41 + 900)), (0, (10, 99)), (1, (20, 60))):
        c = t.connect()
        c.channel()
        c.write(frame(METHOD, channel, struct.pack(">HH", *ids)))
        c.expect_eof(exact=True)


@behaviour(51)
def arguments_cut_short_or_left_over(t):
    name = "queue.declare"
    whole = method(name, queue="raw.never", arguments={"a": 1})
    for payload in (whole[:6], whole[:8], whole[:-1], whole + b"\0", method(name)[:-4] + struct.pack(">I", 500)):
        ch = t.channel()
        ch.frame(METHOD, payload)
        ch.connection.expect_close(501, name, f"cannot decode {erlang(payload[4:], plain_list=True)}")


@behaviour(51)
def other_methods_cut_short(t):
    for name, payload in (("basic.ack", method("basic.ack")[:-1]), ("basic.publish", method("basic.publish")[:-2]),
                          ("basic.qos", method("basic.qos") + b"ab"), ("tx.select", method("tx.select") + b"x")):
        ch = t.channel()
        ch.frame(METHOD, payload)
        ch.connection.expect_close(501, name, f"cannot decode {erlang(payload[4:], plain_list=True)}")


@behaviour(52)
def arguments_cut_short_on_channel_0(t):
    for payload in (method("connection.update-secret")[:-1], method("connection.close")[:-2],
                    method("connection.close-ok") + b"x"):
        c = t.connect()
        c.write(frame(METHOD, 0, payload))
        c.expect_close(541, None, "")


@behaviour(53)
def a_malformed_field_table(t):
    for inside in (short("a") + b"Q\0\0\0\0", short("a") + b"I\0", b"\x09a", short("a"),
                   short("a") + b"S\0\0\0\x09x", short("a") + b"A\0\0\0\x02I\0", short("a") + b"F\0\0\0\x05\x03b"):
        ch = t.channel()
        ch.frame(METHOD, method("queue.declare", queue="raw.never", arguments=inside))
        ch.connection.expect_eof(exact=True)


@behaviour(54)
def names_must_be_utf8(t):
    bad = b"raw\xff\xfe"
    for name, values in (("queue.declare", {"queue": bad}), ("exchange.declare", {"exchange": bad, "type": "direct"}),
                         ("exchange.declare", {"exchange": "raw.never", "type": bad}), ("basic.get", {"queue": bad}),
                         ("basic.consume", {"consumer_tag": bad}), ("basic.cancel", {"consumer_tag": bad}),
                         ("queue.bind", {"exchange": bad}), ("queue.bind", {"routing_key": bad}),
                         ("queue.delete", {"queue": bad}), ("exchange.delete", {"exchange": bad})):
        ch = t.channel()
        ch.send(name, **values)
        ch.connection.expect_close(501, None, "Malformed UTF-8 in shortstr")


@behaviour(54)
def names_on_channel_0_must_be_utf8(t):
    c = t.connect()
    c.send("connection.update-secret", reason=b"\xff")
    c.expect_close(501, "connection.update-secret", "Malformed UTF-8 in shortstr")
    c = t.socket()
    c.start()
    c.start_ok()
    c.expect("connection.tune")
    c.tune_ok()
    c.send("connection.open", virtual_host=b"\xff")
    c.expect_close(501, "connection.open", "Malformed UTF-8 in shortstr")


@behaviour(54, 118)
def the_exchange_of_publish_need_not_be_utf8(t):
    ch = t.channel()
    ch.publish(b"x", exchange=b"raw\xff\xfe")
    event = ch.expect("channel.close")
    equal((event.reply_code, event.class_id, event.method_id), (404, 60, 40))
    equal(event.reply_text, b"NOT_FOUND - no exchange 'raw\xff\xfe' in vhost '/'")


@behaviour(54)
def routing_keys_need_not_be_utf8(t):
    ch = t.channel()
    queue = t.queue(ch, exclusive=True)
    exchange = t.exchange(ch, "fanout")
    ch.bind(queue, exchange)
    ch.publish(b"x", exchange=exchange, key=b"\xff\xfe")
    equal(ch.get(queue).routing_key, b"\xff\xfe")


@behaviour(55)
def methods_only_the_server_sends(t):
    for name in ("channel.open-ok", "exchange.declare-ok", "queue.declare-ok", "basic.qos-ok", "basic.consume-ok",
                 "basic.get-empty", "basic.recover-ok", "confirm.select-ok", "tx.select-ok", "access.request-ok",
                 "connection.start-ok", "connection.close", "connection.open", "connection.update-secret"):
        ch = t.channel()
        ch.refused_by_connection(503, name, "unimplemented method")


@behaviour(56)
def close_ok_of_a_channel_that_is_not_closing(t):
    t.channel().refused_by_connection(503, "channel.close-ok", "unimplemented method")


@behaviour(57)
def content_without_a_method(t):
    for kind, payload in ((HEADER, header(3)), (BODY, b"abc"), (BODY, b"")):
        ch = t.channel()
        ch.frame(kind, payload)
        ch.connection.expect_close(505, None, "expected method frame, got non method frame instead")


@behaviour(58)
def no_content_header_where_it_should_be(t):
    for kind, payload in ((BODY, b"abc"), (METHOD, method("tx.select")), (HEADER, header(3, weight=1))):
        ch = t.channel()
        begin_publish(ch)
        ch.frame(kind, payload)
        ch.connection.expect_close(505, "basic.publish", WANTS_HEADER)


@behaviour(59)
def a_content_header_of_another_class(t):
    for class_id in (50, 0, 65535):
        ch = t.channel()
        begin_publish(ch)
        ch.frame(HEADER, header(3, class_id=class_id))
        ch.connection.expect_close(505, "basic.publish", "expected content header for class 60, got one for class "
                                                         f"{class_id} instead")


@behaviour(60)
def no_body_where_it_should_be(t):
    for kind, payload in ((HEADER, header(3)), (METHOD, method("tx.select"))):
        ch = t.channel()
        begin_publish(ch)
        ch.frame(HEADER, header(3))
        ch.frame(BODY, b"ab")
        ch.frame(kind, payload)
        ch.connection.expect_close(505, "basic.publish", WANTS_BODY)


@behaviour(61)
def a_body_longer_than_announced(t):
    ch = t.channel()
    begin_publish(ch)
    ch.frame(HEADER, header(3))
    ch.frame(BODY, b"abcd")
    ch.connection.channel(2).barrier()
    ch.quiet()
    ch.send("tx.select")
    ch.connection.expect_close(505, "basic.publish", WANTS_BODY)


@behaviour(62)
def body_frames_of_any_length(t):
    ch = t.channel()
    queue = t.queue(ch, exclusive=True)
    begin_publish(ch, queue)
    ch.frame(HEADER, header(6))
    for piece in (b"", b"a", b"", b"", b"bcd", b"", b"ef"):
        ch.frame(BODY, piece)
    message = ch.get(queue)
    equal((message.body, message.frames), (b"abcdef", [6]))
    ch.publish(b"", key=queue)
    message = ch.get(queue)
    equal((message.body, message.frames), (b"", []))


@behaviour(63)
def malformed_properties(t):
    good = properties(content_type="a", headers={"a": 1}, timestamp=1)
    table_too_long = struct.pack(">H", 1 << 13) + struct.pack(">I", 900) + b"\1aV"
    unknown_type = struct.pack(">H", 1 << 13) + table(short("a") + b"Q\0")
    for raw in (good[:-1], good + b"\0", good[:3], table_too_long, unknown_type):
        ch = t.channel()
        begin_publish(ch)
        ch.frame(HEADER, header(0, raw=raw))
        ch.connection.expect_close(541, None, "")


@behaviour(64)
def a_second_word_of_property_flags(t):
    ch = t.channel()
    begin_publish(ch)
    ch.frame(HEADER, header(0, raw=struct.pack(">HH", 1, 0)))
    ch.connection.expect_close(541, None, "")


@behaviour(64)
def an_unused_property_flag(t):
    ch = t.channel()
    queue = t.queue(ch, exclusive=True)
    ch.publish(b"x", key=queue, raw=struct.pack(">H", (1 << 15) | 2) + short("text/plain"))
    equal(ch.get(queue).properties, {"content_type": "text/plain"})


@behaviour(65)
def contents_of_several_channels_interleave(t):
    c = t.connect()
    channels = [c.channel() for _ in range(4)]
    queue = t.queue(channels[0], exclusive=True)
    for ch in channels:
        begin_publish(ch, queue)
    for ch in channels:
        ch.frame(HEADER, header(4, app_id=str(ch.number)))
    control = c.channel()
    for piece in range(2):
        for ch in reversed(channels):
            ch.frame(BODY, b"%d%d" % (ch.number, piece))
            control.rpc("queue.declare", queue=queue, passive=True)
    for ch in channels:
        ch.barrier()
    t.counts(control, queue, 4)
    got = {}
    while (message := control.get(queue)) is not None:
        got[message.properties["app_id"]] = message.body
    equal(got, {str(ch.number): b"%d0%d1" % (ch.number, ch.number) for ch in channels})
