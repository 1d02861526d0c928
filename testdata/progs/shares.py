"""Computes by turns in two functions, for 80 and 20 parts of its CPU time; a thread sleeps."""
import threading
import time


def spin(ms):
    end = time.thread_time() + ms / 1000
    while time.thread_time() < end:
        for _ in range(1000):
            pass


def most():
    spin(8)


def little():
    spin(2)


def asleep():
    while True:
        time.sleep(100)


threading.Thread(target=asleep, daemon=True).start()
print("ready", flush=True)
end = time.monotonic() + 300
while time.monotonic() < end:
    most()
    little()
