"""``events.jsonl``: what is in it, and that it is whole or not there."""

import json
import re
from pathlib import Path

import pytest

from rtl.memory.port import MemoryOp
from sim.calls import CallTracker
from sim.errors import InputError
from sim.events import EventLog, Namer

from .streams import Stream


def write(path, stream):
    tracker = CallTracker.for_image(stream.config, stream.image)
    with EventLog(path, stream.image) as log:
        for record in stream.records:
            log.add(record, tracker.add(record))


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def stream():
    return Stream()


def test_one_line_of_each_kind(tmp_path, stream):
    stream.say(0, "CALL", 112, 5, at="smp_call_function_many")
    stream.say(0, "CSD_LOCK", 69, at="csd_lock", store=(73, 2), enabled=True)
    stream.send(0, 1)
    stream.deliver(0, 1)
    stream.say(2, "FAULT", at="csd_lock")
    write(tmp_path / "events.jsonl", stream)
    plain = {"mode": 0, "logical": 0, "level": 0, "trigger": 0, "shorthand": 0}
    assert lines(tmp_path / "events.jsonl")[1:] == [
        {"clock": 1, "source": "core", "core": 0, "event": "CALL", "pc": 32, "label": "smp_call_function_many", "enabled": False,
         "a": 112, "b": 5, "call": "0.0"},
        {"clock": 2, "source": "core", "core": 0, "event": "CSD_LOCK", "pc": 64, "label": "csd_lock", "enabled": True, "a": 69,
         "b": 0, "op": "WRITE", "address": 73, "word": "cfd_data[0].csd.flags", "result": 0, "call": "0.0"},
        {"clock": 2, "source": "bank", "bank": 0, "core": 0, "op": "WRITE", "address": 73, "word": "cfd_data[0].csd.flags",
         "old": 0, "new": 2, "call": "0.0"},
        {"clock": 3, "source": "apic", "core": 0, "event": "SEND", "vector": 252, "destination": 1, **plain, "call": "0.0"},
        {"clock": 4, "source": "message", "core": 0, "target": 1, "vector": 252, "destination": 1, **plain, "call": "0.0"},
        {"clock": 5, "source": "core", "core": 2, "event": "FAULT", "pc": 64, "label": "csd_lock", "enabled": False, "a": 0,
         "b": 0, "address": 0, "call": None},
    ]


def test_equal_runs_give_equal_bytes(tmp_path, stream):
    stream.many(0, [1, 2])
    for name in ("a", "b"):
        write(tmp_path / name, stream)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len(lines(tmp_path / "a")) == len(stream.records)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_was_there_stays_if_the_run_fails(tmp_path, stream):
    path = tmp_path / "events.jsonl"
    path.write_text("before\n")
    stream.many(0, [1])
    with pytest.raises(ZeroDivisionError), EventLog(path, stream.image) as log:
        log.add(stream.records[0], None)
        raise ZeroDivisionError
    assert path.read_text() == "before\n"
    assert [item.name for item in tmp_path.iterdir()] == ["events.jsonl"]


def test_a_place_that_cannot_be_written(tmp_path, stream):
    path = tmp_path / "no" / "events.jsonl"
    with pytest.raises(InputError) as caught, EventLog(path, stream.image):
        pass
    assert str(caught.value) == f"{path}: cannot be written: No such file or directory"


def test_the_documentation_has_every_key(stream):
    """docs/events.md lists the keys of each source, in their order."""
    text = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    namer = Namer(stream.image)
    stream.say(0, "CALL", store=(20, 1), op=MemoryOp.SWAP)
    stream.interrupt(0, 1)
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (.*) \|$", text, re.M)
    documented = {source: re.findall(r"`(\w+)`", keys) for source, keys in rows}
    for record in stream.records:
        line = namer.to_json(record, None)
        # What goes with a memory operation is there only with one.
        assert [key for key in documented[line["source"]] if key in line] == list(line)
