"""Exchanges: who gets a copy of what."""

import pika
from scenarios import scenario, unique
from support import Consumer, get_all, open_channel


def _published(channel, exchange: str, keys: list[str], headers: list[dict] | None = None) -> None:
    """Publishes one message for each key, its content the key; or one for each table of headers, numbered."""
    for key in keys:
        channel.basic_publish(exchange, key, key.encode())
    for number, table in enumerate(headers or []):
        channel.basic_publish(exchange, "", b"%d" % number, pika.BasicProperties(headers=table))


@scenario("publish and subscribe")
def fanout() -> None:
    """A fanout exchange gives every bound queue a copy, whatever the key; unbound queues get nothing any more."""
    with open_channel() as channel:
        exchange = unique("logs")
        channel.exchange_declare(exchange, "fanout", auto_delete=True)
        queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
        for queue in queues:
            channel.queue_bind(queue, exchange)
        _published(channel, exchange, ["one", ""])
        channel.queue_unbind(queues[2], exchange)
        _published(channel, exchange, ["three"])
        assert [get_all(channel, queue) for queue in queues] == [[b"one", b"", b"three"]] * 2 + [[b"one", b""]]


@scenario("direct routing")
def direct() -> None:
    """A direct exchange compares keys; two keys bind one queue, one key binds two; no match is dropped."""
    with open_channel() as channel:
        exchange = unique("levels")
        channel.exchange_declare(exchange, "direct", auto_delete=True)
        errors, everything = (channel.queue_declare("", exclusive=True).method.queue for _ in range(2))
        channel.queue_bind(errors, exchange, "error")
        for level in ("info", "warning", "error"):
            channel.queue_bind(everything, exchange, level)
        channel.queue_bind(everything, exchange, "error")  # Twice is once.
        _published(channel, exchange, ["error", "info", "debug", "warning", "Error"])
        assert get_all(channel, errors) == [b"error"]
        assert get_all(channel, everything) == [b"error", b"info", b"warning"]


@scenario("topic routing")
def topic() -> None:
    """`*` stands for exactly one word, `#` for any number, none included."""
    patterns = {
        "*.orange.*": ["quick.orange.rabbit", "lazy.orange.elephant"],
        "*.*.rabbit": ["quick.orange.rabbit", "lazy.pink.rabbit"],
        "lazy.#": ["lazy.orange.elephant", "lazy.pink.rabbit", "lazy", "lazy.orange.new.male.rabbit"],
        "#": ["quick.orange.rabbit", "lazy.orange.elephant", "lazy.pink.rabbit", "lazy",
              "lazy.orange.new.male.rabbit", "orange", ""],
        "*": ["lazy", "orange"],
        "#.rabbit": ["quick.orange.rabbit", "lazy.pink.rabbit", "lazy.orange.new.male.rabbit"],
        "lazy.#.rabbit": ["lazy.pink.rabbit", "lazy.orange.new.male.rabbit"],
        "lazy": ["lazy"],
    }  # fmt: skip
    with open_channel() as channel:
        exchange = unique("animals")
        channel.exchange_declare(exchange, "topic", auto_delete=True)
        queues = {pattern: channel.queue_declare("", exclusive=True).method.queue for pattern in patterns}
        for pattern, queue in queues.items():
            channel.queue_bind(queue, exchange, pattern)
        _published(channel, exchange, patterns["#"])
        for pattern, keys in patterns.items():
            got = [body.decode() for body in get_all(channel, queues[pattern])]
            assert got == keys, f"{pattern}: {got}"


@scenario("headers routing")
def headers() -> None:
    """x-match all wants every header of the binding, any wants one; values count with their type."""
    bindings = {
        "all": {"x-match": "all", "format": "pdf", "pages": 2},
        "any": {"x-match": "any", "format": "pdf", "pages": 2},
        "default": {"format": "pdf", "pages": 2},
        "nothing": {},
    }
    tables = [{"format": "pdf", "pages": 2, "more": True}, {"format": "pdf"}, {"pages": 2}, {"pages": "2"}, {}]
    expected = {"all": [b"0"], "any": [b"0", b"1", b"2"], "default": [b"0"], "nothing": [b"%d" % n for n in range(5)]}
    with open_channel() as channel:
        exchange = unique("documents")
        channel.exchange_declare(exchange, "headers", auto_delete=True)
        queues = {name: channel.queue_declare("", exclusive=True).method.queue for name in bindings}
        for name, arguments in bindings.items():
            channel.queue_bind(queues[name], exchange, arguments=arguments)
        _published(channel, exchange, [], tables)
        assert {name: get_all(channel, queue) for name, queue in queues.items()} == expected


