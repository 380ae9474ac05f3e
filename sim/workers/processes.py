"""Processes that do pieces of work side by side."""

import ctypes
import os
import signal
import sys
import time
import traceback
import weakref
from multiprocessing import get_context
from multiprocessing.connection import wait

from sim.errors import InputError, MissingToolError
from sim.interruption import SIGNALS

__all__ = ["Workers", "side_by_side"]

#: Tasks that a process has at a time: one in progress and one waiting.
_AHEAD = 2
_PR_SET_PDEATHSIG = 1


class Workers:
    """Processes forked from this one, so that they have what was built here. A context: they end with it, at once; if a signal
    arrives before it is entered, they end with this object.

    If this process is killed, they are killed too (Linux), or end after their current task, since no one reads the result.

    Parameters
    ----------
    count : how many.  work : called in one of them with each task; returns its result.
    """

    def __init__(self, count, work):
        self.count = count
        self._processes = {}            # our end of its pipe -> the process
        self._given = {}                # the same -> number of its tasks
        # Not by SIGTERM, as multiprocessing would: they block it.
        self._end = weakref.finalize(self, _end, self._processes, os.getpid())
        context = get_context("fork")
        # Ctrl-C and SIGTERM are for the parent, which waits for all of them: they inherit the mask.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            for _ in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(work, theirs, [ours, *self._processes], os.getpid()), daemon=True)
                process.start()
                theirs.close()
                self._processes[ours], self._given[ours] = process, 0
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    @property
    def busy(self):
        """Whether results are outstanding."""
        return any(self._given.values())

    @property
    def hungry(self):
        """Whether a process would start another task at once, or as soon as it finishes its own."""
        return min(self._given.values()) < _AHEAD

    def give(self, task):
        """Give a task to the process with the fewest."""
        pipe = min(self._given, key=self._given.get)
        self._given[pipe] += 1
        self._talk(pipe, lambda: pipe.send(task))

    def results(self, until=None):
        """Wait for results, at most until a time of ``time.monotonic``; return those that have come. An error in a process is
        raised here."""
        timeout = None if until is None else max(0, until - time.monotonic())
        results = []
        for pipe in wait([pipe for pipe, given in self._given.items() if given], timeout):
            result, failure = self._talk(pipe, pipe.recv)
            if isinstance(failure, (InputError, MissingToolError)):
                raise failure
            if failure is not None:
                raise RuntimeError(f"in one of {len(self._processes)} processes:\n{failure}")
            results.append(result)
            self._given[pipe] -= 1
        return results

    def _talk(self, pipe, action):
        try:
            return action()
        except (EOFError, ConnectionError):
            process = self._processes[pipe]
            process.join()
            code = process.exitcode
            how = f"was killed by signal {-code} (is there enough memory?)" if code < 0 else f"ended with exit code {code}"
            raise MissingToolError(f"one of {len(self._processes)} processes {how}") from None


def side_by_side(count, work, tasks):
    """Yield (task, its result) of each task, as they come. count : at most this many processes.  work : as for Workers."""
    tasks = list(tasks)
    with Workers(min(count, len(tasks)), lambda task: (task, work(task))) as workers:
        given = 0
        while given < len(tasks) or workers.busy:
            while given < len(tasks) and workers.hungry:
                workers.give(tasks[given])
                given += 1
            yield from workers.results()


def _end(processes, parent):
    """End what is forked from ``parent``; runs only there."""
    if os.getpid() == parent:
        for pipe, process in processes.items():
            process.kill()
            process.join()
            pipe.close()


def _end_with_parent(parent):
    """Linux kills this process when ``parent`` is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:              # it has ended already
            os._exit(0)


def _serve(work, pipe, others, parent):
    _end_with_parent(parent)
    # If this process kept them open, the others would not notice that their reader has ended.
    for other in others:
        other.close()
    try:
        while True:
            task = pipe.recv()
            try:
                answer = work(task), None
            except (InputError, MissingToolError) as error:
                answer = None, error
            except Exception:
                answer = None, traceback.format_exc()
            pipe.send(answer)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
