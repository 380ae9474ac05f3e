"""`crosscall bench speed` on what is quick to build."""

import base64
import gzip
import json
import re

import pytest
from typer.testing import CliRunner

from sim.bench.speed import CONTENDERS, _Lanes, bench_speed
from sim.cli import app
from sim.engines import ENGINES
from sim.engines.compiled.many import lane_count
from sim.errors import MissingToolError
from sim.report import speed as speed_report
from sim.report.speed import write_speed_page


def _call(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.slow
def test_json():
    code, out, err = _call("bench", "speed", "--cores", "1", "--engines", "pysim,compiled,lanes", "--seconds", "0.2", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    lanes = lane_count()
    assert [(row["engine"], row["cores"], row["runs_at_once"]) for row in result["rows"]] == [
        ("pysim", 1, 1), ("compiled", 1, 1), ("lanes", 1, lanes)]
    assert all(row["clocks_per_second"] > 100 and row["build_seconds"] > 0 for row in result["rows"])
    slow, fast, many = (row["clocks_per_second"] for row in result["rows"])
    assert fast > 50 * slow and many > 50 * slow
    assert all(check["equal"] and check["clocks"] >= 100 for check in result["checks"])
    assert {(check["runs"], *check["engines"]) for check in result["checks"]} == {
        (1, "pysim", "compiled", "lanes"), (1, "compiled", "lanes"), (lanes, "compiled", "lanes")}


def test_table():
    code, out, err = _call("bench", "speed", "--cores", "1", "--engines", "pysim,compiled", "--seconds", "0.1")
    assert (code, err) == (0, "")
    assert "1 core, 2,000 clocks, the arena then: equal in pysim, compiled" in out


@pytest.mark.slow
def test_rows_come_as_they_are_done(monkeypatch, tmp_path):
    """Ctrl-C keeps them."""
    before = bench_speed.__globals__["prepare"]

    def prepare(path, *, cores):
        if cores == 2:
            raise KeyboardInterrupt
        return before(path, cores=cores)

    monkeypatch.setattr("sim.bench.speed.prepare", prepare)
    arguments = ("bench", "speed", "--cores", "1,2", "--engines", "pysim", "--seconds", "0.1")
    code, out, err = _call(*arguments)
    assert (code, err) == (130, "crosscall: interrupted\n")
    assert [line.split()[:2] for line in out.splitlines()] == [["cores", "engine"], ["1", "pysim"]]
    code, out, err = _call(*arguments, "--json", "--html", "--out", str(tmp_path))
    assert code == 130 and [row["cores"] for row in json.loads(out)["rows"]] == [1]
    assert f"the page is {tmp_path / 'speed.html'}" in err and page_of(tmp_path / "speed.html")[1]["tables"][0]["rows"][0][0] == 1


def test_every_contender_is_an_engine():
    assert set(CONTENDERS) == {*ENGINES, "lanes"}


def test_what_is_missing_is_left_out_and_told(monkeypatch):
    def refuse(self):
        raise MissingToolError("not here")

    monkeypatch.setattr("sim.bench.speed.EngineSpec.make", refuse)
    told = []
    result = bench_speed([2], engines=["verilator"], tell=told.append)
    assert (result["rows"], told) == ([], ["without verilator at 2 cores: not here"])


def test_engines_that_disagree_are_exit_1(monkeypatch):
    arenas = iter(range(100))
    monkeypatch.setattr("sim.bench.speed._PySim.arenas", lambda self, clocks, plans: next(arenas))
    code, out, _ = _call("bench", "speed", "--cores", "1", "--engines", "pysim,compiled", "--seconds", "0.1")
    assert code == 1
    assert "DIFFERENT in pysim, compiled" in out


def test_a_lane_that_goes_wrong_is_exit_1(monkeypatch):
    """Each lane is held against the scalar run of its own job."""
    arenas = _Lanes.arenas

    def spoilt(self, clocks, plans):
        *others, (clocks, arena) = arenas(self, clocks, plans)
        return [*others, (clocks, (arena[0] ^ 1, *arena[1:]) if others else arena)]

    monkeypatch.setattr("sim.bench.speed._Lanes.arenas", spoilt)
    code, out, _ = _call("bench", "speed", "--cores", "1", "--engines", "compiled,lanes", "--seconds", "0.1")
    assert code == 1
    assert f"1 core, 100,000 clocks of each of {lane_count()} runs, the arena then: DIFFERENT in compiled, lanes" in out


@pytest.mark.parametrize("arguments, message", [
    (["spede"], "no such command 'spede'. Did you mean 'speed'?"),
    (["speed", "--cores", "1,x"], "--cores 1,x: must be numbers from 1 to 64, with commas between them"),
    (["speed", "--cores", "65"], "--cores 65: must be numbers from 1 to 64, with commas between them"),
    (["speed", "--engines", "fast"], 'there is no engine "fast" (there are: pysim, compiled, lanes, verilator)'),
])
def test_bad_input(arguments, message):
    assert _call("bench", *arguments) == (2, "", f"crosscall: {message}\n")


def measured(*rows, checks=()):
    """A result as ``bench_speed`` gives it. rows : (engine, cores, clocks per second)."""
    return {"workload": "bench", "time": "cpu", "checks": list(checks), "rows": [
        {"engine": engine, "cores": cores, "runs_at_once": 1, "clocks_per_second": speed, "build_seconds": 0.5}
        for engine, cores, speed in rows]}


def page_of(path):
    text = path.read_text(encoding="utf-8")
    return text, json.loads(gzip.decompress(base64.b64decode(re.search(r'id="data">([^<]*)<', text)[1])))


def test_the_page_says_what_json_says(crosscall, tmp_path):
    code, out, err = crosscall("bench", "speed", "--cores", "1", "--engines", "pysim,compiled", "--seconds", "0.1", "--html",
                               "--json")
    assert (code, err) == (0, "crosscall: the page is waves/speed.html\n")
    rows = json.loads(out)["rows"]
    text, data = page_of(tmp_path / "waves" / "speed.html")
    [table], [bars] = data["tables"], data["bars"]
    assert table["rows"] == [[row["cores"], row["engine"], row["runs_at_once"], row["clocks_per_second"], None,
                              row["build_seconds"]] for row in rows]
    assert bars["names"] == ["pysim, 1 core", "compiled, 1 core"]
    assert bars["traces"][0]["x"] == [row["clocks_per_second"] for row in rows]
    assert f"<b>{rows[1]['clocks_per_second']:,} clocks/s</b> at most: compiled, 1 core; all engines agree" in text
    assert "Compared with Verilator" not in text


def test_the_page_compares_with_verilator_where_that_was_measured(tmp_path):
    result = measured(("pysim", 1, 5000), ("lanes", 1, 6_000_000), ("verilator", 1, 2_000_000), ("pysim", 4, 900))
    write_speed_page(tmp_path / "speed.html", result)
    text, data = page_of(tmp_path / "speed.html")
    assert [row[4] for row in data["tables"][0]["rows"]] == [0.0025, 3, 1, None]
    ratios = data["bars"][1]
    assert (ratios["names"], ratios["traces"][0]["customdata"]) == (["pysim, 1 core", "lanes, 1 core"], ["0.0025", "3"])
    assert ratios["traces"][0]["x"] == [0.0025 - 1, 3 - 1] and ratios["log"] == [-3, 1]
    assert all(f'id="{item["name"]}"' in text for item in (*data["bars"], *data["tables"]))


def test_the_page_says_that_engines_disagree(tmp_path):
    check = {"cores": 4, "clocks": 100, "runs": 1, "engines": ["pysim", "compiled"], "equal": False}
    write_speed_page(tmp_path / "speed.html", measured(("pysim", 4, 900), ("compiled", 4, 9000), checks=[check]))
    text, _ = page_of(tmp_path / "speed.html")
    assert "<b>engines disagree:</b> 4 cores, 100 clocks, the arena then: DIFFERENT in pysim, compiled." in text
    assert "agree on every" not in text


def test_every_contender_has_a_colour():
    assert set(speed_report._COLOURS) == set(CONTENDERS)
