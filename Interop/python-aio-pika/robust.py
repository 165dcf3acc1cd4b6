"""Robust connections: they come back by themselves, with everything that was declared on them."""

import asyncio

import aio_pika
from aio_pika import Message
from proxy import Proxy
from scenarios import scenario, unique, url
from support import asynchronous, eventually, open_channel


@scenario("robust connection")
@asynchronous
async def robust() -> None:
    """After the wire is cut, exchange, queue, binding, prefetch and consumer are there again and messages flow."""
    proxy = Proxy(url())
    connection = await aio_pika.connect_robust(proxy.url, reconnect_interval=0.1)
    async with connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=10)
        exchange = await channel.declare_exchange(unique("robust"), auto_delete=True)
        queue = await channel.declare_queue(unique("robust"), exclusive=True)
        await queue.bind(exchange, "key")
        bodies: list[bytes] = []

        async def work(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            async with message.process():
                bodies.append(message.body)

        await queue.consume(work)
        await exchange.publish(Message(b"before"), routing_key="key")
        await eventually(lambda: bodies == [b"before"])

        again = asyncio.Event()
        connection.reconnect_callbacks.add(lambda *_: again.set())
        proxy.cut()
        await asyncio.wait_for(again.wait(), 10)
        async with open_channel() as other:
            same = await other.get_exchange(exchange.name)
            await same.publish(Message(b"after"), routing_key="key")
        await eventually(lambda: bodies == [b"before", b"after"])
        await exchange.publish(Message(b"from here"), routing_key="key")
        await eventually(lambda: bodies[2:] == [b"from here"])


@scenario("robust connection with work in hand")
@asynchronous
async def redelivered() -> None:
    """A message that was unacknowledged when the wire was cut comes again over the new one, marked redelivered."""
    proxy = Proxy(url())
    connection = await aio_pika.connect_robust(proxy.url, reconnect_interval=0.1)
    async with connection, open_channel() as other:
        queue = await (await connection.channel()).declare_queue(unique("robust"), durable=True)
        received: list[tuple[bytes, bool]] = []

        async def work(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            received.append((message.body, bool(message.redelivered)))
            if message.redelivered:
                await message.ack()

        await queue.consume(work)
        await other.default_exchange.publish(Message(b"in hand"), routing_key=queue.name)
        await eventually(lambda: len(received) == 1)
        proxy.cut()
        await eventually(lambda: len(received) == 2)
        assert received == [(b"in hand", False), (b"in hand", True)]
        await other.queue_delete(queue.name)


@scenario("robust consumer outlives its queue")
@asynchronous
async def outlives_queue() -> None:
    """When its queue is deleted by somebody else, a robust consumer declares it again and goes on."""
    connection = await aio_pika.connect_robust(url(), reconnect_interval=0.1)
    async with connection, open_channel() as other:
        queue = await (await connection.channel()).declare_queue(unique("robust"), auto_delete=True)
        bodies: list[bytes] = []

        async def work(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            bodies.append(message.body)

        await queue.consume(work, no_ack=True)
        await other.queue_delete(queue.name)
        async with asyncio.timeout(10):
            while not bodies:  # Lost without a trace until the queue is there again.
                await other.default_exchange.publish(Message(b"after"), routing_key=queue.name)
                await asyncio.sleep(0.1)
        assert bodies[0] == b"after"
