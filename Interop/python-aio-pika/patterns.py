"""The ready-made patterns of aio-pika: remote calls, and a master with workers."""

import asyncio

from aio_pika import Message
from aio_pika.patterns import RPC, Master
from scenarios import scenario, unique
from support import asynchronous, eventually, open_channel


@scenario("RPC pattern")
@asynchronous
async def rpc() -> None:
    """Calls from one connection run on another; results and exceptions come back to the caller that asked."""
    method = unique("multiply")

    async def multiply(*, x: int, y: int) -> int:
        if y == 0:
            raise ValueError("not by zero")
        await asyncio.sleep(0.01 * (5 - y))  # Answers come in another order than the questions.
        return x * y

    async with open_channel() as server_channel, open_channel() as client_channel:
        server = await RPC.create(server_channel)
        await server.register(method, multiply, auto_delete=True)
        client = await RPC.create(client_channel)
        answers = await asyncio.gather(*(client.call(method, {"x": 7, "y": y}) for y in range(1, 5)))
        assert answers == [7, 14, 21, 28]
        try:
            await client.call(method, {"x": 7, "y": 0})
        except ValueError as error:
            assert str(error) == "not by zero"
        else:
            raise AssertionError("no exception")


@scenario("RPC pattern without a server")
@asynchronous
async def rpc_without_server() -> None:
    """A call that nobody serves fails at once, because the message is returned."""
    async with open_channel() as channel:
        client = await RPC.create(channel)
        try:
            await asyncio.wait_for(client.call(unique("nobody"), {}), 5)
        except TimeoutError:
            raise AssertionError("the return never came") from None
        except Exception as error:
            assert "returned" in str(error), error
        else:
            raise AssertionError("answered")


@scenario("master and workers")
@asynchronous
async def master() -> None:
    """Tasks of a master are done by its workers, each once."""
    name = unique("tasks")
    done: list[int] = []

    async def work(*, task: int) -> None:
        done.append(task)

    async with open_channel() as worker_channel, open_channel() as master_channel:
        await worker_channel.set_qos(prefetch_count=2)
        worker = Master(worker_channel)
        await worker.create_worker(name, work, auto_delete=True)
        boss = Master(master_channel)
        for task in range(20):
            await boss.create_task(name, {"task": task})
        await eventually(lambda: len(done) == 20)
        assert sorted(done) == list(range(20))


@scenario("direct reply-to")
@asynchronous
async def direct_reply_to() -> None:
    """An answer comes over amq.rabbitmq.reply-to without a queue."""
    address = "amq.rabbitmq.reply-to"
    async with open_channel() as server, open_channel() as client:
        requests = await server.declare_queue(exclusive=True)

        async def answer(message) -> None:
            async with message.process():
                reply = Message(message.body[::-1], correlation_id=message.correlation_id)
                await server.default_exchange.publish(reply, routing_key=message.reply_to)

        await requests.consume(answer)
        answers: asyncio.Queue = asyncio.Queue()
        replies = await client.get_queue(address, ensure=False)
        await replies.consume(answers.put, no_ack=True)
        question = Message(b"drawer", reply_to=address, correlation_id="1")
        await client.default_exchange.publish(question, routing_key=requests.name)
        reply = await asyncio.wait_for(answers.get(), 5)
        assert (reply.body, reply.correlation_id) == (b"reward", "1")
