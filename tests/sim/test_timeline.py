"""What a run looks like over time; where the clocks of its calls go; what its page says."""

import base64
import gzip
import json
import re
from functools import cache

import pytest

from rtl.events import Event
from sim.calls import Stage
from sim.latency import latency_stack
from sim.report.page import page, table
from sim.report.story import in_short, story
from sim.report.vcd import report_of_vcd
from sim.report.views import Views
from sim.runs.holds import hold_up, read_hold
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.stages import COLOURS, MEANINGS
from sim.timeline import Timeline

from .runs import engine_for


@cache
def shown(scenario):
    """(report, Timeline) of a shipped scenario."""
    prepared = prepare(scenario)
    timeline = Timeline(prepared.run.config, prepared.image)
    result = run(prepared, engine=engine_for(prepared.run.config), watch=timeline)
    timeline.finish(result.clocks)
    return result.to_json(), timeline


@pytest.fixture(scope="module")
def early():
    return shown("early-return")


def data_of(text):
    return json.loads(gzip.decompress(base64.b64decode(re.search(r'id="data">([^<]*)<', text)[1])))


@pytest.mark.parametrize("scenario", ["demo", "early-return", "two-senders", "nested"])
def test_every_clock_of_a_latency_belongs_to_one_stage(scenario):
    report, _ = shown(scenario)
    assert report["calls"]
    for call in report["calls"]:
        stack = latency_stack(call)
        if call["latency"] is None:
            assert stack is None
        else:
            assert sum(stack.values()) == call["latency"]
            assert all(clocks > 0 for clocks in stack.values())


def test_a_latency_is_that_of_the_target_that_was_waited_for():
    call = {"wait": True, "latency": 100,
            "stages": {"call": 10, "lock": 10, "queue": 30, "wait": 50, "woken": 100, "return": 110},
            "per_target": {"1": {"entry": 55, "exit": 60, "complete": 65}, "2": {"entry": 70, "exit": 80, "complete": 90},
                           "3": {"entry": 55, "exit": 300, "complete": None}}}
    assert latency_stack(call) == {"lock": 20, "queue": 20, "wait": 20, "entry": 10, "exit": 10, "complete": 10, "woken": 10}


def test_spans_are_what_the_calls_say(early):
    report, timeline = early
    call, = report["calls"]
    spans = {(span.core, span.stage.text): span for span in timeline.spans if span.call == call["id"]}
    for core, visit in call["per_target"].items():
        assert spans[int(core), "entry"][1:3] == (visit["entry"], visit["exit"])
    assert spans[0, "wait"][1:3] == (call["stages"]["wait"], call["stages"]["woken"])


@pytest.mark.parametrize("scenario", ["demo", "nested"])
def test_slices_of_a_core_lie_in_each_other_or_apart(scenario):
    _, timeline = shown(scenario)
    assert {"command", "interrupt", "handler", "function", "stage", "routine"} <= {item.kind for item in timeline.slices}
    for core in range(timeline.config.n_cores):
        open_until = []
        # What ends later is outside.
        own = [item for item in timeline.slices if item.core == core]
        for item in sorted(own, key=lambda item: (item.start, -item.end)):
            while open_until and open_until[-1] <= item.start:
                open_until.pop()
            assert not open_until or item.end <= open_until[-1], item
            open_until.append(item.end)


def test_each_delivery_belongs_to_the_message_that_was_sent(early):
    report, timeline = early
    sent = [message for message in timeline.sent if message.call == "0.0"]
    visits = report["calls"][0]["per_target"]
    assert {target: clock for message in sent for target, clock in message.delivered.items()} == {
        int(core): visit["delivered"] for core, visit in visits.items()}
    assert sum(len(message.delivered) for message in timeline.sent) == report["messages"]["delivered"]


def test_the_story_of_the_early_return(early):
    report, timeline = early
    steps = story(report["violations"][0], timeline, {call["id"]: call for call in report["calls"]})
    assert [step["clock"] for step in steps] == sorted(step["clock"] for step in steps)
    told = [(step["core"], step["event"]) for step in steps]
    # The count reaches 0 and the call is completed before core 1 has ended the function: that is what is wrong.
    wanted = [(0, "CALL"), (1, "TAKE"), (1, "RUN"), (2, "TAKE"), (2, "REFS"), (2, "COMPLETE"), (0, "WOKEN"), (0, "RESULT"),
              (1, "RAN")]
    places = [told.index(item) for item in wanted]
    assert places == sorted(places)
    assert [step["event"] for step in steps if step["after"]] == ["RAN"]
    assert all(step["source"] for step in steps)


def test_the_early_return_in_short(early):
    report, _ = early
    [violation], calls = report["violations"], {call["id"]: call for call in report["calls"]}
    early, late = (calls["0.0"]["per_target"][core] for core in "21")
    assert in_short(violation, calls) == (
        f"Core 2 told the caller at clock {early['complete']} that the call was complete. Core 1 was still running func_work then, "
        f"from clock {late['entry']} to clock {late['exit']}.")
    assert in_short(violation | {"clock": early["complete"] - 1}, calls) == ""
    done = {"0.0": calls["0.0"] | {"per_target": {"2": early}}}
    assert in_short(violation, done) == ""
    not_begun = {"0.0": calls["0.0"] | {"per_target": {"2": early, "1": late | {"entry": None, "exit": None}}}}
    assert in_short(violation, not_begun).endswith("complete. Core 1 had not begun func_work by then.")


