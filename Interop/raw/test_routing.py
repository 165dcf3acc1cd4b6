"""Behaviours 166-172: which bindings match."""

import itertools

from amqp import Field, equal
from checks import behaviour


def matching(t, ch, kind, bindings, messages):
    """Binds a queue for each (key, arguments) and publishes each (key, headers); answers which queues got which."""
    exchange = t.exchange(ch, kind)
    queues = []
    for key, arguments in bindings:
        queues.append(ch.rpc("queue.declare", exclusive=True).queue)
        ch.bind(queues[-1], exchange, key, arguments=arguments)
    for number, (key, headers) in enumerate(messages):
        ch.publish(b"%d" % number, exchange=exchange, key=key, headers=headers)
    ch.barrier()
    return [[int(body) for body in ch.drain(queue)] for queue in queues]


def topic_matches(pattern, key):
    """Whether a topic pattern matches, both as lists of words."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(topic_matches(pattern[1:], key[at:]) for at in range(len(key) + 1))
    return bool(key) and pattern[0] in ("*", key[0]) and topic_matches(pattern[1:], key[1:])


def words(key):
    """The words of a routing key; the empty one has none."""
    return key.split(".") if key else []


@behaviour(166)
def the_default_exchange(t):
    ch = t.channel()
    queue, other = t.queue(ch), t.queue(ch)
    ch.publish(b"x", key=queue, mandatory=True)
    ch.publish(b"back", key=queue + ".", mandatory=True)
    equal(ch.expect("basic.return").body, b"back")
    message = ch.get(queue)
    equal((message.exchange, message.routing_key, message.body), ("", queue, b"x"))
    equal(ch.get(other), None)


@behaviour(167, 168)
def topic_patterns(t):
    patterns = ["", "#", "*", "a", "a.*", "*.a", "a.#", "#.a", "*.*", "#.#", "*.#", "a.*.b", "a.#.b", "#.a.#", "a..b",
                "a.*.*", "a*", "#b", "*a.b", "a.#b", ".", "..", "*.", ".*", "a.#.#", "#.b.*"]
    keys = ["", "a", "b", "ab", "a.b", "a.a", "a..b", "a.b.b", "a.c.b", "a.", ".a", ".", "..", "a*", "#b", "*a.b",
            "a.#b", "*", "#", "a.b.c.b", "a.x.b.y", "A", "a.*"]
    ch = t.channel()
    got = matching(t, ch, "topic", [(pattern, {}) for pattern in patterns], [(key, None) for key in keys])
    for pattern, numbers in zip(patterns, got):
        equal([keys[number] for number in numbers],
              [key for key in keys if topic_matches(words(pattern), words(key))], f"what {pattern!r} matches")


@behaviour(167)
def topic_patterns_all_of_three_words(t):
    patterns = [".".join(parts) for size in (1, 2, 3) for parts in itertools.product("a*#", repeat=size)]
    keys = [""] + [".".join(parts) for size in (1, 2, 3) for parts in itertools.product("ab", repeat=size)]
    ch = t.channel()
    got = matching(t, ch, "topic", [(pattern, {}) for pattern in patterns], [(key, None) for key in keys])
    for pattern, numbers in zip(patterns, got):
        equal([keys[number] for number in numbers],
              [key for key in keys if topic_matches(words(pattern), words(key))], f"what {pattern!r} matches")


@behaviour(167)
def topic_bindings_that_are_taken_away(t):
    ch = t.channel()
    exchange, queue = t.exchange(ch, "topic"), t.queue(ch)
    keys = ["a.b", "a.#", "#", "a.*", "a.b.c"]
    for key in keys:
        ch.bind(queue, exchange, key)
    for key in keys:
        ch.publish(key.encode(), exchange=exchange, key="a.b")
        ch.rpc("queue.unbind", queue=queue, exchange=exchange, routing_key=key)
    # After #, a.* is what still matches, and a.b.c does not.
    equal(ch.drain(queue), [b"a.b", b"a.#", b"#", b"a.*"])


@behaviour(166, 172)
def direct_and_fanout(t):
    ch = t.channel()
    keys = [("k", None), ("K", None), ("k.", None), ("", None), ("*", None)]
    equal(matching(t, ch, "direct", [("k", {}), ("*", {}), ("#", {}), ("", {}), ("k", {})], keys),
          [[0], [4], [], [3], [0]])
    equal(matching(t, ch, "fanout", [("k", {}), ("never", {})], keys), [[0, 1, 2, 3, 4]] * 2)


@behaviour(169)
def headers_matches(t):
    messages = [("", headers) for headers in (
        {}, {"a": 1}, {"a": 1, "b": "2"}, {"a": 2, "b": "2"}, {"b": "2", "x-c": 3}, {"x-c": 3}, {"a": None},
        {"a": 1, "b": "2", "x-c": 3, "d": True})]
    bindings = [
        ({"a": 1, "b": "2"}, [2, 7]), ({"x-match": "all", "a": 1, "b": "2"}, [2, 7]),
        ({"x-match": "any", "a": 1, "b": "2"}, [1, 2, 3, 4, 7]), ({}, list(range(8))), ({"x-match": "any"}, []),
        ({"x-match": "all"}, list(range(8))), ({"a": None}, [1, 2, 3, 6, 7]), ({"a": 1, "x-c": 9}, [1, 2, 7]),
        ({"x-match": "any", "x-c": 3}, []), ({"x-match": "all-with-x", "b": "2", "x-c": 3}, [4, 7]),
        ({"x-match": "any-with-x", "a": 2, "x-c": 3}, [3, 4, 5, 7]), ({"x-match": "all-with-x"}, list(range(8))),
        ({"x-match": "any-with-x"}, []), ({"x-match": "any", "d": None, "a": Field("t", True)}, [7]),
        ({"x-match": "all", "d": True}, [7])]
    got = matching(t, t.channel(), "headers", [("k", arguments) for arguments, _ in bindings], messages)
    for (arguments, expected), numbers in zip(bindings, got):
        equal(numbers, expected, f"what {arguments} matches")


@behaviour(169)
def messages_without_headers(t):
    got = matching(t, t.channel(), "headers", [("", {}), ("", {"a": 1}), ("", {"x-match": "any", "a": None})],
                   [("", None)])
    equal(got, [[0], [], []])


@behaviour(170)
def header_values_of_different_types(t):
    messages = [("", {"a": value}) for value in (
        Field("b", 5), Field("s", 5), Field("I", 5), Field("l", 5), Field("B", 5), Field("u", 5), Field("i", 5), "5",
        Field("d", 5.0), Field("T", 5), True, "true", Field("x", b"5"))]
    got = matching(t, t.channel(), "headers",
                   [("", {"a": Field("b", 5)}), ("", {"a": Field("l", 5)}), ("", {"a": "5"}), ("", {"a": True})],
                   messages)
    equal(got[:2], [[0, 1, 2, 3, 4, 5, 6, 8, 9]] * 2, "numbers")
    equal(got[2:], [[7, 12], [10]], "strings and truth values")


@behaviour(171)
def another_x_match(t):
    ch = t.channel()
    exchange, queue = t.exchange(ch, "headers"), t.queue(ch)
    for value in ("some", "ALL"):
        ch.refused(406, "queue.bind", f'Invalid x-match field value <<"{value}">>; expected all, any, all-with-x, or '
                                      "any-with-x",
                   queue=queue, exchange=exchange, arguments={"x-match": value})
    ch.refused(406, "queue.bind", None, queue=queue, exchange=exchange, arguments={"x-match": 1})


@behaviour(172)
def several_bindings_deliver_once(t):
    ch = t.channel()
    for kind, keys in (("direct", ["k", "k"]), ("topic", ["k", "#", "*", "k.#"]), ("fanout", ["a", "b"])):
        exchange, queue = t.exchange(ch, kind), t.queue(ch)
        for number, key in enumerate(keys):
            ch.bind(queue, exchange, key, arguments={"n": number})
        ch.publish(b"once", exchange=exchange, key="k")
        ch.barrier()
        equal(ch.drain(queue), [b"once"], kind)
