"""Room that tasks share: in the order of asking, and none is lost."""

import asyncio

from bigbrotr_dagster.storage.ingest.room import Room


async def test_who_came_first_goes_first_whatever_others_want() -> None:
    room, order = Room(10), list[str]()

    async def take(name: str, size: int) -> None:
        async with room.taken(size):
            order.append(name)
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for name, size in (("a", 6), ("b", 6), ("c", 1), ("d", 10), ("e", 1)):
            group.create_task(take(name, size))
            await asyncio.sleep(0)
    assert order == ["a", "b", "c", "d", "e"]


async def test_no_more_than_its_size_is_held_at_once() -> None:
    room, held, most = Room(10), 0, 0

    async def take(size: int) -> None:
        nonlocal held, most
        async with room.taken(size):
            held += size
            most = max(most, held)
            await asyncio.sleep(0.001)
            held -= size

    await asyncio.gather(*(take(size % 7 + 1) for size in range(50)))
    assert 5 <= most <= 10


async def test_who_wants_more_than_all_of_it_has_it_alone() -> None:
    room = Room(10)
    async with asyncio.timeout(5):
        async with room.taken(1_000):
            pass
        async with room.taken(10):
            pass


async def test_what_is_given_up_is_free_again() -> None:
    room = Room(10)
    async with room.taken(10):
        waiting = [asyncio.create_task(room.taken(10).__aenter__()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    waiting[1].cancel()  # its turn has come by now
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    async with asyncio.timeout(5):
        await waiting[2]
