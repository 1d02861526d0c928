# Tasks of asyncio that wait for all there is to wait for. The first line is what asyncio
# itself tells of them: by the name of each, the functions and lines of its coroutines.
import asyncio
import json
import sys
import time


async def inner(event):
    await event.wait()


async def outer(event):
    await inner(event)


async def sleeper():
    await asyncio.sleep(1000)


async def waiter(task):
    await task


async def gatherer(event):
    await asyncio.gather(inner(event), outer(event))


async def generator(event):
    yield 1
    await inner(event)


async def iterates(event):
    async for _ in generator(event):
        pass


def stack(task):
    """The coroutines of a task, the innermost first."""
    coro, out = task.get_coro(), []
    while hasattr(coro, "cr_frame") or hasattr(coro, "gi_frame"):
        frame = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
        if frame is None:
            break
        out.append([frame.f_code.co_qualname, frame.f_lineno])
        coro = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
    return out[::-1]


async def main():
    event, lock, queue = asyncio.Event(), asyncio.Lock(), asyncio.Queue()
    await lock.acquire()
    tasks = [asyncio.create_task(c, name=n) for c, n in [
        (inner(event), "one"), (outer(event), "two\x1b[1m"), (sleeper(), "sleeper"),
        (lock.acquire(), "lock"), (queue.get(), "queue"), (gatherer(event), "gatherer"), (iterates(event), "iterates")]]
    tasks.append(asyncio.create_task(waiter(tasks[0]), name="waits"))
    await asyncio.sleep(0.1)
    late = asyncio.create_task(inner(event), name="late")
    view = {}
    for t in asyncio.all_tasks() if sys.version_info >= (3, 11) else ():
        if t is not asyncio.current_task():
            view[t.get_name()] = stack(t)
    print(json.dumps(view), flush=True)
    time.sleep(1000)  # the loop stands: what is ready stays so
    await late


asyncio.run(main())
