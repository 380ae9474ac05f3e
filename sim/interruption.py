"""How Ctrl-C and SIGTERM end the command: as exceptions that unwind it, leaving nothing behind, without noise."""

import os
import signal
import sys
import warnings
from contextlib import contextmanager
from threading import Timer, current_thread, main_thread

__all__ = ["SIGNALS", "Terminated", "at_once", "exit_code", "heard", "settle", "unwind"]


class Terminated(KeyboardInterrupt):
    """The counterpart of KeyboardInterrupt for SIGTERM."""


#: Signal -> its exception.
SIGNALS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
#: Seconds after which a swallowed exception is raised again.
_AGAIN = 0.01
#: The exceptions that were raised.
_raised = []


def exit_code(error):
    """The exit code of the command, as if the signal had ended it: 130 or 143."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def at_once():
    """As long as there is nothing to clean up: the signals end the process at once."""
    if current_thread() is not main_thread():
        yield
        return
    before = _install(lambda number, frame: os._exit(128 + number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def unwind():
    """From now on each signal raises its exception; once. Signals during the unwinding are ignored."""
    _install(_raise)
    sys.unraisablehook = _swallowed


def heard():
    """The exception that was raised, or None. The code that it interrupts may turn it into another one."""
    return _raised[-1] if _raised else None


def settle():
    """Nothing is left to unwind: the first signal ends the process, as by default."""
    for number in SIGNALS:
        if signal.getsignal(number) is _raise:
            signal.signal(number, signal.SIG_DFL)


def _install(handler):
    """Set the handler of each signal that is not ignored (``nohup``); returns the previous ones."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: known for number, known in before.items() if known is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handler)
    return before


def _raise(number, frame):
    # Amaranth would warn that half a machine was never used.
    warnings.simplefilter("ignore")
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    _raised.append(SIGNALS[number]())
    raise _raised[-1]


def _swallowed(unraisable):
    """Python drops an exception that arrives in a destructor."""
    number = next((number for number, error in SIGNALS.items() if error is unraisable.exc_type), None)
    if number is None:
        sys.__unraisablehook__(unraisable)
        return
    for other in SIGNALS:
        signal.signal(other, _raise)
    Timer(_AGAIN, os.kill, (os.getpid(), number)).start()
