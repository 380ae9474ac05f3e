"""`crosscall bench latency` on small sweeps."""

import base64
import csv
import gzip
import json
import re

import pytest

from sim.bench.latency import Point, bench_latency, points_of
from sim.calls import Stage
from sim.report.latency import curves
from sim.runs.settings import swept
from sim.scenarios.document import Document

SMALL = ("bench", "latency", "--cores", "3", "--callers", "1,2", "--calls", "5")


@pytest.fixture(scope="module")
def rows():
    points = points_of(protocols=["v4", "v6"], memories=["tso"], settings={"fabric_latency": ["8", "64"]}, cores=[3],
                       callers=[1, 2], targets=[1, 2])
    return bench_latency(points, calls=5)


def test_a_row_for_each_point(rows):
    assert len(rows) == 16
    assert {(row["protocol"], row["memory"], row["settings"]["fabric_latency"]) for row in rows} == {
        (protocol, memory, clocks) for protocol in ("v4", "v6") for memory in ("tso",) for clocks in ("8", "64")}
    for row in rows:
        assert row["ok"] and row["calls"] == 5 * row["callers"]
        assert 0 < row["least"] <= row["median"] <= row["most"]
        assert sum(row["stages"].values()) == pytest.approx(row["mean"], abs=0.1)
        assert list(row["stages"]) == [stage.text for stage in Stage if stage.text in row["stages"]]


def medians(rows, name, **where):
    found = [(row[name] if name in row else int(row["settings"][name]), row["median"]) for row in rows
             if all(row[key] == value for key, value in where.items())]
    return [median for _, median in sorted(found)]


def test_latency_grows(rows):
    """With targets, with callers, and with the way."""
    same = {"protocol": "v4"}
    near, far = ([row for row in rows if row["settings"]["fabric_latency"] == clocks] for clocks in ("8", "64"))
    for some in (near, far):
        assert medians(some, "targets", callers=1, **same) == sorted(set(medians(some, "targets", callers=1, **same)))
    one, two = medians(near, "callers", targets=2, **same)
    assert one < two
    assert all(one < other for one, other in zip(medians(near, "targets", **same), medians(far, "targets", **same), strict=True))


def test_the_scenario_of_a_point():
    point = Point("v4", None, (), cores=4, callers=3, targets=2)
    programs = Document("x.toml", point.scenario(6)).content["program"]
    assert [(program["cores"], program["commands"][0]["mask"]) for program in programs] == [
        ([0], [2, 3]), ([1], [2, 3]), ([2], [1, 3])]
    assert [command["repeat"] for command in programs[0]["commands"]] == [2, 2, 1, 1]
    assert len(Document("x.toml", point.scenario(2)).content["program"][0]["commands"]) == 2


def test_points_that_need_more_cores_are_left_out():
    points = points_of(protocols=["v4"], memories=[None], settings={}, cores=[2, 6], targets=[1, 3])
    assert [(point.cores, point.callers, point.targets) for point in points] == [
        (2, 1, 1), (2, 2, 1), *((6, callers, targets) for callers in (1, 2, 4, 6) for targets in (1, 3))]
    points = points_of(protocols=["v4"], memories=[None], settings={}, cores=[6], callers=[1])
    assert [point.targets for point in points] == [1, 2, 4, 5]


def test_json_table_and_files_say_the_same(crosscall, tmp_path):
    code, out, err = crosscall(*SMALL, "--sweep", "arena_latency=0,2", "--json", "--csv", "--html")
    assert (code, err) == (0, "")
    rows = json.loads(out)["rows"]
    assert len(rows) == 8
    written = list(csv.DictReader((tmp_path / "waves" / "latency.csv").read_text().splitlines()))
    for row, line in zip(rows, written, strict=True):
        assert {name: line[name] for name in ("cores", "callers", "targets", "median", "most")} == {
            name: str(row[name]) for name in ("cores", "callers", "targets", "median", "most")}
        assert line["arena_latency"] == row["settings"]["arena_latency"]
        assert {name.removesuffix("_clocks"): float(value) for name, value in line.items()
                if name.endswith("_clocks") and float(value)} == {stage: mean for stage, mean in row["stages"].items() if mean}
    page = (tmp_path / "waves" / "latency.html").read_text(encoding="utf-8")
    data = json.loads(gzip.decompress(base64.b64decode(re.search(r'id="data">([^<]*)<', page)[1])))
    assert data["lines"] == curves(rows)
    assert [row[-2:] for row in data["tables"][0]["rows"]] == [[row["mean"], row["most"]] for row in rows]
    assert all(f'id="{item["name"]}"' in page for item in (*data["lines"], *data["bars"], *data["tables"]))
    code, out, err = crosscall(*SMALL, "--sweep", "arena_latency=0,2")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[1:9]] == [
        [row["protocol"], row["memory"], row["settings"]["arena_latency"],
         *(str(row[name]) for name in ("cores", "callers", "targets", "calls", "least", "median", "mean", "most"))] for row in rows]


