"""The memory path of a core in plain Python, written from its contract, and mutants of the real one."""

import inspect

from rtl.memory import path
from rtl.memory.port import Fence, MemoryModel, MemoryOp

__all__ = ["MUTANTS", "PathModel", "mutant"]


class PathModel:
    """State of one MemoryPath. ``request`` is a dict with op, address, data and compare.

    buffer : [address, data] of stores, the oldest first.  operation : what the core waits for.  forwarded : what its READ found.
    at_port : None, "operation", or the store of the buffer that stands there.
    """

    def __init__(self, depth, memory_model):
        self.depth = depth
        self.memory_model = memory_model
        self.posts = bool(depth) and memory_model is not MemoryModel.SC
        self.buffer = []
        self.operation = None
        self.forwarded = None
        self.at_port = None

    # What can be seen in a clock.

    @property
    def busy(self):
        return self.operation is not None

    @property
    def port_request(self):
        """(op, address, data, compare), or None."""
        if self.at_port is None:
            return None
        if self.at_port == "operation":
            return tuple(self.operation.values())
        return MemoryOp.WRITE, *self.at_port, None

    def done(self, port_done, port_old):
        """What the operation gives, or None if it is not done in this clock."""
        if self.forwarded is not None:
            return self.forwarded
        return port_old if self.at_port == "operation" and port_done else None

    @property
    def drained(self):
        return not self.buffer and not self.busy

    def ordered(self, fence):
        """While not busy."""
        if fence is Fence.READ or fence is Fence.WRITE and self.memory_model is not MemoryModel.PSO:
            return True
        return not self.buffer

    # The clock edge.

    def edge(self, request, hold, reorder, port_done, withdraw=False):
        """request : that is issued, or None.  withdraw : the one of the clock before is taken back."""
        was = self.at_port
        # What leaves with this edge is still seen by a READ; what comes with it is not yet there for a drain.
        before = list(self.buffer)
        free_to_go = [store for place, store in enumerate(before) if all(older[0] != store[0] for older in before[:place])]
        if self.forwarded is not None and not withdraw:
            self.operation = self.forwarded = None
        if port_done:
            self.at_port = None
            if was == "operation":
                self.operation = None
            else:
                self.buffer = [store for store in self.buffer if store is not was]
        if withdraw:
            if self.busy:
                self.operation = self.forwarded = None
                self.at_port = None if was == "operation" else self.at_port
            else:
                self.buffer.pop()
            return
        if request is not None:
            if request["op"] is MemoryOp.WRITE and self.posts:
                self.buffer.append([request["address"], request["data"]])
            else:
                self.operation = request
                found = [data for address, data in before if address == request["address"]]
                if request["op"] is MemoryOp.READ and found:
                    self.forwarded = found[-1]
        if self.at_port is not None:
            return
        if self.busy and self.forwarded is None and not (self._atomic() and self.buffer):
            self.at_port = "operation"
        elif before and not hold and was in (None, "operation"):
            self.at_port = free_to_go[-1] if self.memory_model is MemoryModel.PSO and reorder else before[0]

    def _atomic(self):
        return self.operation["op"] not in (MemoryOp.READ, MemoryOp.WRITE)


#: Name -> (text of rtl/memory/path.py, what the mutant has in its place).
MUTANTS = {
    "no forwarding": ("valid[number] & (buffer[number].address == self.request.address)",
                      "valid[number] & (buffer[number].address == self.request.address) & 0"),
    "forwarding from the oldest store": ("for number in range(depth):\n            with m.If(valid[number] & (buffer",
                                         "for number in reversed(range(depth)):\n            with m.If(valid[number] & (buffer"),
    "fence that does nothing": ("self.ordered.eq(self.drained | ", "self.ordered.eq(1 | self.drained | "),
    "locked operation that does not drain": ("empties.eq(self.stores == draining)", "empties.eq(1)"),
    "drain from the youngest store": ("m.d.sync += [draining.eq(1), index.eq(chosen)]",
                                      "m.d.sync += [draining.eq(1), index.eq((self.stores - 1)[:len(index)])]"),
    "withdrawn store that stays": (" - (self.withdraw & ~self.busy)", ""),
    "withdrawn store that drains": ("(~at_port | self.port.done) & ~self.withdraw)", "(~at_port | self.port.done))"),
    "withdrawn operation that is carried out": ("self.port.valid.eq(at_port & ~self.withdraw | draining)",
                                                "self.port.valid.eq(at_port | draining)"),
}


def mutant(name):
    """MemoryPath with this fault in it."""
    right, wrong = MUTANTS[name]
    text = inspect.getsource(path)
    assert text.count(right) == 1, f"the text that the mutant {name!r} changes is not there once"
    namespace = {"__name__": path.__name__, "__package__": path.__package__}
    exec(compile(text.replace(right, wrong), path.__file__, "exec"), namespace)
    return namespace["MemoryPath"]
