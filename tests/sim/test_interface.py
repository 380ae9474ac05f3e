"""``import crosscall``: the same as the command says, as plain objects; and what it refuses."""

import dataclasses
import doctest
import json
import subprocess
import sys
from pathlib import Path

import pytest

import crosscall as interface
from crosscall import _interface
from sim.calls import CALLER_STAGES, TARGET_STAGES
from sim.scenarios.document import Document
from sim.scenarios.text import scenario_text

ROOT = Path(__file__).parents[2]
PAIR = {"cores": 2, "program": [
    {"cores": "all", "commands": [{"call": "single", "target": "next", "func": "count", "wait": True}]}]}


@pytest.fixture(scope="module")
def early(tmp_path_factory):
    return interface.run("early-return", out=tmp_path_factory.mktemp("early"))


@pytest.mark.parametrize("words, options", [
    (["early-return"], {}),
    (["many", "--cores", "3", "--seed", "5", "--memory", "tso", "--set", "fabric_latency=9", "--without", "cfd_lock"],
     {"cores": 3, "seed": 5, "memory": "tso", "settings": {"fabric_latency": 9}, "without": ["cfd_lock"]}),
    (["single", "--fault", "drop:0:1"], {"fault": "drop:0:1"}),
    (["many", "--hold", "1 at FUNC_ENTRY#2 until 0 at RETURN"], {"holds": ["1 at FUNC_ENTRY#2 until 0 at RETURN"]}),
])
def test_a_result_is_what_the_command_says(crosscall, words, options):
    _, out, _ = crosscall("run", *words, "--json", "--no-vcd")
    said = json.loads(out)
    result = interface.run(words[0], out="waves", waves=False, **options)
    assert json.loads(json.dumps(result.to_json())) == said
    assert (result.ok, result.clocks, result.scenario) == (said["ok"], said["clocks"], said["scenario"])
    assert [call.id for call in result.calls] == [call["id"] for call in said["calls"]]
    for call, report in zip(result.calls, said["calls"], strict=True):
        plain = json.loads(json.dumps(call.to_dict()))
        stack, visits = plain.pop("stack"), report.pop("per_target")
        assert plain == report
        assert sum(stack.values()) == (call.latency or 0)
        mine = [visit.to_dict() for visit in result.visits if visit.call == call.id]
        assert {str(visit.pop("core")): visit for visit in mine if visit.pop("call")} == visits
    assert [violation.to_dict() | {"calls": list(violation.calls), "cores": list(violation.cores)}
            for violation in result.violations] == said["violations"]


def test_events_are_the_lines_of_the_file(early):
    lines = [json.loads(line) for line in early.files["events"].read_text().splitlines()]
    assert [{name: value for name, value in event.to_dict().items() if value is not None} for event in early.events] == [
        {name: value for name, value in line.items() if value is not None} for line in lines]
    assert {line["source"] for line in lines} == {"core", "apic", "message", "bank"}


def test_the_stages_of_a_call_are_in_its_columns(early):
    columns = early.calls.columns()
    assert len({len(column) for column in columns.values()}) == 1
    for stage in CALLER_STAGES:
        assert columns[f"{stage.text}_at"] == [early.calls[0].stages[stage.text]] != [None]
    assert set(early.visits.columns()) == {"call", "core", *(stage.text for stage in TARGET_STAGES)}


def test_spans_are_what_cores_did_for_calls(early):
    call, (first, last) = early.calls[0], early.visits
    assert (first.core, first.entry, first.exit) in [(span.core, span.start, span.end) for span in early.spans
                                                     if span.stage == "entry" and span.call == call.id]
    assert last.entry in early.spans.columns()["start"]
    assert all(span.start < span.end <= early.clocks for span in early.spans)


def test_rows_are_a_sequence_that_does_not_change(early):
    rows = early.events
    assert rows[:3] == interface.Rows(interface.Event, list(rows)[:3]) != rows
    assert rows[-1] == list(rows)[-1] and rows is early.events
    with pytest.raises(dataclasses.FrozenInstanceError):
        rows[0].clock = 3
    with pytest.raises(TypeError):
        rows[0] = rows[1]
    nothing = interface.Rows(interface.Call, [])
    assert nothing.columns() == {name: [] for name in interface.Call.names()}


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert interface.run("single").files == {}
    assert list(tmp_path.iterdir()) == []


def test_files_are_those_of_the_command(early):
    assert {kind: path.name for kind, path in early.files.items()} == {
        "events": "early-return.events.jsonl", "waves": "early-return.vcd", "view": "early-return.gtkw",
        "schedule": "early-return.schedule"}
    assert all(path.is_file() for path in early.files.values())


def test_page_and_trace(early, tmp_path):
    page = early.write_page(tmp_path / "pages" / "early.html")
    assert "violated: O1" in page.read_text(encoding="utf-8").replace("<b>", "").replace("</b>", "")
    pytest.importorskip("perfetto")
    assert early.write_trace(tmp_path / "early.pftrace").stat().st_size > 1000


def test_waves_as_fst(early, tmp_path):
    pytest.importorskip("pylibfst")
    assert 1000 < early.write_fst(tmp_path / "early.fst").stat().st_size < early.files["waves"].stat().st_size / 5
    with pytest.raises(interface.InputError, match="no waves"):
        interface.run("single").write_fst(tmp_path / "single.fst")


def test_a_scenario_built_in_python_is_the_same_as_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    built = interface.Scenario("pair", **PAIR)
    result = interface.run(built)
    (tmp_path / "pair.toml").write_text(built.text)
    assert interface.run(tmp_path / "pair.toml").to_json() == result.to_json()
    assert result.ok and len(result.calls) == 2


