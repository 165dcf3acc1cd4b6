"""Clients that speak version 0-8, such as Python's amqplib: what has other octets there than in 0-9-1."""

import struct

from amqp import METHOD, equal, true
from checks import behaviour
from codec import long, method_frame, publish_frames, short

HEADS = (b"AMQP\1\1\x08\0", b"AMQP\1\1\x09\1")


def old_method(channel, class_id, method_id, arguments=b""):
    """A method frame with these octets."""
    payload = struct.pack(">HH", class_id, method_id) + arguments
    return struct.pack(">BHI", METHOD, channel, len(payload)) + payload + b"\xce"


def old_connection(t, head):
    """A connection of version 0-8 with channel 1 open."""
    c = t.socket()
    equal(c.start(head).server_properties["capabilities"], {}, "no extensions in 0-8")
    c.start_ok(client_properties={})
    c.expect("connection.tune")
    c.tune_ok()
    c.rpc("connection.open", virtual_host="/")
    c.write(method_frame(1, "channel.open"))
    equal(c.read_frame(), (METHOD, 1, bytes([0, 20, 0, 11])), "channel.open-ok has no argument")
    return c


@behaviour(6)
def version_0_8_consume_has_no_arguments(t):
    for head in HEADS:
        c = old_connection(t, head)
        c.write(method_frame(1, "queue.declare", exclusive=True))
        queue = c.next_event(1).queue
        c.write(publish_frames(1, b"old", key=queue))
        c.write(old_method(1, 60, 20, bytes(2) + short(queue) + short("tag") + b"\x02"))
        equal(c.next_event(1).name, "basic.consume-ok")
        delivery = c.next_event(1)
        equal((delivery.name, delivery.consumer_tag, delivery.body), ("basic.deliver", "tag", b"old"))
        c.drop()


@behaviour(6)
def version_0_8_closes_with_other_numbers(t):
    for head in HEADS:
        c = old_connection(t, head)
        c.write(old_method(0, 10, 60, struct.pack(">H", 200) + short("done") + bytes(4)))
        equal(c.read_frame(), (METHOD, 0, bytes([0, 10, 0, 61])), "connection.close-ok")
        c.drop()
        c = old_connection(t, head)
        c.write(publish_frames(1, immediate=True))
        text = "NOT_IMPLEMENTED - immediate=true"
        expected = bytes([0, 10, 0, 60]) + struct.pack(">H", 540) + short(text) + struct.pack(">HH", 60, 40)
        equal(c.read_frame(), (METHOD, 0, expected), "connection.close")
        c.write(old_method(0, 10, 61))
        c.expect_eof(exact=True)


@behaviour(6)
def version_0_8_has_no_extensions(t):
    for class_id, method_id, arguments in ((85, 10, b"\0"), (60, 120, bytes(9)), (40, 30, bytes(10) + long(""))):
        c = old_connection(t, HEADS[0])
        c.write(old_method(1, class_id, method_id, arguments))
        c.expect_eof()
    true(t.channel().rpc("confirm.select"), "in 0-9-1 they have their numbers")
