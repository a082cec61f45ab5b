"""Stopping: signals at any instant, several at once."""

import subprocess
import sys

BURSTS = """
import os, signal, sys, threading, time
from pipeline.signals import stop_on_signal
def burst():
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
for number in range(300):
    with stop_on_signal(print) as stop:
        thread = threading.Thread(target=burst)
        thread.start()
        while not stop.wait(0):
            pass
        thread.join()
    assert stop.is_set() and stop.signal == signal.SIGTERM
print("all answered", file=sys.stderr)
"""


def test_bursts_of_signals_while_the_flag_is_looked_at():
    done = subprocess.run([sys.executable, "-u", "-c", BURSTS], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "all answered" and done.stdout.count("stopping at the next step") == 300


def test_a_wait_ends_with_the_signal_or_the_time():
    code = """
import os, signal, threading, time
from pipeline.signals import stop_on_signal
with stop_on_signal(print) as stop:
    began = time.monotonic()
    assert not stop.wait(0.25) and 0.25 <= time.monotonic() - began < 1
    threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    assert stop.wait(30) and time.monotonic() - began < 5
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt:
        print("at once")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("at once\n"), done.stdout + done.stderr
