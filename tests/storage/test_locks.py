"""Caps that hold over processes: what one keeper holds, no other gets, until its connection ends."""

import asyncio
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from bigbrotr_dagster.storage.locks import LockKeeper, lock_keeper
from bigbrotr_dagster.storage.locks.keeper import BEAT
from tests.postgres15 import postgres15

ENOUGH = 60.0
"""Seconds, for what takes one at most."""


async def test_a_relay_is_held_by_one_process_at_a_time(any_database: str) -> None:
    async with lock_keeper(any_database) as one, lock_keeper(any_database) as other:
        async with one.relay("wss://a") as held, other.relay("wss://a") as again, other.relay("wss://b") as second:
            assert (held, again, second) == (True, False, True)
        async with other.relay("wss://a") as freed:
            assert freed


async def test_a_relay_is_held_by_one_task_of_a_process(any_database: str) -> None:
    async with lock_keeper(any_database) as one, one.relay("wss://a") as held, one.relay("wss://a") as again:
        assert (held, again) == (True, False)


async def test_a_network_has_so_many_slots_over_all_processes(any_database: str) -> None:
    async with lock_keeper(any_database) as one, lock_keeper(any_database) as other:
        async with one.slot("tor", 2), other.slot("tor", 2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.8), one.slot("tor", 2):
                    pass
            async with one.slot("clearnet", 2):
                pass
        async with asyncio.timeout(ENOUGH), one.slot("tor", 2):
            pass


async def test_waiting_is_seen_by_the_others_until_it_ends(any_database: str) -> None:
    async with lock_keeper(any_database) as one, lock_keeper(any_database) as other:
        async with one.slot("tor", 1):
            assert not await one.is_wanted("tor")
            waiting = asyncio.create_task(hold(other, "tor", 1))
            await wanted(one, "tor")
            assert not await other.is_wanted("tor"), "nobody else waits"
            assert not await one.is_wanted("clearnet")
        async with asyncio.timeout(ENOUGH):
            await waiting
        assert not await one.is_wanted("tor")


async def test_waiting_ends_with_the_task_that_waits(any_database: str) -> None:
    async with lock_keeper(any_database) as one, lock_keeper(any_database) as other, one.slot("tor", 1):
        waiting = asyncio.create_task(hold(other, "tor", 1))
        await wanted(one, "tor")
        waiting.cancel()
        await asyncio.wait([waiting])
        assert not await one.is_wanted("tor")


async def test_tasks_of_one_process_get_slots_of_their_own(any_database: str) -> None:
    async with lock_keeper(any_database) as one:
        held = most = 0

        async def work() -> None:
            nonlocal held, most
            async with one.slot("clearnet", 3):
                held += 1
                most = max(most, held)
                await asyncio.sleep(0.01)
                held -= 1

        async with asyncio.timeout(ENOUGH), asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(work())
        assert most == 3


async def test_a_connection_that_is_lost_takes_its_locks_back(any_database: str) -> None:
    async with lock_keeper(any_database) as one, lock_keeper(any_database) as other:
        async with one.relay("wss://a"), one.slot("tor", 1):
            cut(any_database, one)
            async with one.relay("wss://b") as b:  # the next question finds out
                assert b
            async with other.relay("wss://a") as again:
                assert not again
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.8), other.slot("tor", 1):
                    pass
        async with other.relay("wss://a") as freed, asyncio.timeout(ENOUGH), other.slot("tor", 1):
            assert freed


@pytest.mark.slow
async def test_a_lost_lock_is_taken_back_though_nobody_asks_for_another(any_database: str) -> None:
    """A relay may keep a process busy for an hour: what a server forgot in a restart would go to others."""
    async with lock_keeper(any_database) as one, lock_keeper(any_database) as other, one.relay("wss://a"):
        cut(any_database, one)
        await asyncio.sleep(4 * BEAT)
        async with other.relay("wss://a") as again:
            assert not again


@pytest.mark.slow
async def test_a_server_that_restarts_is_waited_for(tmp_path: Path) -> None:
    with postgres15(tmp_path) as server:
        async with lock_keeper(server.url) as one, lock_keeper(server.url) as other, one.relay("wss://a"):
            server.stop()
            asking = asyncio.create_task(hold(one, "tor", 1))
            await asyncio.sleep(2)
            server.start()
            async with asyncio.timeout(60):
                await asking
            async with other.relay("wss://a") as again:
                assert not again


async def test_a_process_that_is_killed_holds_nothing(any_database: str) -> None:
    script = (
        "import asyncio, sys\n"
        "from bigbrotr_dagster.storage.locks import LockKeeper, lock_keeper\n"
        "async def main():\n"
        "    async with lock_keeper(sys.argv[1]) as keeper, keeper.relay('wss://a'), keeper.slot('tor', 1):\n"
        "        print('held', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, any_database], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    async with lock_keeper(any_database) as other:
        async with other.relay("wss://a") as taken:
            assert not taken
        process.kill()
        process.communicate()
        async with asyncio.timeout(ENOUGH), other.slot("tor", 1), other.relay("wss://a", wait=ENOUGH) as freed:
            assert freed


async def wanted(keeper: LockKeeper, network: str) -> None:
    """Return once another process waits for a slot."""
    async with asyncio.timeout(ENOUGH):
        while not await keeper.is_wanted(network):
            await asyncio.sleep(0.02)


async def hold(keeper: LockKeeper, network: str, most: int) -> None:
    async with keeper.slot(network, most):
        pass


def cut(database: str, keeper: LockKeeper) -> None:
    """End a keeper's session as a server would; it is gone when this returns."""
    pid = keeper._connection.info.backend_pid
    with psycopg.connect(database, autocommit=True) as operator:
        operator.execute("SELECT pg_terminate_backend(%s, 30000)", [pid])


async def test_a_dead_process_holds_nothing(any_database: str) -> None:
    async with lock_keeper(any_database) as other, lock_keeper(any_database) as one, one.relay("wss://a"):
        cut(any_database, one)
        async with other.relay("wss://a", wait=ENOUGH) as freed:
            assert freed
