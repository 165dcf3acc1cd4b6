"""What RabbitMQ's own tests of the server led to: details of queues, consumers and confirms that a client can see."""

from amqp import equal
from checks import behaviour
from codec import Field

QUORUM = {"x-queue-type": "quorum"}


@behaviour()
def integers_are_no_fractions_when_declared_again(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-max-length": 60})
    for same in (Field("b", 60), Field("u", 60), Field("l", 60), Field("T", 60)):
        ch.rpc("queue.declare", queue=queue, arguments={"x-max-length": same})
    ch.refused(406, "queue.declare", f"inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': received '60.0' "
                                     "but current is '60'", queue=queue, arguments={"x-max-length": 60.0})


@behaviour()
def a_void_argument_is_none_when_declared_again(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-max-length": 60})
    ch.refused(406, "queue.declare", f"inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': received none "
                                     "but current is '60'", queue=queue, arguments={"x-max-length": None})


@behaviour()
def consumer_arguments_of_other_queue_types(t):
    ch = t.channel()
    for kind, names in (("classic", ("x-stream-offset",)), ("quorum", ("x-stream-offset", "x-cancel-on-ha-failover"))):
        queue = t.queue(ch, durable=True, arguments={"x-queue-type": kind})
        for name in names:
            ch.refused(406, "basic.consume", f"invalid arg '{name}' for queue '{queue}' in vhost '/' of queue type "
                                             f"rabbit_{kind}_queue", queue=queue, arguments={name: True})


@behaviour()
def cancel_on_ha_failover_is_a_truth_value(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.consume(queue, arguments={"x-cancel-on-ha-failover": True})
    ch.refused(406, "basic.consume", f"invalid arg 'x-cancel-on-ha-failover' for queue '{queue}' in vhost '/': "
                                     "{unacceptable_type,longstr}", queue=queue,
               arguments={"x-cancel-on-ha-failover": "yes"})


@behaviour()
def full_before_used(t):
    ch = t.channel()
    queue = t.queue(ch)
    ch.rpc("basic.qos", prefetch_count=1)
    ch.consume(queue)
    ch.fill(queue, b"1", b"2")
    ch.deliver()
    ch.refused(406, "queue.delete", f"queue '{queue}' in vhost '/' not empty", queue=queue, if_unused=True, if_empty=True)


@behaviour()
def what_is_recovered_goes_to_the_end_of_a_quorum_queue(t):
    ch = t.channel()
    queue = t.queue(ch, durable=True, arguments=QUORUM)
    ch.fill(queue, b"0", b"1", b"2", b"3")
    ch.rpc("basic.qos", prefetch_count=2)
    ch.consume(queue)
    equal([ch.deliver().body for _ in range(2)], [b"0", b"1"])
    ch.rpc("basic.recover", requeue=True)
    equal([ch.deliver().body for _ in range(2)], [b"2", b"3"])
    ch.send("basic.ack", delivery_tag=4, multiple=True)
    again = [ch.deliver() for _ in range(2)]
    equal([(message.body, message.redelivered) for message in again], [(b"0", True), (b"1", True)])


@behaviour()
def what_is_recovered_keeps_its_place_where_returns_are_counted(t):
    ch = t.channel()
    queue = t.queue(ch, durable=True, arguments={**QUORUM, "x-delivery-limit": 9})
    ch.fill(queue, b"0", b"1", b"2", b"3")
    ch.rpc("basic.qos", prefetch_count=2)
    ch.consume(queue)
    equal([ch.deliver().body for _ in range(2)], [b"0", b"1"])
    ch.rpc("basic.recover", requeue=True)
    equal([ch.deliver().body for _ in range(2)], [b"0", b"1"])


@behaviour()
def a_nack_covers_what_is_settled_before_it(t):
    ch = t.channel()
    queue = t.queue(ch, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    ch.rpc("confirm.select")
    for tag in range(1, 4):
        ch.publish(b"x", key=queue)
        nack = ch.expect("basic.nack")
        equal((nack.delivery_tag, nack.multiple, nack.requeue), (tag, True, True))
    ch.publish(b"x", key=t.name("nowhere"))
    ack = ch.expect("basic.ack")
    equal((ack.delivery_tag, ack.multiple), (4, False))


@behaviour()
def history_lengths_are_signed(t):
    ch = t.channel()
    t.exchange(ch, "x-recent-history", arguments={"x-recent-history-length": Field("s", 7)})
    ch.refused(406, "exchange.declare", "Invalid argument 7, 'x-recent-history-length' must be a positive integer",
               exchange=t.name("e"), type="x-recent-history", arguments={"x-recent-history-length": Field("u", 7)})


@behaviour()
def delivery_modes_are_one_or_two(t):
    ch = t.channel()
    queue = t.queue(ch)
    for mode in (0, 3, 255):
        for more in ({}, {"headers": {"a": 1}}, {"message_id": "x"}, {"expiration": "5000"}):
            ch.publish(b"x", key=queue, delivery_mode=mode, **more)
            ch.expect_close(406, "basic.publish", f"invalid message: {{delivery_mode_unknown,{mode}}}")
            ch.rpc("channel.open")
        # Behind one that could be published.
        ch.publish(b"y", key=queue, delivery_mode=1)
        ch.publish(b"x", key=queue, delivery_mode=mode)
        ch.expect_close(406, "basic.publish", f"invalid message: {{delivery_mode_unknown,{mode}}}")
        ch.rpc("channel.open")
    t.counts(ch, queue, 3)


@behaviour()
def expirations_as_erlang_prints_them(t):
    ch = t.channel()
    queue = t.queue(ch)
    for expiration, reason in (
            ("0000000" + 15 * "9", f"{{value_too_large,{15 * '9'}}}"),
            ("00000000" + 15 * "9", f"{{value_too_large,\n{47 * ' '}{15 * '9'}}}"),
            ("-" + 18 * "9", f"{{value_negative,-{18 * '9'}}}"),
            ("-" + 19 * "9", f"{{value_negative,\n{44 * ' '}-{19 * '9'}}}"),
            ("1" + 17 * "a", f'{{leftover_string,"{17 * "a"}"}}'),
            ("1" + 18 * "a", f'{{leftover_string,\n{43 * " "}"{18 * "a"}"}}'),
            ("5\n", '{leftover_string,"\\n"}'), ("5\"", '{leftover_string,"\\""}'), ("5\0", "{leftover_string,[0]}")):
        ch.publish(b"x", key=queue, expiration=expiration)
        ch.expect_close(406, "basic.publish", f"invalid expiration '{expiration}': {reason}")
        ch.rpc("channel.open")


@behaviour()
def names_of_line_ends_are_no_names(t):
    ch = t.channel()
    made = ch.rpc("queue.declare", queue="\r\n", exclusive=True).queue
    equal(made.startswith("amq.gen-"), True)
    ch.refused(404, "queue.declare", "no queue '' in vhost '/'", queue="", passive=True)
    ch.refused(404, "queue.declare", "no queue 'amq.rabbitmq.reply-to.x' in vhost '/'", queue="amq.rabbitmq.reply-to.x")
