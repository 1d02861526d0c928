# Threads that stand still in many ways. A thread of its own writes what the interpreter
# itself says of their frames, one JSON object: {TID: {"name": …, "frames": [[function,
# file, line], …]}}, the innermost frame first.
import asyncio
import functools
import json
import os
import sys
import tempfile
import threading
import time
import zipfile

lock = threading.Lock()
lock.acquire()
arrived = threading.Semaphore(0)


def still():
    arrived.release()
    lock.acquire()


def recursion(n=150):
    if n == 0:
        return still()
    return recursion(n - 1)


def reduced():
    def add(a, b):
        still()

    return functools.reduce(
        add,
        [1,
         2])


class Key:
    def __lt__(self, other):
        return still()


def ordered():
    return sorted([2, 1], key=lambda n:
                  still())


def compared():
    return sorted([Key(), Key()])


class Made:
    def __init__(self, n):
        if n:
            Made(n - 1)
        else:
            still()

    @property
    def value(self):
        return still()

    def __getattr__(self, name):
        if name == "missing":
            return still()
        raise AttributeError(name)

    def __del__(self):
        if hasattr(self, "last"):
            still()


def made():
    Made(2)


class Quiet(Made):
    def __init__(self):
        pass


def attributes():
    return Quiet().value


def missing():
    return Quiet().missing


def generator(n):
    if n:
        yield from generator(n - 1)
    else:
        yield still()


def generated():
    return [list(x for x in generator(3)) for _ in range(1)]


async def coroutine(n):
    if n:
        return await coroutine(n - 1)
    async for _ in asynchronous():
        pass


async def asynchronous():
    yield still()


def event_loop():
    asyncio.run(coroutine(3))


def executed():
    exec(compile("def inner():\n\n    still()\neval('inner()')", "файл-😀.py", "exec"), {"still": still})


def spelled():
    def größe():
        def 函数():
            def 𐎠():
                still()
            𐎠()
        函数()
    größe()


def zipped():
    path = os.path.join(tempfile.mkdtemp(), "modules.zip")
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("zipped_module.py", "def run(f):\n    try:\n        f()\n    finally:\n        pass\n")
    sys.path.insert(0, path)
    import zipped_module
    zipped_module.run(still)


def foreign():
    import ctypes
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))

    def compare(a, b):
        still()
        return 0

    numbers = (ctypes.c_int * 2)(2, 1)
    ctypes.CDLL(None).qsort(numbers, ctypes.c_size_t(2), ctypes.c_size_t(4), kind(compare))


def handled():
    try:
        1 // 0
    except ZeroDivisionError:
        with open(__file__):
            still(
            )


class Own(threading.Thread):
    def run(self):
        still()


def long_lines():
    x = (1 +
         1) ; y = [
        0] * 3
# no code for many lines
















































































































































    still() ; x = 1


def view(skip):
    names = {t.ident: t for t in threading.enumerate()}
    out = {}
    for ident, frame in sys._current_frames().items():
        if ident == skip:
            continue
        frames = []
        while frame is not None:
            code = frame.f_code
            frames.append([getattr(code, "co_qualname", code.co_name), code.co_filename, frame.f_lineno])
            frame = frame.f_back
        out[names[ident].native_id] = {"name": names[ident].name, "frames": frames}
    return out


def main():
    jobs = [recursion, reduced, ordered, compared, made, attributes, missing, generated, event_loop,
            executed, spelled, zipped, handled, long_lines]
    try:
        import ctypes
        jobs.append(foreign)
    except ImportError:
        pass
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    threads += [Own(name="own ✓", daemon=True), threading.Thread(target=still, name="x" * 40, daemon=True)]
    for t in threads:
        t.start()
        if not arrived.acquire(timeout=20):
            sys.exit("%s has not come to stand still" % t)

    def report():
        if not arrived.acquire(timeout=20):
            sys.exit("%s has not come to stand still" % t)
        time.sleep(0.3)
        print(json.dumps(view(threading.get_ident())), flush=True)
        time.sleep(1000)

    threading.Thread(target=report, daemon=True, name="report").start()
    still()


main()
