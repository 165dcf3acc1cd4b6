"""Behaviour 173 and the other exchange types of RabbitMQ's plugins, and messages that wait.

`Interop/lib/rabbitmq` starts a RabbitMQ with the plugins that come with it; x-delayed-message is not among them.
"""

import time

from amqp import Field, equal, true
from checks import behaviour


def knows_delays(t):
    """Whether the broker lets messages wait: RabbitMQ needs a plugin for it that does not come with it."""
    return t.socket().start().server_properties["product"] != "RabbitMQ"


def spread(t, ch, kind, bindings, messages, arguments=()):
    """Binds queues by name with keys, publishes (key, properties); answers the bodies by the queues' names."""
    exchange = t.exchange(ch, kind, arguments=arguments)
    queues = {}
    for name, key in bindings:
        if name not in queues:
            queues[name] = t.queue(ch, exclusive=True)
        ch.bind(queues[name], exchange, key)
    for number, (key, values) in enumerate(messages):
        ch.publish(b"%d" % number, exchange=exchange, key=key, **values)
    ch.barrier()
    return {name: [int(body) for body in ch.drain(queue)] for name, queue in queues.items()}


@behaviour(173)
def consistent_hashing(t):
    ch = t.channel()
    keys = [f"k{number // 2}" for number in range(2000)]
    got = spread(t, ch, "x-consistent-hash", [("a", "1"), ("b", "3")], [(key, {}) for key in keys])
    equal(sum(len(numbers) for numbers in got.values()), 2000, "every message once")
    true(400 < len(got["a"]) < 600, f"a quarter for a quarter of the weight, not {len(got['a'])}")
    for numbers in got.values():
        equal(len({keys[number] for number in numbers}) * 2, len(numbers), "one queue for each key")
    for arguments, values in (({"hash-header": "h"}, lambda n: {"headers": {"h": str(n)}}),
                              ({"hash-property": "message_id"}, lambda n: {"message_id": str(n)}),
                              ({"hash-property": "correlation_id"}, lambda n: {"correlation_id": str(n)}),
                              ({"hash-property": "timestamp"}, lambda n: {"timestamp": n})):
        got = spread(t, ch, "x-consistent-hash", [("a", "1"), ("b", "1")],
                     [("k", values(number)) for number in range(200)], arguments)
        true(all(40 < len(numbers) < 160 for numbers in got.values()), f"both queues with {arguments}: {got}")


@behaviour(173)
def consistent_hashing_refusals(t):
    ch = t.channel()
    exchange, queue = t.exchange(ch, "x-consistent-hash"), t.queue(ch)
    for key, text in (("0", "The binding key must be greater than 0"), ("-1", "The binding key must be greater than 0"),
                      ("abc", 'The binding key must be an integer: <<"abc">>'),
                      ("1.5", 'The binding key must be an integer: <<"1.5">>'),
                      ("", "The binding key must be an integer: <<>>")):
        ch.refused(406, "queue.bind", text, queue=queue, exchange=exchange, routing_key=key)
    for arguments, text in (({"hash-header": "h", "hash-property": "message_id"},
                             "hash-header and hash-property are mutually exclusive"),
                            ({"hash-property": "app_id"}, "Unsupported property: app_id")):
        ch.refused(406, "exchange.declare", text, exchange=t.name("e"), type="x-consistent-hash", arguments=arguments)


@behaviour()
def random_and_modulus(t):
    ch = t.channel()
    bindings = [("a", str(number)) for number in range(9)] + [("b", "x")]
    for kind in ("x-random", "x-modulus-hash"):
        got = spread(t, ch, kind, bindings, [(f"k{number}", {}) for number in range(1000)])
        equal(sorted(got["a"] + got["b"]), list(range(1000)), f"{kind}: every message once")
        true(30 < len(got["b"]) < 200, f"{kind}: a tenth for one binding of ten, not {len(got['b'])}")


