"""The pool of connections, where it is cancelled at an awkward moment."""

import asyncio

import pytest

from bigbrotr_dagster.storage.sessions import AsyncConnection, open_pool, retried


@pytest.mark.parametrize("steps", range(16))
async def test_a_cancellation_that_comes_with_the_connection_is_not_swallowed(database: str, steps: int) -> None:
    """`steps`: how far the loop gets between the connection's return to the pool and the cancellation."""
    begun: list[bool] = []

    async def work(_: AsyncConnection) -> None:
        begun.append(True)
        await asyncio.sleep(60)

    async with open_pool(database, most=1) as pool:
        only = await pool.getconn()
        waiting = asyncio.create_task(retried(pool, work))
        while pool.get_stats().get("requests_waiting", 0) == 0:
            await asyncio.sleep(0.01)
        returning = asyncio.create_task(pool.putconn(only))
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(waiting, 30)
        await returning
        async with pool.connection() as again:
            assert await (await again.execute("SELECT 1")).fetchone() == (1,)
