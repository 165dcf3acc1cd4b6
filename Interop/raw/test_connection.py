"""Behaviours 1-26: protocol header, login, tuning, open and close."""

import struct
import time

from amqp import PROTOCOL_HEADER, Field, equal, frame, method_frame, table, true
from checks import behaviour

CAPABILITIES = ["publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
                "connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos",
                "direct_reply_to"]


@behaviour(1, 2, 3, 4)
def start_is_offered(t):
    c = t.socket()
    c.write(PROTOCOL_HEADER)
    channel, start = c.read_event()
    equal((channel, start.name, start.version_major, start.version_minor), (0, "connection.start", 0, 9))
    equal(sorted(start.mechanisms.split()), ["AMQPLAIN", "PLAIN"], "mechanisms")
    equal(start.locales, "en_US", "locales")
    for key in ("product", "version", "platform", "copyright", "information", "cluster_name"):
        true(isinstance(start.server_properties.get(key), str), f"no {key} in {sorted(start.server_properties)}")
    equal(start.server_properties["capabilities"], dict.fromkeys(CAPABILITIES, True), "capabilities")


@behaviour(5)
def other_headers_are_answered_with_ours(t):
    for head in (b"HTTP/1.1", b"AMQP\0\0\x09\x02", b"AMQP\1\1\0\x0a", bytes(8), b"AMQP\0\1\0\0", b"GET / HT"):
        c = t.socket()
        c.write(head)
        equal(c.take(8), PROTOCOL_HEADER, f"answer to {head!r}")
        c.expect_eof(exact=True)


@behaviour(6)
def older_headers_are_taken(t):
    for head, version in ((b"AMQP\1\1\0\x09", (0, 9)), (b"AMQP\1\1\x08\0", (8, 0)), (b"AMQP\1\1\x09\1", (8, 0))):
        c = t.socket()
        start = c.start(head)
        equal((start.version_major, start.version_minor), version, f"version for {head!r}")
        c.start_ok()
        c.expect("connection.tune")


@behaviour(7)
def header_comes_octet_by_octet(t):
    c = t.socket()
    for octet in PROTOCOL_HEADER:
        c.write(bytes([octet]))
        t.sleep(0.02)
    c.expect("connection.start")


@behaviour(7, slow=True)
def half_a_header_is_waited_for_ten_seconds(t):
    c = t.socket()
    c.write(PROTOCOL_HEADER[:5])
    began = time.monotonic()
    c.expect_eof(timeout=13, exact=True)
    true(8.5 < time.monotonic() - began, "closed before the handshake timeout")


@behaviour(7, slow=True)
def half_a_handshake_is_waited_for_ten_seconds(t):
    c = t.socket()
    c.start()
    began = time.monotonic()
    c.expect_eof(timeout=13, exact=True)
    true(8.5 < time.monotonic() - began, "closed before the handshake timeout")


@behaviour(8)
def the_whole_handshake_in_one_go(t):
    c = t.socket()
    c.write(PROTOCOL_HEADER,
            method_frame(0, "connection.start-ok", mechanism="PLAIN", response=f"\0{c.user}\0{c.password}",
                         locale="en_US"),
            method_frame(0, "connection.tune-ok", channel_max=2047, frame_max=131072, heartbeat=0),
            method_frame(0, "connection.open", virtual_host="/"),
            method_frame(1, "channel.open"))
    for name in ("connection.start", "connection.tune", "connection.open-ok"):
        c.expect(name)
    equal(c.next_event(1).name, "channel.open-ok")


@behaviour(9)
def plain_and_amqplain_log_in(t):
    t.connect(mechanism="PLAIN").close()
    c = t.socket()
    pairs = table({"LOGIN": c.user, "PASSWORD": c.password})[4:]
    c.log_in(mechanism="AMQPLAIN", response=pairs)
    c.close()