def test_a_call_begins_once_and_tells_the_number_of_many_targets(monkeypatch):
    monkeypatch.setattr("sim.report.story._MOST_TARGETS", 2)
    report, timeline = shown("demo")
    violation = {"oracle": "O1", "clock": report["clocks"], "cores": [], "calls": ["2.2"]}
    steps = story(violation, timeline, {call["id"]: call for call in report["calls"]})
    assert sum(moment.event is Event.CALL and moment.call == "2.2" for moment in timeline.moments) == 2
    assert [step["sentence"] for step in steps if step["event"] == "CALL"] == ["asks 3 cores to run func_count, and will not wait"]


def test_a_long_story_is_cut(early):
    report, timeline = shown("two-senders")
    for item in report["violations"]:
        assert 0 < len(story(item, timeline, {call["id"]: call for call in report["calls"]})) <= 24


def test_stages_have_a_colour_and_a_meaning():
    assert set(COLOURS) == set(MEANINGS) == set(Stage) - {Stage.NONE}
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_the_page_of_a_run_says_what_the_report_says(tmp_path):
    prepared = prepare("early-return")
    views = Views(prepared, html=True)
    result = views.write(run(prepared, engine=engine_for(prepared.run.config), watch=views.timeline, out=tmp_path), tmp_path)
    path = tmp_path / "early-return.html"
    assert result.files["page"] == path
    text = path.read_text(encoding="utf-8")
    assert len(text) < 3_000_000
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", text[:text.index('<script type="text/plain"')])
    data, report = data_of(text), json.loads(json.dumps(result.to_json()))
    for name in ("calls", "violations", "messages", "clocks"):
        assert data["report"][name] == report[name]
    assert sum(data["stacks"][0].values()) == report["calls"][0]["latency"]
    assert "violated:" in text and "core 1 had not finished the function" in text

    # The waves alone tell the same.
    again, timeline = report_of_vcd(tmp_path / "early-return.vcd")
    assert again["calls"] == report["calls"] and again["messages"] == report["messages"]
    assert [(item["oracle"], item["clock"], item["sentence"], item["calls"]) for item in again["violations"]] == [
        (item["oracle"], item["clock"], item["sentence"], item["calls"]) for item in report["violations"]]
    titles = {item["name"]: item["title"] for item in report["oracles"]}
    assert again["oracles"] == [{"name": "O1", "title": titles["O1"], "verdict": "violated", "exercised": 1}]
    assert timeline.begun.counts == views.timeline.begun.counts
    assert sorted(timeline.spans) == sorted(views.timeline.spans)
    assert timeline.sent == views.timeline.sent
    assert timeline.traffic.to_json() == views.timeline.traffic.to_json()
    assert sorted(timeline.slices, key=str) == sorted(views.timeline.slices, key=str)


def test_a_core_that_the_schedule_holds_is_shown(tmp_path):
    """In the timeline, in the steps and in the drawing; the waves alone tell the same."""
    prepared = prepare("many", protocol="v4")
    prepared, (held,) = hold_up(prepared, [read_hold("1 at FUNC_ENTRY#2 until 0 at RETURN", prepared.image, 4)],
                                engine_for(prepared.run.config))
    views = Views(prepared, html=True)
    views.write(run(prepared, engine=engine_for(prepared.run.config), watch=views.timeline, out=tmp_path), tmp_path)
    pause, = views.timeline.pauses
    assert (pause.core, range(pause.start, pause.end)) == (1, held.clocks) and pause.pc in held.hold.at.addresses
    again, timeline = report_of_vcd(tmp_path / "many.vcd")
    assert timeline.pauses == views.timeline.pauses
    steps = story(again["violations"][0], timeline, {call["id"]: call for call in again["calls"]})
    step, = [step for step in steps if step["event"] == "HELD"]
    assert (step["clock"], step["core"], step["after"]) == (pause.start, 1, False)
    assert step["sentence"] == f"is held by the schedule for {len(held.clocks)} clocks, before this word"
    assert step["text"].startswith("icall") and [step["clock"] for step in steps] == sorted(step["clock"] for step in steps)
    assert [1, pause.start, pause.end] in data_of((tmp_path / "many.html").read_text(encoding="utf-8"))["timeline"]["held"]


def test_what_comes_from_a_file_is_no_markup():
    text = page("<b>", "", {"tables": [table("x", "x", ["a"], [["</script><script>"]])]})
    assert "<title>&lt;b&gt;</title>" in text
    assert text.count("<script>") == 1


def test_without_the_library_nothing_is_begun(monkeypatch):
    from sim.errors import MissingToolError
    from sim.report import page as module
    module._library.cache_clear()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match="pip install plotly"):
        Views(prepare("demo"), html=True)
