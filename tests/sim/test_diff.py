"""Two protocols side by side, and what is counted for that."""

import json

import pytest

from rtl.events import ApicEvent, Event
from rtl.memory.port import MemoryOp
from sim.microcode.assembler import assemble
from sim.microcode.protocols import find_protocol
from sim.records import ApicRecord, CommitRecord, CoreRecord
from sim.traffic import Traffic


@pytest.fixture
def image():
    return assemble(find_protocol("v4"), n_cores=2, xlen=16)


class _Tracker:
    call = "some call"


class _Feed:
    """A Traffic, fed with records one clock apart, from the first request on."""

    def __init__(self, image):
        self.traffic, self.clock, self._image = Traffic(image), 0, image
        self.core(0, Event.REQUEST)

    def _add(self, record):
        self.clock += 1
        self.traffic.add(record, _Tracker)

    def core(self, core, event=Event.NONE, *, op=None, name=None, result=0, enabled=True):
        self._add(CoreRecord(self.clock, core, event, 0, 0, 0, op, self._image.address_of(name) if name else 0, result, enabled))

    def commit(self, core, op, name):
        self._add(CommitRecord(self.clock, 0, op, core, self._image.address_of(name), 0, 0))

    def json(self):
        return self.traffic.to_json()


def test_nothing_counts_before_the_first_request(image):
    traffic = Traffic(image)
    traffic.add(CommitRecord(0, 0, MemoryOp.READ, 0, 0, 0, 0), _Tracker)
    traffic.add(ApicRecord(1, 0, ApicEvent.SEND, 0xFB), _Tracker)
    assert (traffic.to_json()["words"], traffic.to_json()["interrupts"]["sent"]) == (0, 0)


def test_words_that_go_to_another_core(image):
    feed, word = _Feed(image), "counter"
    for core, op, moves in (
            (0, MemoryOp.WRITE, False), (0, MemoryOp.READ, False), (1, MemoryOp.READ, True), (1, MemoryOp.READ, False),
            (0, MemoryOp.READ, False), (0, MemoryOp.ADD, True), (1, MemoryOp.WRITE, True), (1, MemoryOp.WRITE, False)):
        before = feed.json()["bounces"]
        feed.commit(core, op, word)
        assert feed.json()["bounces"] - before == moves, (core, op)
    assert feed.json()["bouncing"] == {word: 3}
    assert feed.json()["operations"] == {"loads": 4, "stores": 3, "atomic": 1}
    assert feed.json()["words"] == 1


def test_locks(image):
    feed, lock = _Feed(image), "call_function.lock"
    feed.core(0, Event.LOCK_TRY, op=MemoryOp.SWAP, name=lock)
    feed.core(1, Event.LOCK_TRY, op=MemoryOp.SWAP, name=lock, result=1)
    feed.core(0)
    feed.core(0, Event.UNLOCK, op=MemoryOp.WRITE, name=lock)
    feed.core(1, Event.LOCK_TRY, op=MemoryOp.SWAP, name=lock)
    feed.core(1, Event.UNLOCK, op=MemoryOp.WRITE, name=lock)
    assert feed.json()["locks"] == {lock: {"taken": 2, "failed": 1, "clocks": 4, "longest": 3}}


def test_interrupts(image):
    feed = _Feed(image)
    feed.traffic.add(ApicRecord(9, 0, ApicEvent.SEND, 0xFB), _Tracker)
    feed.core(0, Event.NOIPI)
    assert feed.json()["interrupts"] == {"sent": 1, "saved": 1}


def test_holds_are_for_both_sides(crosscall):
    hold = "1 at FUNC_ENTRY#2 until 0 at RETURN"
    code, out, err = crosscall("diff", "v4", "v2.6.30", "many", "--hold", hold, "--json")
    left, right = (json.loads(out)[side] for side in ("left", "right"))
    assert code == 0 and (left["verdicts"]["O1"], right["verdicts"]["O1"]) == ("violated", "holds")
    assert right["clocks"] > 5000 > left["clocks"]
    assert [line.partition(": hold")[0] for line in err.splitlines()] == ["crosscall: v4", "crosscall: v2.6.30"]
    code, out, err = crosscall("diff", "v4", "v6", "many", "--hold", "0 at cfd_lock for 9")
    assert (code, out) == (2, "") and 'v6.uasm has no place "cfd_lock"' in err


def test_the_command(crosscall):
    code, out, err = crosscall("diff", "v4", "v2.6.30", "early-return", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["left"]["verdicts"]["O1"], found["right"]["verdicts"]["O1"]) == ("violated", "holds")
    assert [call["id"] for call in found["calls"]] == ["0.0"]
    left, right = (found["calls"][0][side]["latency"] for side in ("left", "right"))
    assert left < right
    # The lock of the entry: once more by each handler, in v2.6.30.
    taken = [found[side]["locks"]["cfd_data[0].lock"]["taken"] for side in ("left", "right")]
    assert taken == [3, 5]
    assert "cfd_data[0].lock" in crosscall("diff", "v4", "v2.6.30", "early-return")[1]


def test_a_protocol_against_itself_is_the_same(crosscall):
    code, out, _ = crosscall("diff", "v6", "v6", "many")
    lines = out.splitlines()
    assert code == 0
    assert lines[-1] == "  the same"
    assert not [line for line in lines if line.rstrip()[-1:].isdigit() and ("+" in line.split()[-1] or "-" in line.split()[-1])]


def test_bad_input(crosscall):
    code, out, err = crosscall("diff", "v4", "v5")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert 'there is no protocol "v5"' in err