@behaviour(10)
def wrong_login_is_refused(t):
    for mechanism, response in (
            ("PLAIN", "\0guest\0wrong"), ("PLAIN", "\0nobody-here\0guest"), ("PLAIN", "\0guest\0"),
            ("AMQPLAIN", table({"LOGIN": "guest", "PASSWORD": "wrong"})[4:])):
        c = t.socket()
        c.start()
        c.start_ok(mechanism=mechanism, response=response)
        c.expect_close(403, None, f"Login was refused using authentication mechanism {mechanism}. For details see the "
                                  "broker logfile.")


@behaviour(10)
def a_refused_login_is_over_when_the_client_says_so(t):
    for properties in ({"capabilities": {"authentication_failure_close": True}}, {}):
        c = t.socket()
        c.start()
        c.start_ok(response="\0guest\0wrong", client_properties=properties)
        if properties:
            c.expect("connection.close")
        c.rpc("connection.close", reply_code=200, reply_text="")
        c.send("connection.close-ok")
        c.expect_eof(timeout=1.5, exact=True)


@behaviour(11, slow=True)
def wrong_login_without_the_capability_is_silent(t):
    for client_properties in ({}, {"capabilities": {"authentication_failure_close": False}}):
        c = t.socket()
        c.start()
        c.start_ok(response="\0guest\0wrong", client_properties=client_properties)
        c.expect_eof(exact=True)


@behaviour(12, slow=True)
def malformed_login_is_silent(t):
    waiting = []
    for mechanism, response in (("PLAIN", b"guest"), ("PLAIN", b"guest\0guest\0guest"), ("PLAIN", b""),
                                ("PLAIN", b"\0guest"), ("SCRAM-SHA-1", b"\0guest\0guest"), ("EXTERNAL", b"")):
        c = t.socket()
        c.start()
        c.start_ok(mechanism=mechanism, response=response)
        waiting.append(c)
    for c in waiting:
        c.expect_eof(exact=True)


EVERY_FIELD = [
    ("t", True), ("b", Field("b", -8)), ("B", Field("B", 200)), ("s", Field("s", -300)), ("u", Field("u", 60000)),
    ("I", Field("I", -70000)), ("i", Field("i", 4000000000)), ("l", Field("l", -2 ** 40)), ("L", Field("L", 2 ** 40)),
    ("f", Field("f", 0.5)), ("d", Field("d", 0.1)), ("D", Field("D", (2, 314))), ("S", "text"),
    ("T", Field("T", 1700000000)), ("x", Field("x", b"\0\xff")), ("A", [1, "two", [3], {"four": 4}]), ("V", None),
    ("F", {"inner": {"more": True}}),
]


@behaviour(13)
def client_properties_of_every_type(t):
    t.connect(client_properties=EVERY_FIELD).channel()
    t.connect(client_properties={}).channel()
    t.connect(client_properties={"capabilities": {}}).channel()


@behaviour(14, 19)
def tune_and_open_ok(t):
    c = t.socket()
    opened = c.log_in()
    equal((c.tuned.channel_max, c.tuned.frame_max, c.tuned.heartbeat), (2047, 131072, 60), "tune")
    equal(opened.known_hosts, "", "known hosts")


@behaviour(15, slow=True)
def tune_ok_beyond_the_offer_is_silent(t):
    waiting = []
    for tuning in ({"channel_max": 2048}, {"channel_max": 0}, {"frame_max": 131073}, {"frame_max": 0},
                   {"frame_max": 4095}):
        c = t.socket()
        c.start()
        c.start_ok()
        c.expect("connection.tune")
        c.tune_ok(**tuning)
        waiting.append(c)
    for c in waiting:
        c.expect_eof(exact=True)


@behaviour(15)
def smallest_tuning_is_taken(t):
    t.connect(channel_max=1, frame_max=4096).channel().barrier()


@behaviour(16, 17)
def channel_max_counts_channels(t):
    c = t.connect(channel_max=3)
    for number in (65535, 2, 3):
        c.channel(number)
    c.write(method_frame(4, "channel.open"))
    c.expect_close(530, None, "number of channels opened (3) has reached the negotiated channel_max (3)")


@behaviour(16)
def closed_channels_do_not_count(t):
    c = t.connect(channel_max=2)
    for number in range(1, 20):
        c.channel(number).close()
    c.channel(20)
    c.channel(21).barrier()


