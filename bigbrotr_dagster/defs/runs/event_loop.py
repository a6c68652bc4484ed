"""Running asynchronous work in a run, so that an interrupt always stops it, and never breaks it.

Dagster raises an interrupt (Terminate in the UI, SIGTERM) out of a signal handler: wherever the main thread is.
In the middle of an event loop that may be a callback, which swallows it, or a task on which others wait for ever.
So the loop has a thread of its own, and the main thread only waits: the interrupt arrives there, and becomes a
cancellation, which the work can answer by storing what it has.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


def run_interruptibly(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, from the main thread; an interrupt is raised once the cancelled work has ended."""
    running: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = Future()
    outcome: Future[T] = Future()
    begun = threading.Event()
    abandoned = False

    async def main() -> T:
        task = asyncio.create_task(work)
        running.set_result((asyncio.get_running_loop(), task))
        return await task

    def run() -> None:
        begun.wait()
        if abandoned:
            return
        try:
            outcome.set_result(asyncio.run(main()))
        except BaseException as error:
            outcome.set_exception(error)

    try:
        # The interrupt may come while the thread starts: then the work has not begun, and never does.
        threading.Thread(target=copy_context().run, args=(run,), name="event loop", daemon=True).start()
        begun.set()
        return outcome.result()
    except BaseException:
        if not begun.is_set():
            abandoned = True
            work.close()
        begun.set()  # again: it may have been interrupted before it woke the thread
        if not abandoned and not outcome.done():
            loop, task = running.result()
            loop.call_soon_threadsafe(task.cancel)
            wait([outcome])
        raise
