"""Behaviours 32-37: heartbeats."""

import time

from amqp import BODY, HEARTBEAT, Closed, Silence, equal, frame, true
from checks import behaviour


def beats(connection, seconds):
    """The frames that come within so many seconds, all of which must be heartbeats."""
    until, count = time.monotonic() + seconds, 0
    while (left := until - time.monotonic()) > 0:
        try:
            equal(connection.read_frame(left), (HEARTBEAT, 0, b""), "a frame of an idle connection")
        except Silence:
            break
        count += 1
    return count


@behaviour(32, 33, slow=True)
def heartbeats_come_at_half_the_interval(t):
    c = t.connect(heartbeat=2)
    count = 0
    for _ in range(6):
        c.write(frame(HEARTBEAT, 0, b""))
        count += beats(c, 1)
    true(4 <= count <= 8, f"{count} heartbeats in six seconds of interval 2")


@behaviour(32, slow=True)
def no_heartbeats_with_interval_0(t):
    c = t.connect(heartbeat=0)
    equal(beats(c, 4), 0, "heartbeats")
    c.channel().barrier()


@behaviour(34, slow=True)
def silence_for_two_intervals_closes_the_socket(t):
    c = t.connect(heartbeat=1)
    began = time.monotonic()
    try:
        while time.monotonic() - began < 8:
            equal(c.read_frame().kind, HEARTBEAT, "frame type")
    except Closed:
        pass
    equal(1.5 <= time.monotonic() - began <= 6, True, "closed after 1.5 to 6 seconds")


@behaviour(34, slow=True)
def half_a_frame_is_a_sign_of_life_once(t):
    c = t.connect(heartbeat=1)
    c.write(frame(BODY, 1, b"")[:4])
    began = time.monotonic()
    c.expect_eof(timeout=8)
    true(time.monotonic() - began <= 6, "closed within 6 seconds")


@behaviour(35, slow=True)
def any_frame_counts_as_a_heartbeat(t):
    c = t.connect(heartbeat=1)
    ch = c.channel()
    for _ in range(10):
        t.sleep(0.5)
        ch.send("basic.ack", delivery_tag=0, multiple=True)
    ch.barrier()


@behaviour(36)
def a_heartbeat_with_a_payload(t):
    c = t.connect()
    c.write(frame(HEARTBEAT, 0, b"abc"))
    c.expect_close(501, None, None)


@behaviour(37)
def a_heartbeat_on_another_channel(t):
    c = t.connect()
    c.channel()
    c.write(frame(HEARTBEAT, 1, b""))
    c.expect_close(505, None, "type 8, all octets = <<>>")