@behaviour(18)
def long_bodies_fill_the_frames(t):
    for frame_max in (4096, 5000, 131072):
        ch = t.channel(frame_max=frame_max)
        queue = t.queue(ch, exclusive=True)
        step = frame_max - 8
        for size in (step - 1, step, step + 1, 2 * step, 2 * step + 17):
            body = bytes(index % 251 for index in range(size))
            ch.publish(body, key=queue)
            message = ch.get(queue)
            equal(message.body == body, True, f"body of {size} octets is as sent")
            equal(message.frames, [step] * (size // step) + ([size % step] if size % step else []), "body frames")


@behaviour(20)
def an_unknown_vhost(t):
    c = tuned(t)
    c.send("connection.open", virtual_host="raw.nowhere")
    c.expect_close(530, "connection.open", "vhost raw.nowhere not found")


@behaviour(22)
def everything_after_close_is_ignored(t):
    c = t.connect()
    c.channel()
    c.write(method_frame(0, "connection.close", reply_code=200, reply_text="bye"),
            method_frame(1, "queue.declare", queue="amq.no"), method_frame(77, "basic.get"),
            frame(1, 1, struct.pack(">HH", 99, 99)), frame(9, 0, b"abc"))
    c.expect("connection.close-ok")
    c.expect_nothing()


@behaviour(22)
def broken_frames_after_close_are_ignored(t):
    c = t.connect()
    c.write(method_frame(0, "connection.close", reply_code=200, reply_text="bye"), frame(1, 1, b"ab", end=b"\0"))
    c.expect("connection.close-ok")
    c.expect_nothing()


@behaviour(23)
def exclusive_queues_are_gone_at_close_ok(t):
    other = t.connect()
    for _ in range(5):
        ch = t.channel()
        queue = t.queue(ch, exclusive=True)
        ch.connection.rpc("connection.close", reply_code=200)
        true(not t.has_queue(other, queue), "the exclusive queue is still there after close-ok")


@behaviour(24)
def methods_out_of_place_on_channel_0(t):
    for name in ("connection.open", "connection.start-ok", "connection.tune-ok", "connection.secure-ok",
                 "connection.close-ok", "connection.blocked", "connection.start", "channel.open", "queue.declare",
                 "basic.ack", "tx.select"):
        c = t.connect()
        c.send(name)
        c.expect_close(504, name, "unexpected method in connection state running")


@behaviour(25, slow=True)
def methods_out_of_place_before_tune_ok_are_silent(t):
    waiting = []
    for logged_in in (False, True):
        for channel, name in ((0, "connection.close-ok"), (0, "connection.open"), (0, "queue.declare"),
                              (1, "channel.open"), (0, "connection.start-ok" if logged_in else "connection.tune-ok")):
            c = t.socket()
            c.start()
            if logged_in:
                c.start_ok()
                c.expect("connection.tune")
            c.write(method_frame(channel, name))
            waiting.append(c)
    for c in waiting:
        c.expect_eof(exact=True)


@behaviour(25)
def methods_out_of_place_between_tune_ok_and_open(t):
    for name in ("connection.close-ok", "connection.close", "connection.start-ok", "connection.tune-ok",
                 "queue.declare"):
        c = tuned(t)
        c.send(name)
        c.expect_close(504, name, "unexpected method in connection state opening")


@behaviour(25, 47)
def another_channel_between_tune_ok_and_open(t):
    c = tuned(t)
    c.write(method_frame(1, "channel.open"))
    c.expect_close(505, None, "type 1, all octets = <<0,20,0,10,0>>")


@behaviour(47)
def content_on_channel_0_before_tune_ok_is_silent(t):
    c = t.socket()
    c.start()
    c.write(frame(3, 0, b"abc"))
    c.expect_nothing()


def tuned(t):
    """A connection that is about to be opened."""
    c = t.socket()
    c.start()
    c.start_ok()
    c.expect("connection.tune")
    c.tune_ok()
    return c


@behaviour(26)
def update_secret_is_answered(t):
    c = t.connect()
    c.rpc("connection.update-secret", new_secret="secret", reason="why not")
    c.channel().barrier()
