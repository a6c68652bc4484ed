"""Caps that hold over processes: what one keeper holds, no other gets, until its connection ends."""

import asyncio

import psycopg
import pytest

from bigbrotr_dagster.storage.locks import lock_keeper


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
        async with asyncio.timeout(5), one.slot("tor", 2):
            pass


async def test_a_dead_process_holds_nothing(any_database: str) -> None:
    async with lock_keeper(any_database) as other, lock_keeper(any_database) as one, one.relay("wss://a"):
        pid = one._connection.info.backend_pid
        with psycopg.connect(any_database, autocommit=True) as operator:
            operator.execute("SELECT pg_terminate_backend(%s)", [pid])
        async with other.relay("wss://a", patience=5) as freed:
            assert freed
