"""A simulated board behind a pseudo-terminal, which the host opens as it opens a serial port."""

import os
import select
import tty
from contextlib import contextmanager, suppress
from threading import Event, Thread

__all__ = ["plugged_in", "serve"]

#: Clocks of the board between two looks at the terminal, and seconds to wait there if nothing goes on.
_CLOCKS = 20_000
_IDLE = 0.005


def serve(board, master, stop=lambda: False, wire=lambda octets: octets, clocks=_CLOCKS):
    """Let a board (CompiledBoard or PySimBoard) run, and join its serial line with the master's end of a pseudo-terminal, until
    ``stop()``.

    wire : what becomes of octets on the way from the host to the board; tests damage them.
    """
    waiting = b""
    while not stop():
        if select.select([master], [], [], 0 if waiting else _IDLE)[0]:
            try:
                waiting += wire(os.read(master, 4096))
            except OSError:             # nobody has it open
                stop_waiting = Event()
                stop_waiting.wait(_IDLE)
        sent, came = board.run(waiting, clocks)
        waiting = waiting[sent:]
        while came:
            came = came[os.write(master, came):]


@contextmanager
def plugged_in(board, **options):
    """The name of a serial port that has a board at its other end, for as long as the context lasts. options : of ``serve``."""
    master, slave = os.openpty()
    tty.setraw(slave)
    unplugged = Event()
    server = Thread(target=serve, args=(board, master), kwargs={**options, "stop": unplugged.is_set}, daemon=True)
    server.start()
    try:
        # The slave stays open here, so that one host after the other may come.
        yield os.ttyname(slave)
    finally:
        unplugged.set()
        server.join()
        for end in (master, slave):
            with suppress(OSError):
                os.close(end)
