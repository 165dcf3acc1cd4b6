"""Consuming: iterators, callbacks, prefetch, cancelling."""

import asyncio

import aio_pika
from aio_pika import Message
from scenarios import scenario, unique, url
from support import asynchronous, eventually, open_channel


@scenario("queue iterator")
@asynchronous
async def iterator() -> None:
    """`async for` over a queue yields its messages in order; leaving it puts back what it had fetched too many of."""
    async with open_channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        for number in range(20):
            await channel.default_exchange.publish(Message(b"%d" % number), routing_key=queue.name)
        bodies = []
        async with queue.iterator() as messages:
            async for message in messages:
                await message.ack()
                bodies.append(message.body)
                if len(bodies) == 5:
                    break
        assert bodies == [b"%d" % number for number in range(5)]
        rest = [await queue.get(no_ack=True) for _ in range(15)]
        assert [message.body for message in rest] == [b"%d" % number for number in range(5, 20)]


@scenario("iterator that runs dry")
@asynchronous
async def iterator_timeout() -> None:
    """An iterator with a timeout ends by TimeoutError when nothing comes, and the channel goes on."""
    async with open_channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        try:
            async with queue.iterator(timeout=0.3) as messages:
                async for message in messages:
                    raise AssertionError(message)
        except TimeoutError:
            pass
        await channel.default_exchange.publish(Message(b"late"), routing_key=queue.name)
        assert (await queue.get()).body == b"late"


@scenario("failing worker")
@asynchronous
async def failing_worker() -> None:
    """A message whose processing raises with requeue set is delivered again, marked redelivered."""
    attempts: list[bool] = []

    async def work(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        async with message.process(requeue=True):
            attempts.append(bool(message.redelivered))
            if len(attempts) == 1:
                raise RuntimeError("the first attempt fails")

    async with open_channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        await channel.default_exchange.publish(Message(b"fragile"), routing_key=queue.name)

        async def quiet(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            try:
                await work(message)
            except RuntimeError:
                pass

        await queue.consume(quiet)
        await eventually(lambda: attempts == [False, True])


@scenario("prefetch")
@asynchronous
async def prefetch() -> None:
    """No more than the prefetch count are with the workers at once; three workers share the queue."""
    running, most, done = 0, 0, 0

    async def work(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        nonlocal running, most, done
        async with message.process():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            done += 1

    async with open_channel() as channel:
        queue = await channel.declare_queue(exclusive=True)
        await channel.set_qos(prefetch_count=4)
        for _ in range(3):
            await queue.consume(work)
        for number in range(60):
            await channel.default_exchange.publish(Message(b"%d" % number), routing_key=queue.name)
        await eventually(lambda: done == 60)
        assert most <= 12, most


@scenario("consumer cancelled by the broker")
@asynchronous
async def cancelled() -> None:
    """A consumer whose queue is deleted is told, with its tag, and the channel goes on."""
    async with open_channel() as channel, open_channel() as other:
        queue = await channel.declare_queue(unique("short-lived"))
        told: list[str] = []
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda frame: told.append(frame.consumer_tag))
        tag = await queue.consume(print)
        await other.queue_delete(queue.name)
        await eventually(lambda: told == [tag])
        await channel.declare_queue(exclusive=True)


@scenario("many channels at once")
@asynchronous
async def many_channels() -> None:
    """A hundred channels opened, used and closed at the same time do not disturb each other."""
    connection = await aio_pika.connect(url())
    async with connection:

        async def talk(number: int) -> bytes:
            async with connection.channel() as channel:
                queue = await channel.declare_queue(exclusive=True)
                await channel.default_exchange.publish(Message(b"%d" % number), routing_key=queue.name)
                return (await queue.get(no_ack=True)).body

        bodies = await asyncio.gather(*(talk(number) for number in range(100)))
        assert bodies == [b"%d" % number for number in range(100)]
