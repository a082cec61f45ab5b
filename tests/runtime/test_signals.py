"""Stopping: signals at any instant, several at once."""

import subprocess
import sys

STREAM = """
import signal
from pipeline.runtime.signals import stop_on_signal
for number in range(200):
    with stop_on_signal(lambda message: None, (signal.SIGALRM,)) as stop:
        signal.setitimer(signal.ITIMER_REAL, 1e-4, 2e-4)
        while not stop.wait(0):
            pass
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert stop.is_set() and stop.signal == signal.SIGALRM
print("all answered")
"""
WAITING = """
import os, signal, threading, time
from pipeline.runtime.signals import stop_on_signal
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
HANGUP = """
import os, signal
from pipeline.runtime.signals import stop_on_signal
for before, stopped in ((signal.SIG_DFL, True), (signal.SIG_IGN, False)):
    signal.signal(signal.SIGHUP, before)
    with stop_on_signal(lambda message: None) as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.wait(0.2) == stopped
    assert signal.getsignal(signal.SIGHUP) is before
print("as asked")
"""


def output(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr


def test_a_stream_of_signals_while_the_flag_is_looked_at_and_set():
    assert output(STREAM) == "all answered\n"


def test_a_wait_ends_with_the_signal_or_the_time():
    assert output(WAITING).endswith("at once\n")


def test_a_terminal_that_goes_is_a_stop_unless_nohup_said_otherwise():
    assert output(HANGUP) == "as asked\n"
