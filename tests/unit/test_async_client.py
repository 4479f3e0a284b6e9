"""`running`: the block and what runs beside it end together, and one error comes out as itself."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from aiomqtt import MqttError

from mqtt.async_client import running


def run(story: Callable[[], Coroutine[None, None, None]]) -> None:
    async def within_a_second() -> None:
        async with asyncio.timeout(1):
            await story()

    asyncio.run(within_a_second())


async def fail() -> None:
    await asyncio.sleep(0)
    raise MqttError("lost")


def test_the_end_of_the_block_cancels_what_runs_beside_it() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("background")

    async def story() -> None:
        async with running(forever(), forever()):
            await asyncio.sleep(0)
            ended.append("block")

    run(story)
    assert ended == ["block", "background", "background"]


def test_an_error_beside_the_block_ends_it_and_is_raised_as_itself() -> None:
    async def story() -> None:
        with pytest.raises(MqttError, match="lost"):
            async with running(fail()):
                await asyncio.Event().wait()
        await asyncio.sleep(0)  # the task is not left cancelled

    run(story)


def test_an_error_of_the_block_is_raised_as_itself() -> None:
    async def story() -> None:
        with pytest.raises(MqttError, match="lost"):
            async with running(asyncio.Event().wait()):  # type: ignore[arg-type]
                await fail()

    run(story)


def test_a_cancelled_block_stays_cancelled() -> None:
    async def work() -> None:
        async with running(asyncio.sleep(60)):
            await asyncio.Event().wait()

    async def story() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(story)