@scenario("headers routing with x- headers")
def headers_with_x() -> None:
    """Headers that begin with x- are left out of the match, except with all-with-x and any-with-x."""
    with open_channel() as channel:
        queues = {}
        exchange = unique("documents")
        channel.exchange_declare(exchange, "headers", auto_delete=True)
        for match in ("all", "any", "all-with-x", "any-with-x"):
            queues[match] = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queues[match], exchange, arguments={"x-match": match, "x-kind": "a", "size": 1})
        _published(channel, exchange, [], [{"size": 1}, {"x-kind": "a"}, {"x-kind": "a", "size": 1}])
        got = {match: get_all(channel, queue) for match, queue in queues.items()}
        assert got == {
            "all": [b"0", b"2"],
            "any": [b"0", b"2"],
            "all-with-x": [b"2"],
            "any-with-x": [b"0", b"1", b"2"],
        }, got


@scenario("predeclared exchanges")
def predeclared() -> None:
    """amq.direct, amq.fanout, amq.topic, amq.headers and amq.match are there and route."""
    with open_channel() as channel:
        key = unique("key")
        for kind in ("direct", "fanout", "topic", "headers", "match"):
            exchange = f"amq.{kind}"
            channel.exchange_declare(exchange, passive=True)
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queue, exchange, key, arguments={key: 1})
            channel.basic_publish(exchange, key, kind.encode(), pika.BasicProperties(headers={key: 1}))
            # Other scenarios publish to amq.fanout, too.
            assert kind.encode() in get_all(channel, queue), exchange


@scenario("exchange to exchange")
def exchange_to_exchange() -> None:
    """Exchanges bind to exchanges, in circles too; a queue that several ways lead to gets one copy."""
    with open_channel() as channel:
        source, filtered, copies = (unique(name) for name in ("source", "filtered", "copies"))
        channel.exchange_declare(source, "topic", auto_delete=True)
        channel.exchange_declare(filtered, "direct")
        channel.exchange_declare(copies, "fanout")
        channel.exchange_bind(filtered, source, "#")
        channel.exchange_bind(copies, source, "a.*")
        channel.exchange_bind(source, copies)  # A circle.
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, filtered, "a.b")
        channel.queue_bind(queue, copies)
        _published(channel, source, ["a.b", "a.c", "b.c"])
        messages = [channel.basic_get(queue, auto_ack=True) for _ in range(3)]
        assert [body for _, _, body in messages] == [b"a.b", b"a.c", None]
        assert messages[0][0].exchange == source, "the exchange it was published to"
        channel.exchange_unbind(copies, source, "a.*")
        _published(channel, source, ["a.b", "a.c"])
        assert get_all(channel, queue) == [b"a.b"]
        for exchange in (filtered, copies):
            channel.exchange_delete(exchange)


@scenario("alternate exchange")
def alternate_exchange() -> None:
    """What finds no queue goes to the alternate exchange, as published; a mandatory message counts as routed."""
    with open_channel() as channel:
        main, spare = unique("main"), unique("spare")
        channel.exchange_declare(spare, "fanout", auto_delete=True)
        channel.exchange_declare(main, "direct", auto_delete=True, arguments={"alternate-exchange": spare})
        known, unknown = (channel.queue_declare("", exclusive=True).method.queue for _ in range(2))
        channel.queue_bind(known, main, "known")
        channel.queue_bind(unknown, spare)
        channel.confirm_delivery()
        for key in ("known", "strange"):
            channel.basic_publish(main, key, key.encode(), mandatory=True)
        assert get_all(channel, known) == [b"known"]
        method, _, body = channel.basic_get(unknown, auto_ack=True)
        assert (method.exchange, method.routing_key, body) == (main, "strange", b"strange")
        assert get_all(channel, unknown) == []


@scenario("CC and BCC")
def carbon_copies() -> None:
    """CC and BCC name more routing keys; BCC is taken out of what is delivered, CC stays; one copy for each queue."""
    with open_channel() as channel:
        to, cc, bcc = (channel.queue_declare("", exclusive=True).method.queue for _ in range(3))
        headers = {"CC": [cc, to], "BCC": [bcc], "other": 1}
        channel.basic_publish("", to, b"letter", pika.BasicProperties(headers=headers))
        for queue in (to, cc, bcc):
            (message,) = Consumer(channel, queue, auto_ack=True).wait(1)
            assert message.properties.headers == {"CC": [cc, to], "other": 1}
            assert message.method.routing_key == to
            assert get_all(channel, queue) == []
