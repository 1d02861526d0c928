# Two threads, each of which runs code in an interpreter that the main thread has made.
import threading
import time

try:
    import _xxsubinterpreters as interpreters
except ImportError:  # from 3.13 on
    import _interpreters as interpreters

code = """
import time
def in_sub():
    open(%r, "w").close()
    time.sleep(1000)
def outer():
    in_sub()
outer()
"""


def run(number, text):
    getattr(interpreters, "run_string", getattr(interpreters, "exec", None))(number, text)


import os
import tempfile

with tempfile.TemporaryDirectory() as there:
    files = [os.path.join(there, str(i)) for i in range(2)]
    made = [interpreters.create() for _ in files]
    for number, file in zip(made, files):
        threading.Thread(target=run, args=(number, code % file), daemon=True).start()
    while not all(map(os.path.exists, files)):
        time.sleep(0.01)
time.sleep(0.1)
print("ready", flush=True)
time.sleep(1000)
