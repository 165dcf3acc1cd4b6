"""Publishing: properties, confirms, returns, transactions, refusals."""

import asyncio
import ssl
from datetime import UTC, datetime

import aio_pika
import aiormq
from aio_pika import ExchangeType, Message
from scenarios import scenario, tls_authority, tls_url, unique, url
from support import asynchronous, open_channel
from yarl import URL


@scenario("hello world")
@asynchronous
async def hello_world() -> None:
    """A message published to the default exchange is read from its queue."""
    connection = await aio_pika.connect(url())
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(unique("hello"), auto_delete=True)
        await channel.default_exchange.publish(Message(b"Hello, World!"), routing_key=queue.name)

        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    assert (message.body, message.redelivered) == (b"Hello, World!", False)
                break


@scenario("TLS")
@asynchronous
async def tls() -> None:
    """The same over TLS with the certificate verified."""
    context = ssl.create_default_context(cafile=tls_authority())
    connection = await aio_pika.connect(tls_url(), ssl_context=context)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await channel.default_exchange.publish(Message(b"Hello, TLS!"), routing_key=queue.name)
        assert (await queue.get(no_ack=True)).body == b"Hello, TLS!"


@scenario("properties")
@asynchronous
async def properties() -> None:
    """Headers of Python's types and all properties come back as they were published."""
    sent = Message(
        bytes(range(256)) * 1024,
        headers={
            "text": "grüße", "number": -1, "large": 2**40, "fraction": 0.5, "bytes": bytearray(b"\x00\xff"),
            "yes": True, "nothing": None, "list": [1, "two", [3]], "table": {"inner": {"deep": 1}},
            "time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        },
        content_type="application/octet-stream",
        content_encoding="identity",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        priority=9,
        correlation_id="correlation",
        reply_to="reply",
        expiration=60,
        message_id="message",
        timestamp=datetime(2026, 1, 2, tzinfo=UTC),
        type="type",
        user_id="guest",
        app_id="interop",
    )  # fmt: skip
    async with open_channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        await channel.default_exchange.publish(sent, routing_key=queue.name)
        received = await queue.get(no_ack=True)
        assert received.body == sent.body
        different = {
            name: (value, received.info()[name])
            for name, value in sent.info().items()
            if value is not None and received.info()[name] != value
        }
        assert not different, different


@scenario("confirms")
@asynchronous
async def confirms() -> None:
    """A thousand publishes at once are each confirmed, and all are in the queue."""
    async with open_channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        confirmations = await asyncio.gather(
            *(channel.default_exchange.publish(Message(b"%d" % n), routing_key=queue.name) for n in range(1000))
        )
        assert all(isinstance(item, aiormq.spec.Basic.Ack) for item in confirmations)
        bodies = [(await queue.get(no_ack=True)).body for _ in range(1000)]
        assert bodies == [b"%d" % n for n in range(1000)]


@scenario("returns")
@asynchronous
async def returns() -> None:
    """A message without a queue is answered with the return; with on_return_raises it is an exception."""
    key = unique("nobody")
    async with open_channel() as channel:
        answer = await channel.default_exchange.publish(Message(b"back"), routing_key=key)
        assert isinstance(answer.delivery, aiormq.spec.Basic.Return)
        assert (answer.delivery.reply_code, answer.delivery.routing_key, answer.body) == (312, key, b"back")
        confirmed = await channel.default_exchange.publish(Message(b""), routing_key=key, mandatory=False)
        assert isinstance(confirmed, aiormq.spec.Basic.Ack)
    async with open_channel(on_return_raises=True) as channel:
        try:
            await channel.default_exchange.publish(Message(b"back"), routing_key=key)
        except aio_pika.exceptions.PublishError as error:
            assert error.args[0] == "NO_ROUTE"
        else:
            raise AssertionError("not returned")


@scenario("nack")
@asynchronous
async def nack() -> None:
    """What a full queue rejects raises DeliveryError."""
    async with open_channel() as channel:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue(exclusive=True, arguments=arguments)
        await channel.default_exchange.publish(Message(b"1"), routing_key=queue.name)
        try:
            await channel.default_exchange.publish(Message(b"2"), routing_key=queue.name)
        except aio_pika.exceptions.DeliveryError as error:
            assert isinstance(error.frame, aiormq.spec.Basic.Nack)
        else:
            raise AssertionError("confirmed although the queue is full")


@scenario("transactions")
@asynchronous
async def transactions() -> None:
    """A transaction's messages are there after its block, and none of one that an exception ends."""
    async with open_channel(publisher_confirms=False) as channel:
        queue = await channel.declare_queue(exclusive=True)
        async with channel.transaction():
            for body in (b"1", b"2"):
                await channel.default_exchange.publish(Message(body), routing_key=queue.name)
            assert await queue.get(fail=False) is None
        try:
            async with channel.transaction():
                await channel.default_exchange.publish(Message(b"3"), routing_key=queue.name)
                raise KeyError("changed my mind")
        except KeyError:
            pass
        assert [(await queue.get(no_ack=True)).body for _ in range(2)] == [b"1", b"2"]
        assert await queue.get(fail=False) is None


@scenario("topic and headers routing")
@asynchronous
async def routing() -> None:
    """Topic patterns and header tables route as declared, over a binding between exchanges, too."""
    async with open_channel() as channel:
        topics = await channel.declare_exchange(unique("topics"), ExchangeType.TOPIC, auto_delete=True)
        headers = await channel.declare_exchange(unique("headers"), ExchangeType.HEADERS, auto_delete=True)
        await headers.bind(topics, "orders.#")
        logs, large = [await channel.declare_queue(exclusive=True) for _ in range(2)]
        await logs.bind(topics, "*.log")
        await large.bind(headers, arguments={"x-match": "all", "size": "large"})
        for key, size in (("a.log", "large"), ("orders.log", "small"), ("orders.new.eu", "large")):
            await topics.publish(Message(key.encode(), headers={"size": size}), routing_key=key)
        assert [(await logs.get(no_ack=True)).body for _ in range(2)] == [b"a.log", b"orders.log"]
        assert (await large.get(no_ack=True)).body == b"orders.new.eu"
        for queue in (logs, large):
            assert await queue.get(fail=False) is None


@scenario("refusals")
@asynchronous
async def refusals() -> None:
    """404, 405 and 406 are the exceptions they are with RabbitMQ; 404 closes the channel only."""
    connection = await aio_pika.connect(url())
    async with connection, open_channel() as other:
        locked = await other.declare_queue(exclusive=True)
        attempts = [
            (aiormq.ChannelNotFoundEntity, lambda channel: channel.get_queue(unique("none"))),
            (aiormq.ChannelNotFoundEntity, lambda channel: channel.get_exchange(unique("none"))),
            (aiormq.ChannelLockedResource, lambda channel: channel.get_queue(locked.name)),
            (aiormq.ChannelPreconditionFailed, lambda channel: channel.declare_exchange("amq.direct", durable=False)),
            (aiormq.ChannelAccessRefused, lambda channel: channel.declare_queue(f"amq.{unique('reserved')}")),
        ]
        for expected, attempt in attempts:
            channel = await connection.channel()
            try:
                await attempt(channel)
            except expected:
                pass
            else:
                raise AssertionError(f"not {expected.__name__}")
        assert not connection.is_closed
        await connection.channel()


@scenario("wrong login")
@asynchronous
async def wrong_login() -> None:
    """A wrong password is refused with the broker's words."""
    try:
        await aio_pika.connect(URL(url()).with_password("wrong"))
    except aio_pika.exceptions.ProbableAuthenticationError as error:
        assert "ACCESS_REFUSED - Login was refused" in str(error), error
    else:
        raise AssertionError("logged in")
