"""The workers of a Dask scheduler, on any number of machines, with the interface of processes (``Workers``).

The scheduler gives the task of a lost worker to another one, so only time is lost. Workers may come and go during the work; while
there are none, the scheduler waits.
"""

import logging
import queue
import re
import time
import warnings
from contextlib import suppress

from sim.errors import InputError, MissingToolError

__all__ = ["ClusterWorkers"]

#: Tasks that a worker has at a time, per thread: one in progress and one waiting.
_AHEAD = 2
#: Seconds: to reach the scheduler, between checks of the workers, and until a caller without results gets control back.
_REACH, _LOOK, _QUIET = 10, 1, 1
_ADDRESS = r"(tcp|tls|ws|wss)://(\[[0-9a-fA-F:]+\]|[^\s/:]+):[0-9]{1,5}"


class ClusterWorkers:
    """A context: what is unfinished when it ends is dropped.

    Parameters
    ----------
    where : "local": a new cluster on this machine; or the address of a scheduler.
    work : called in a worker with each task, returns its result; picklable.
    count : number of workers of a local cluster.
    tell : called with remarks about the cluster.

    Raises InputError for a malformed address, and MissingToolError without Dask or a scheduler.
    """

    def __init__(self, where, work, *, count, tell=lambda line: None):
        if where != "local" and not re.fullmatch(_ADDRESS, where):
            raise InputError(f"--cluster {where}: must be local, or the address of a Dask scheduler, such as tcp://HOST:PORT")
        try:
            import dask
            import distributed
        except ImportError:
            raise MissingToolError("--cluster needs Dask: `pip install 'crosscall[cluster]'`") from None
        # The caller reports workers that come and go, so Dask need not.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", module="distributed")
        dask.config.set({"distributed.comm.timeouts.connect": _REACH, "distributed.logging.distributed": "critical"})
        self._where, self._work, self._tell = where, work, tell
        self._results = queue.SimpleQueue()
        self._given = {}                # key of a task in progress -> its future
        self._looked, self.count = 0.0, count
        self._alone = False
        self._cluster = self._client = None
        try:
            if where == "local":
                self._cluster = distributed.LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None,
                                                         silence_logs=logging.CRITICAL)
            self._client = distributed.Client(self._cluster or where, timeout=_REACH)
        except (OSError, ValueError) as error:
            self.__exit__()
            raise MissingToolError(f"there is no Dask scheduler at {where} ({_one_line(error)}); start one with `dask scheduler`, "
                                   "and workers with `dask worker ADDRESS --nthreads 1`") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._given.clear()
        for part in (self._client, self._cluster):
            if part is not None:
                with suppress(OSError, TimeoutError):
                    part.close()

    @property
    def busy(self):
        """Whether results are outstanding."""
        return bool(self._given)

    @property
    def hungry(self):
        """Whether a worker would start another task at once, or as soon as it finishes its own."""
        self._look()
        return len(self._given) < _AHEAD * max(1, self.count)

    def give(self, task):
        future = self._client.submit(self._work, task, pure=False)
        self._given[future.key] = future
        future.add_done_callback(self._results.put)

    def results(self, until=None):
        """Wait for results, at most a second and at most until a time of ``time.monotonic``; return those that have come."""
        wait = _QUIET if until is None else max(0, min(_QUIET, until - time.monotonic()))
        results = []
        with suppress(queue.Empty):
            while True:
                results.append(self._result(self._results.get(timeout=wait)))
                wait = 0
        self._look()
        return results

    def _result(self, future):
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        del self._given[future.key]
        try:
            return future.result(timeout=_REACH)
        except (InputError, MissingToolError):
            raise
        except ModuleNotFoundError as error:
            raise MissingToolError(f"a worker of the cluster cannot work: {error}; install the same crosscall there") from None
        except KilledWorker as error:
            raise MissingToolError(f"the cluster gives up a task: {_one_line(error)}") from None
        except (FutureCancelledError, TimeoutError, OSError):
            raise self._lost() from None

    def _look(self):
        """Check the workers, from time to time."""
        if time.monotonic() < self._looked + _LOOK:
            return
        try:
            if self._client.status != "running":
                raise OSError
            self.count = sum(self._client.nthreads().values())
        except (OSError, TimeoutError, RuntimeError):
            raise self._lost() from None
        self._looked = time.monotonic()
        if self._alone != (self.count == 0):
            self._alone = self.count == 0
            self._tell(f"the scheduler at {self._where} has no workers; waiting for some" if self._alone
                       else "the scheduler has workers again")

    def _lost(self):
        return MissingToolError(f"the Dask scheduler at {self._where} is gone; --resume continues from what has been done")


def _one_line(error):
    return " ".join(str(error).split())[:200] or type(error).__name__
