"""What only py-amqp lets a program do: the rest of the error codes, AMQPLAIN, methods that nobody else sends."""

from collections.abc import Callable
from urllib.parse import urlsplit

import amqp
from scenarios import scenario, unique, url


def _connect(**options: object) -> amqp.Connection:
    """Opens a connection of py-amqp, without kombu."""
    address = urlsplit(url())
    connection = amqp.Connection(f"{address.hostname}:{address.port}", **options)
    connection.connect()
    return connection


def _closes(expected: type[Exception], code: int, text: str, attempt: Callable[[amqp.Channel], object]) -> None:
    """Checks that the attempt closes its connection with the code and the text."""
    connection = _connect()
    channel = connection.channel()
    try:
        attempt(channel)
        channel.queue_declare("", exclusive=True)  # For attempts that wait for no answer.
    except expected as error:
        assert (error.reply_code, error.reply_text) == (code, text), error
    else:
        raise AssertionError("not refused")


@scenario("AMQPLAIN")
def amqplain() -> None:
    """The login mechanism AMQPLAIN, a field table, works like PLAIN, and refuses like it."""
    with _connect(login_method="AMQPLAIN") as connection:
        connection.channel().queue_declare("", exclusive=True)
    try:
        _connect(login_method="AMQPLAIN", password="wrong")
    except amqp.AccessRefused as error:
        assert error.reply_code == 403 and "authentication mechanism AMQPLAIN" in error.reply_text, error
    else:
        raise AssertionError("logged in")


@scenario("530 consumer tag in use")
def tag_in_use() -> None:
    """A consumer tag used twice on a channel closes the connection with 530 NOT_ALLOWED."""
    queue, tag = unique("queue"), unique("tag")

    def consume_twice(channel: amqp.Channel) -> None:
        channel.queue_declare(queue, exclusive=True)
        for _ in range(2):
            channel.basic_consume(queue, consumer_tag=tag)

    _closes(amqp.NotAllowed, 530, f"NOT_ALLOWED - attempt to reuse consumer tag '{tag}'", consume_twice)


@scenario("530 unknown virtual host")
def unknown_vhost() -> None:
    """Opening a virtual host that is not there: 530 NOT_ALLOWED."""
    try:
        _connect(virtual_host="nowhere")
    except amqp.NotAllowed as error:
        assert (error.reply_code, error.reply_text) == (530, "NOT_ALLOWED - vhost nowhere not found")
    else:
        raise AssertionError("opened")


@scenario("540 immediate")
def immediate() -> None:
    """The immediate flag of publish closes the connection with 540 NOT_IMPLEMENTED."""
    message = amqp.Message("now")
    _closes(
        amqp.AMQPNotImplementedError,
        540,
        "NOT_IMPLEMENTED - immediate=true",
        lambda channel: channel.basic_publish(message, "", unique("nobody"), immediate=True),
    )


@scenario("503 exchange of an unknown type")
def unknown_type() -> None:
    """Declaring an exchange of a type that is not there closes the connection with 503 COMMAND_INVALID."""
    _closes(
        amqp.InvalidCommand,
        503,
        "COMMAND_INVALID - unknown exchange type 'x-new'",
        lambda channel: channel.exchange_declare(unique("exchange"), "x-new"),
    )


@scenario("every type of header")
def header_types() -> None:
    """Field values of every type that py-amqp writes come back with the value they had."""
    import datetime
    import decimal

    headers = {
        "text": "grüße", "int": 2**31 - 1, "long": -(2**63), "double": 3.25, "decimal": decimal.Decimal("12.345"),
        "time": datetime.datetime(2026, 1, 2, 3, 4, 5), "void": None, "true": True, "false": False,
        "table": {"list": [1, {"deep": "down"}, []]}, "list": ["a", 1, None, True, 0.5],
    }  # fmt: skip
    with _connect() as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).queue
        channel.basic_publish(amqp.Message(b"", application_headers=headers), "", queue)
        assert channel.basic_get(queue, no_ack=True).headers == headers


@scenario("methods without an answer")
def nowait() -> None:
    """Declaring, binding, consuming, cancelling and deleting with nowait do their work without an answer."""
    with _connect() as connection:
        channel = connection.channel()
        name, received = unique("quiet"), []
        channel.exchange_declare(name, "direct", auto_delete=False, nowait=True)
        channel.queue_declare(name, exclusive=True, auto_delete=False, nowait=True)
        channel.queue_bind(name, name, "key", nowait=True)
        channel.basic_consume(name, callback=received.append, no_ack=True, consumer_tag=name, nowait=True)
        channel.basic_publish(amqp.Message("first"), name, "key")
        while not received:
            connection.drain_events(timeout=5)
        channel.basic_cancel(name, nowait=True)
        channel.basic_publish(amqp.Message("second"), name, "key")
        assert channel.basic_get(name, no_ack=True).body == "second"
        channel.queue_purge(name, nowait=True)
        channel.queue_delete(name, nowait=True)
        channel.exchange_delete(name, nowait=True)
        try:
            channel.queue_declare(name, passive=True)
        except amqp.NotFound:
            pass
        else:
            raise AssertionError("still there")
