"""The trace for Perfetto, read back by the classes of its schema."""

from collections import defaultdict

import pytest

from sim.calls import Stage
from sim.errors import MissingToolError
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.timeline import Timeline
from sim.waves import perfetto
from sim.waves.writer import CLOCK_NS

from .runs import engine_for

pytest.importorskip("perfetto")


@pytest.fixture(scope="module", params=["early-return", "storm"])
def trace(request, tmp_path_factory):
    """(calls, Timeline, events by track name) of a run."""
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace
    prepared = prepare(request.param)
    timeline = Timeline(prepared.run.config, prepared.image)
    result = run(prepared, engine=engine_for(prepared.run.config), watch=timeline)
    timeline.finish(result.clocks)
    path = tmp_path_factory.mktemp("trace") / "run.pftrace"
    perfetto.write_perfetto(path, "run", timeline, result.calls)
    read = Trace.FromString(path.read_bytes())
    names, tracks = {}, defaultdict(list)
    for packet in read.packet:
        if packet.HasField("track_descriptor"):
            names[packet.track_descriptor.uuid] = packet.track_descriptor.name
        else:
            tracks[names[packet.track_event.track_uuid]].append((packet.timestamp // CLOCK_NS, packet.track_event))
    return result.calls, timeline, tracks


def test_slices_are_closed_in_their_order_and_are_those_of_the_timeline(trace):
    _, timeline, tracks = trace
    for core in range(timeline.config.n_cores):
        stack, seen = [], []
        for clock, event in tracks[f"core {core}"]:
            if event.type == event.TYPE_SLICE_BEGIN:
                stack.append((event.name, event.categories[0], clock))
            elif event.type == event.TYPE_SLICE_END:
                name, kind, start = stack.pop()
                seen.append((start, clock, kind, name))
        assert not stack
        assert sorted(seen) == sorted((item.start, item.end, item.kind, item.name) for item in timeline.slices if item.core == core)


def test_each_target_of_each_call_has_its_arrows(trace):
    calls, _, tracks = trace
    where = defaultdict(list)             # flow -> (clock, track)
    ends = {}
    ids = {}                              # (call, target) -> flow
    for name, events in tracks.items():
        for clock, event in events:
            for flow in (*event.flow_ids, *event.terminating_flow_ids):
                where[flow].append((clock, name))
            for flow in event.terminating_flow_ids:
                ends[flow] = clock
            notes = {note.name: note.string_value for note in event.debug_annotations}
            if "target" in notes:
                flow, = (*event.flow_ids, *event.terminating_flow_ids)
                assert ids.setdefault((notes["call"], int(notes["target"])), flow) == flow
    assert len(set(ids.values())) == len(ids) > 1
    for call in calls:
        for target, visit in call.visits.items():
            points = where[ids[call.id, target]]
            if visit.at(Stage.IPI) is not None and visit.at(Stage.DELIVERED) is not None:
                assert (visit.at(Stage.IPI), f"core {call.caller}") in points
                assert (visit.at(Stage.IPI), f"sent by core {call.caller}") in points
                assert (visit.at(Stage.DELIVERED), f"sent by core {call.caller}") in points
            for stage in (Stage.GOTIPI, Stage.HANDLE, Stage.ENTRY, Stage.COMPLETE):
                if visit.at(stage) is not None:
                    assert (visit.at(stage), f"core {target}") in points, (call.id, target, stage)
            if call.wait and visit.at(Stage.EXIT) is not None and call.at(Stage.WOKEN) is not None:
                early = call.at(Stage.WOKEN) < visit.at(Stage.EXIT)
                assert (ends.get(ids[call.id, target]) == call.at(Stage.WOKEN)) is not early


def test_counters_begin_and_end_with_nothing(trace):
    _, timeline, tracks = trace
    for name, events in tracks.items():
        if name.startswith("requests waiting") or name == "messages in flight":
            values = [event.counter_value for _, event in events]
            assert values[0] == values[-1] == 0 and min(values) == 0
    assert max(event.counter_value for _, event in tracks["messages in flight"]) > 0


def test_without_the_classes_nothing_is_begun(monkeypatch, tmp_path):
    monkeypatch.setattr(perfetto, "find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match="pip install perfetto"):
        perfetto.write_perfetto(tmp_path / "x", "x", None, ())
    assert not list(tmp_path.iterdir())
