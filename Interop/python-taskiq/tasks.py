"""Tasks that go through the broker to taskiq's own receiver, in this process."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import aiormq.exceptions
from scenarios import Skipped, scenario, unique, url
from taskiq import InMemoryBroker
from taskiq.api import run_receiver_task
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue, QueueType



def make_broker(kind: QueueType = QueueType.QUORUM, **options: Any) -> AioPikaBroker:
    """A broker whose queues and exchange nobody else uses."""
    prefix = unique("taskiq")
    broker = AioPikaBroker(
        url(),
        exchange=Exchange(name=prefix),
        task_queues=[Queue(name=f"{prefix}.tasks", type=kind)],
        dead_letter_queue=Queue(name=f"{prefix}.dead", type=kind),
        **options,
    )
    return broker.with_result_backend(InMemoryBroker().result_backend)


@contextlib.asynccontextmanager
async def receiving(broker: AioPikaBroker) -> AsyncIterator[None]:
    """A running receiver, for the length of a block; queues and exchange are removed afterwards."""
    broker.is_worker_process = True
    await broker.startup()
    receiver = asyncio.create_task(run_receiver_task(broker))
    try:
        yield
    finally:
        receiver.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await receiver
        channel = broker.write_channel
        assert channel
        for queue in [*broker._task_queues, broker._dead_letter_queue, *filter(None, [broker._delay_queue])]:
            await channel.queue_delete(queue.name)
        await channel.exchange_delete(broker._exchange.name)
        await broker.shutdown()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs a scenario's coroutine with a limit."""
    asyncio.run(asyncio.wait_for(main, 50))


@scenario("tasks and results")
def tasks_and_results() -> None:
    """Fifty tasks over a quorum queue are each done once, and their results come back."""

    async def main() -> None:
        broker = make_broker()
        done: list[int] = []

        @broker.task
        async def double(number: int) -> int:
            done.append(number)
            return 2 * number

        async with receiving(broker):
            kicked = [await double.kiq(number) for number in range(50)]
            results = [await task.wait_result(timeout=20) for task in kicked]
            assert [result.return_value for result in results] == [2 * number for number in range(50)]
            assert sorted(done) == list(range(50))

    run(main())


@scenario("delay by a queue")
def delay_by_queue() -> None:
    """A task with a delay waits in a queue whose messages expire into the exchange of tasks, and is done when due."""

    async def main() -> None:
        broker = make_broker(delay_queue=Queue(name=unique("taskiq.delay")))
        done = asyncio.Event()

        @broker.task
        async def note() -> None:
            done.set()

        async with receiving(broker):
            sent = time.monotonic()
            await note.kicker().with_labels(delay=1).kiq()
            await asyncio.wait_for(done.wait(), 20)
            assert time.monotonic() >= sent + 0.95

    run(main())


@scenario("delay by the delayed exchange")
def delay_by_exchange() -> None:
    """With an exchange of type x-delayed-message a task with a delay is done when due, one without it at once."""

    async def main() -> None:
        broker = make_broker(
            delayed_message_exchange_plugin=True,
            delayed_message_exchange=Exchange(
                name=unique("taskiq.plugin"), type="x-delayed-message", arguments={"x-delayed-type": "direct"}
            ),
        )
        order: list[str] = []
        done = asyncio.Event()

        @broker.task
        async def note(word: str) -> None:
            order.append(word)
            if len(order) == 2:
                done.set()

        try:
            async with receiving(broker):
                sent = time.monotonic()
                await note.kicker().with_labels(delay=1).kiq("later")
                await note.kiq("now")
                await asyncio.wait_for(done.wait(), 20)
                assert order == ["now", "later"]
                assert time.monotonic() >= sent + 0.95
        except aiormq.exceptions.AMQPConnectionError as error:
            if "x-delayed-message" in str(error):
                raise Skipped("no exchange type x-delayed-message") from None
            raise

    run(main())


@scenario("a task that raises")
def failed_task() -> None:
    """A task that raises gives its error as its result; the message is acknowledged, not dead-lettered."""

    async def main() -> None:
        broker = make_broker(QueueType.CLASSIC)

        @broker.task
        async def fail() -> None:
            raise ValueError("does not work")

        async with receiving(broker):
            result = await (await fail.kiq()).wait_result(timeout=20)
            assert result.is_err and "does not work" in str(result.error)
            assert broker.write_channel
            dead = await broker.write_channel.get_queue(broker._dead_letter_queue.name)
            assert (await dead.get(fail=False)) is None

    run(main())