@behaviour()
def recent_history(t):
    ch = t.channel()
    exchange = t.exchange(ch, "x-recent-history", arguments={"x-recent-history-length": 3})
    for number in range(5):
        ch.publish(b"%d" % number, exchange=exchange, key=f"r{number}")
    ch.publish(b"not kept", exchange=exchange, headers={"x-recent-history-no-store": True})
    ch.publish(b"kept", exchange=exchange, headers={"x-recent-history-no-store": 1})
    ch.publish(b"returned", exchange=exchange, key="m", mandatory=True)
    equal(ch.expect("basic.return").reply_code, 312)
    queue = t.queue(ch)
    ch.bind(queue, exchange, "z")
    equal(ch.drain(queue), [b"4", b"kept", b"returned"])
    ch.bind(queue, exchange, "z")
    equal(ch.drain(queue), [], "the same binding again")
    ch.bind(queue, exchange, "y")
    equal(ch.drain(queue), [b"4", b"kept", b"returned"], "another binding")
    ch.publish(b"live", exchange=exchange)
    ch.barrier()
    equal(ch.drain(queue), [b"live"])
    for value, text in ((0, "0"), (-1, "-1"), ("10", '<<"10">>')):
        ch.refused(406, "exchange.declare",
                   f"Invalid argument {text}, 'x-recent-history-length' must be a positive integer",
                   exchange=t.name("e"), type="x-recent-history", arguments={"x-recent-history-length": value})


def waits(t, ch, queue, exchange, key, headers, least, most):
    """Publishes and checks how many seconds the delivery takes."""
    begin = time.monotonic()
    ch.publish(b"m", exchange=exchange, key=key, headers=headers)
    t.counts(ch, queue, 1)
    passed = time.monotonic() - begin
    true(least <= passed <= most, f"{headers}: {passed} s")
    return ch.get(queue)


@behaviour()
def delayed_message_exchange(t):
    if not knows_delays(t):
        return
    ch = t.channel()
    exchange = t.exchange(ch, "x-delayed-message", arguments={"x-delayed-type": "direct"})
    queue = t.queue(ch)
    ch.bind(queue, exchange, "k")
    message = waits(t, ch, queue, exchange, "k", {"x-delay": 500}, 0.5, 3)
    equal(message.properties["headers"], {"x-delay": -500})
    waits(t, ch, queue, exchange, "k", {"x-delay": Field("l", 300)}, 0.3, 3)
    for delay in (0, -1, "500"):
        waits(t, ch, queue, exchange, "k", {"x-delay": delay}, 0, 2)
    ch.publish(b"m", exchange=exchange, key="k", headers={"x-delay": 200}, mandatory=True)
    equal(ch.expect("basic.return").reply_code, 312, "what waits has no route yet")
    t.counts(ch, queue, 1)
    for arguments, text in (({}, "Invalid argument, 'x-delayed-type' must be an existing exchange type"),
                            ({"x-delayed-type": "x-delayed-message"},
                             "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'")):
        ch.refused(406, "exchange.declare", text, exchange=t.name("e"), type="x-delayed-message", arguments=arguments)


@behaviour()
def any_exchange_lets_wait(t):
    if not knows_delays(t):
        return
    ch = t.channel()
    queue = t.queue(ch)
    waits(t, ch, queue, "", queue, {"x-delay": 400}, 0.4, 3)
    waits(t, ch, queue, "", queue, {"x-deliver-at": Field("l", int(time.time() * 1000) + 600)}, 0.4, 3)
    waits(t, ch, queue, "", queue, {"x-deliver-at": Field("l", 1)}, 0, 2)


@behaviour()
def a_key_passes_once(t):
    if not knows_delays(t):
        return
    ch = t.channel()
    exchange = t.exchange(ch, "fanout", arguments={"x-message-deduplication": True, "x-cache-ttl": 2000})
    queue = t.queue(ch)
    ch.bind(queue, exchange, "k")
    ch.rpc("confirm.select")
    for number, key in enumerate(["a", "a", "b", None, None, "a"]):
        headers = {} if key is None else {"x-deduplication-header": key}
        ch.publish(str(number).encode(), exchange=exchange, key="k", headers=headers)
        equal(ch.expect("basic.ack").delivery_tag, number + 1)
    t.counts(ch, queue, 4)
    time.sleep(2.1)
    ch.publish(b"6", exchange=exchange, key="k", headers={"x-deduplication-header": "a"})
    equal(ch.expect("basic.ack").delivery_tag, 7)
    t.counts(ch, queue, 5)
    equal([ch.get(queue).body for _ in range(5)], [b"0", b"2", b"3", b"4", b"6"])