def test_a_finding_in_a_built_scenario_can_be_repeated(tmp_path, monkeypatch):
    """Though it has no file: its text is in the schedule."""
    monkeypatch.chdir(tmp_path)
    text = Document(ROOT / "sim/scenarios/early-return.toml").content
    found = []
    hunt = interface.hunt(interface.Scenario("mine", **text), runs=64, processes=1, out=tmp_path, found=found.append)
    (finding,) = hunt.findings
    assert (finding.oracle, finding.flag, found) == ("O1", "early_return", [finding])
    assert hunt.runs == 64
    again = interface.replay(finding.schedule, out=tmp_path)
    assert again.violations[0].sentence == finding.sentence
    assert again.files["waves"] == tmp_path / "mine.early_return.vcd"


def test_a_schedule_that_does_not_show_what_it_names_is_refused(tmp_path, early):
    text = early.files["schedule"].read_text()
    (tmp_path / "other.schedule").write_text(text.replace('"clock": 757', '"clock": 700'))
    assert '"clock": 700' in (tmp_path / "other.schedule").read_text()
    with pytest.raises(interface.InputError, match="recorded at clock 700"):
        interface.replay(tmp_path / "other.schedule")


@pytest.mark.parametrize("options, says", [
    ({"cores": 65}, "cores must be a whole number from 1 to 64, not 65"),
    ({"cores": "4"}, "cores must be a whole number from 1 to 64, not '4'"),
    ({"seed": -1}, "seed must be"), ({"seed": True}, "seed must be"), ({"max_clocks": 0}, "max_clocks must be"),
    ({"patience": 0}, "patience must be"), ({"visits": 0}, "visits must be"),
    ({"window": range(5, 5)}, "window must be"), ({"window": 7}, "window must be"),
    ({"without": "cfd_lock"}, "without must be a list of names"), ({"without": ["cfd"]}, "named cfd"),
    ({"holds": "1 at RUN for 3"}, "holds must be a list of holds"), ({"holds": 3}, "holds must be a list of holds, not 3"),
    ({"holds": [3]}, "a hold must be a text, not 3"), ({"holds": ["1 at RUM for 3"]}, 'did you mean "RUN"'),
    ({"engine": "compild"}, 'did you mean "compiled"'), ({"memory": "rmo"}, "must be sc, tso or pso"),
    ({"settings": {"arena_latency": 1.5}}, "the value must be a whole number"), ({"fault": "drop"}, "drop"),
    ({"settings": {"latency": 1}}, "there is no such setting"), ({"preset": "huge"}, 'no preset "huge"'),
])
def test_bad_options_are_refused(options, says):
    with pytest.raises(interface.InputError, match=says):
        interface.run("early-return", **options)


@pytest.mark.parametrize("options", [{"runs": 0}, {"first": -1}, {"processes": 0}, {"ignore": ["O99"]}, {"engine": "x"}])
def test_bad_hunts_are_refused(options, tmp_path):
    with pytest.raises(interface.InputError):
        interface.hunt("early-return", out=tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def test_a_refusal_names_its_place(tmp_path):
    with pytest.raises(interface.InputError) as refused:
        interface.run(interface.Scenario("mine", **PAIR | {"program": [
            {"cores": [0], "commands": [{"call": "nothing"}, {"call": "singel", "target": 1}]}]}))
    assert (str(refused.value.file), refused.value.line) == ("mine.toml", 7)
    assert 'did you mean "single"' in str(refused.value)
    with pytest.raises(interface.InputError, match=r"mine\.toml: program\[0\]\.commands\[0\]\.at must be .* not 1\.5"):
        interface.Scenario("mine", program=[{"commands": [{"call": "nothing", "at": 1.5}]}])
    with pytest.raises(interface.InputError, match="without a folder"):
        interface.Scenario("a/b")
    with pytest.raises(interface.InputError, match="no such file"):
        interface.run(tmp_path / "mine.toml")


def test_any_text_and_key_survive_being_written():
    tables = {"title": 'a "b" \\ \x7f ä 🙂\n\t', "limits": {"patience": 3}, "odd key": [True, -1, [], range(2)],
              "program": [{"cores": [0], "commands": [{"a b": {"c": 'd"'}}, {}]}, {}], "none": []}
    found = Document("x.toml", scenario_text(tables)).content
    assert found == tables | {"odd key": [True, -1, [], [0, 1]]}


def test_a_litmus_schedule_is_refused(tmp_path, monkeypatch):
    from sim.runs.description import OfLitmus
    from sim.runs.schedule import read_run, write_run
    interface.run("early-return", out=tmp_path)
    run = read_run(tmp_path / "early-return.schedule")
    write_run(tmp_path / "sb.schedule", dataclasses.replace(run, subject=OfLitmus(litmus="SB.litmus", mode=None, delays=(0, 0)),
                                                            files={}))
    with pytest.raises(interface.InputError, match="litmus"):
        interface.replay(tmp_path / "sb.schedule")


def test_importing_it_is_quick():
    """Nothing heavy is imported before it is used: the command begins here."""
    done = subprocess.run([sys.executable, "-c", "import sys, crosscall; print(*sys.modules)"], cwd=ROOT, capture_output=True,
                          text=True, check=True)
    assert not {"amaranth", "sim", "rtl", "dataclasses"} & set(done.stdout.split())


def test_what_it_offers():
    assert set(interface.__all__) == set(_interface.__all__) <= set(dir(interface))
    with pytest.raises(AttributeError, match="no attribute 'runs'"):
        interface.runs  # noqa: B018


@pytest.mark.parametrize("name", ["docstrings", "python.md"])
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "docstrings":
        failed, tried = doctest.testmod(_interface)
    else:
        failed, tried = doctest.testfile(str(ROOT / "docs" / name), module_relative=False)
    assert tried and not failed
