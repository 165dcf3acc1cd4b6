"""What the scenarios here share."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable

import aio_pika
from aio_pika.abc import AbstractChannel
from scenarios import url


def asynchronous(function: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Makes an ordinary function of a coroutine function, for `@scenario`."""

    @functools.wraps(function)
    def run() -> None:
        asyncio.run(function())

    return run


@contextlib.asynccontextmanager
async def open_channel(**options: bool) -> AsyncIterator[AbstractChannel]:
    """Opens a connection and one channel for the length of an `async with` block."""
    connection = await aio_pika.connect(url())
    async with connection:
        yield await connection.channel(**options)


async def eventually(condition: Callable[[], object], seconds: float = 10) -> None:
    """Waits until the condition holds; fails when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)
