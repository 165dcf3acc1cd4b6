"""Behaviours 174-180: direct reply-to."""

from amqp import equal, true
from checks import behaviour

BARE = "amq.rabbitmq.reply-to"


def requester(t):
    """A channel with a reply consumer, and the address another channel sees in its request."""
    ch, queue = t.channel(), None
    ch.consume(BARE, tag="replies", no_ack=True)
    queue = t.queue(ch)
    ch.publish(b"question", key=queue, reply_to=BARE)
    return ch, ch.get(queue).properties["reply_to"]


@behaviour(174)
def the_reply_consumer(t):
    ch = t.channel()
    ch.refused(406, "basic.consume", "reply consumer cannot acknowledge", queue=BARE)
    tag = ch.consume(BARE, no_ack=True)
    ch.refused(406, "basic.consume", "reply consumer already set", queue=BARE, no_ack=True)
    tag = ch.consume(BARE, tag="mine", no_ack=True)
    equal(tag, "mine")
    ch.rpc("basic.cancel", consumer_tag=tag)
    ch.consume(BARE, no_ack=True)


@behaviour(175)
def the_address_is_put_in_the_request(t):
    ch, address = requester(t)
    true(address.startswith(BARE + ".") and len(address) > len(BARE) + 10, f"the address {address!r}")
    _, other = requester(t)
    true(address != other, "two requesters have two addresses")


@behaviour(175)
def a_request_without_the_consumer(t):
    ch = t.channel()
    ch.publish(b"question", key=t.queue(ch), reply_to=BARE)
    ch.expect_close(406, "basic.publish", "fast reply consumer does not exist")


@behaviour(176)
def the_answer(t):
    ch, address = requester(t)
    worker = t.channel()
    for body in (b"answer", b"", b"z" * 200000):
        worker.publish(body, key=address, correlation_id="c")
        event = ch.deliver()
        equal((event.body == body, event.exchange, event.routing_key, event.consumer_tag, event.redelivered),
              (True, "", address, "replies", False))
        equal(event.properties, {"correlation_id": "c"})
    ch.publish(b"to myself", key=address)
    equal(ch.deliver().body, b"to myself")
    worker.publish(b"wrong", key=address[:-3] + "xyz")
    worker.barrier()
    ch.quiet(0.1)


@behaviour(177)
def declaring_the_address(t):
    ch, address = requester(t)
    worker = t.channel()
    for passive in (True, False):
        ok = worker.rpc("queue.declare", queue=address, passive=passive)
        equal((ok.queue, ok.message_count, ok.consumer_count), (address, 0, 1))
    ch.close()
    worker.refused(404, "queue.declare", None, queue=address, passive=True)


@behaviour(177)
def declaring_the_address_on_its_own_channel(t):
    ch, address = requester(t)
    ch.send("queue.declare", queue=address, passive=True)
    ch.connection.expect_close(541, None, "")


@behaviour(178)
def the_address_goes_with_its_channel(t):
    ch, address = requester(t)
    worker = t.channel()
    ch.close()
    worker.refused(404, "queue.declare", None, queue=address)
    worker.publish(b"late", key=address, mandatory=True)
    equal(worker.expect("basic.return").body, b"late")
    ch.rpc("channel.open")
    ch.consume(BARE, tag="replies", no_ack=True)
    ch.quiet(0.1)


@behaviour(179)
def a_mandatory_answer(t):
    ch, address = requester(t)
    worker = t.channel()
    worker.publish(b"answer", key=address, mandatory=True)
    equal(worker.expect("basic.return").body, b"answer")
    equal(ch.deliver().body, b"answer")


@behaviour(180)
def publishing_to_the_bare_name(t):
    ch, _ = requester(t)
    ch.publish(b"x", key=BARE, mandatory=True)
    event = ch.expect("basic.return")
    equal((event.reply_code, event.routing_key), (312, BARE))
    ch.quiet(0.1)