def test_curves(rows):
    charts = curves(rows)
    assert [chart["name"] for chart in charts] == ["by-targets", "by-callers", "by-fabric_latency"]
    assert len(charts[0]["lines"]) == 8
    (line,) = [line for line in charts[0]["lines"] if line["name"] == "v6, 2 callers, fabric_latency 64"]
    chosen = [row for row in rows if (row["protocol"], row["callers"]) == ("v6", 2)
              and row["settings"]["fabric_latency"] == "64"]
    assert (line["x"], line["y"]) == ([1, 2], [row["median"] for row in chosen])


def test_ctrl_c_keeps_what_is_done(crosscall, tmp_path, monkeypatch):
    from sim.bench import latency
    before, done = latency.run, []

    def run(*arguments, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return before(*arguments, **options)

    monkeypatch.setattr(latency, "run", run)
    code, out, _ = crosscall(*SMALL, "--json", "--csv")
    assert code == 130
    assert len(json.loads(out)["rows"]) == 2
    assert len((tmp_path / "waves" / "latency.csv").read_text().splitlines()) == 3


def test_a_violation_is_exit_1_and_said(crosscall, tmp_path):
    """v4 looks at a mask that is another call's by then."""
    code, out, err = crosscall("bench", "latency", "--cores", "3", "--callers", "3", "--targets", "2", "--calls", "32", "--html")
    assert (code, err) == (1, "")
    assert "\n    violated: O12\n" in out
    assert "1 of 1 point. v4, sc, 3 cores, 3 callers, 2 targets: violated: O12." in (tmp_path / "waves/latency.html").read_text()


@pytest.mark.parametrize("words, message", [
    (["--targets", "8"], "there is nothing to measure: a call needs one core more than it has targets, and each caller is a core"),
    (["--targets", "0"], "--targets 0: must be numbers from 1 to 64, with commas between them"),
    (["--targets", ""], "--targets : must be numbers from 1 to 64, with commas between them"),
    (["--callers", ""], "--callers : must be numbers from 1 to 64, with commas between them"),
    (["--callers", "x"], "--callers x: must be numbers from 1 to 64, with commas between them"),
    (["--sweep", "fabric_latency"], "--sweep fabric_latency: must be written as NAME=value,value"),
    (["--sweep", "fabric_latency=1,,2"], "--sweep fabric_latency=1,,2: must be written as NAME=value,value"),
    (["--sweep", "fabric_latency=1,1"], "--sweep fabric_latency=1,1: has a value twice"),
    (["--sweep", "nosuch=1"], "--sweep nosuch=1: there is no such setting (there are: xlen, "),
    (["--sweep", "cores=2"], "--sweep cores=2: the number of cores is set with --cores"),
    (["--sweep", "define.NOSUCH=1"], "--sweep define.NOSUCH=1: "),
    (["--sweep", "pso=0", "--memory", "pso"], "--set memory_model=2: memory_model=2 needs pso=1"),
    (["--sweep", "x2apic=1", "--set", "x2apic_mode=0"], "--sweep x2apic=1: x2apic=1 needs x2apic_mode=1"),
    (["--sweep", "fabric_latency=7", "--set", "fabric_latency=8"], "--sweep fabric_latency: its value is given already, 8"),
    (["--sweep", "fabric=ring"], "--sweep fabric=ring: fabric must be one of crossbar, not 'ring'"),
    (["--sweep", "fabric_latency=7,256"], "--sweep fabric_latency=256: "),
    (["--memory", "rmo"], "--memory rmo: must be sc, tso or pso"),
    (["--engine", "fast"], 'there is no engine "fast"'), (["--protocol", "v9"], 'there is no protocol "v9"'),
])
def test_bad_input(crosscall, tmp_path, words, message):
    code, out, err = crosscall("bench", "latency", "--csv", "--json", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"crosscall: {message}"), err
    assert not (tmp_path / "waves").exists()


def test_what_is_swept_keeps_its_order():
    assert swept(["b=2, 1", "a=x"]) == {"b": ["2", "1"], "a": ["x"]}
