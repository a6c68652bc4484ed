"""An interrupt at any moment stops asynchronous work, which ends in its own time."""

import asyncio
import contextvars
import os
import signal
import threading
from random import Random
from types import FrameType

import pytest

from bigbrotr_dagster.defs.runs import run_interruptibly


class Interrupted(BaseException):
    """As Dagster's own: no Exception, and raised by a signal handler."""


def interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


async def busy(done: list[str], interrupted_after: float) -> None:
    """Tasks and callbacks without a pause, so that an interrupt would hit one of them; it comes by itself."""
    loop = asyncio.get_running_loop()
    loop.call_later(interrupted_after, os.kill, os.getpid(), signal.SIGALRM)

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    def again() -> None:
        loop.call_soon(again)

    again()
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(spin())
    finally:
        await asyncio.sleep(0.01)
        done.append("stored")


def test_an_interrupt_at_any_moment_lets_the_work_store_what_it_has() -> None:
    random = Random(7)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(30):
            done: list[str] = []
            with pytest.raises(Interrupted):
                run_interruptibly(busy(done, 0.01 + random.random() / 50))
            assert done == ["stored"]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_while_the_thread_starts_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in `Thread.start` that the main thread waits longest for its turn on a busy machine."""
    begun: list[bool] = []
    start = threading.Thread.start

    async def work() -> None:
        begun.append(True)

    def start_and_be_interrupted(thread: threading.Thread) -> None:
        start(thread)
        raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start_and_be_interrupted)
        with pytest.raises(Interrupted):
            run_interruptibly(work())
    for thread in threading.enumerate():
        if thread.name == "event loop":
            thread.join(30)
            assert not thread.is_alive()
    assert begun == []


def test_results_errors_and_context_are_those_of_the_work() -> None:
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("given")

    async def read() -> str:
        return variable.get()

    async def fail() -> None:
        raise ValueError("ours")

    assert run_interruptibly(read()) == "given"
    with pytest.raises(ValueError, match="ours"):
        run_interruptibly(fail())
