"""The pages of many runs show what ``--json`` says: a hunt, litmus tests, the museum, a knock-out."""

import base64
import gzip
import json
import re

import pytest

from sim.litmus.command import SHIPPED

RUNS = 8
COMMANDS = {
    "hunt": (["hunt", "early-return", "--runs", RUNS, "--processes", 1], "waves/early-return.hunt.html"),
    "litmus": (["litmus", *(SHIPPED / f"{name}.litmus" for name in ("SB", "IRIW", "hlt")), "--runs", RUNS], "waves/litmus.html"),
    "museum": (["museum", "early-return", "--runs", RUNS, "--processes", 1], "waves/museum/museum.html"),
    "knockout": (["knockout", "--protocol", "v4", "single", "--only", "spin_unlock_wmb", "--only", "cfd_lock", "--runs", RUNS,
                  "--processes", 1, "--no-vcd"], "waves/knockout/v4.html"),
}


@pytest.fixture
def made(crosscall, tmp_path):
    """Gives (what the page says as text, its tables by name, the command's JSON)."""
    def of(command):
        words, page = COMMANDS[command]
        code, output, errors = crosscall(*words, "--html", "--json")
        assert code in (0, 1), errors
        assert f"crosscall: the page is {page}\n" in errors
        text = (tmp_path / page).read_text(encoding="utf-8")
        data = json.loads(gzip.decompress(base64.b64decode(re.search(r'id="data">([^<]*)<', text)[1])))
        assert ('id="library"' in text) == ("bars" in data)
        return text, {table["name"]: table for table in data["tables"]} | {"bars": data.get("bars")}, json.loads(output)

    return of


def column(table, name):
    return [row[table["columns"].index(name)] for row in table["rows"]]


@pytest.mark.slow
def test_a_hunt_tells_each_finding(made):
    text, tables, found = made("hunt")
    assert found["violations"]
    for name in ("oracle", "flag", "number", "clock", "sentence"):
        assert column(tables["findings"], name) == [item[name] for item in found["violations"]]
    assert f"in {RUNS} schedules, {found['clocks']} clocks" in text
    assert text.count('<li class="violation">') == len(found["violations"])
    assert "asks cores 1 and 2 to run func_work, and will wait until they have" in text
    assert f"crosscall replay {found['violations'][0]['schedule']} --html" in text


def test_litmus_tests_show_how_often_each_state_came(made):
    text, tables, found = made("litmus")
    assert "No forbidden outcome was seen" in text
    assert column(tables["tests"], "verdict") == [test["verdict"] for test in found["tests"]]
    [bars] = tables["bars"]
    runs = {name: sum(trace["x"][index] for trace in bars["traces"]) for index, name in enumerate(bars["names"])}
    assert runs == dict.fromkeys(bars["names"], RUNS)
    tests = {test["name"]: test for test in found["tests"] if test["mode"] is None}
    for name, most in zip(bars["names"], bars["traces"][0]["x"], strict=True):
        if name in tests:
            assert most == max(item["count"] for item in tests[name]["states"])


def test_the_museum_has_a_map(made):
    text, tables, found = made("museum")
    generations = sorted({row["generation"] for row in found})
    row = re.search(r"<tr><th>early-return</th>(.*?)</tr>", text, re.DOTALL)[1]
    kinds = dict(zip(generations, re.findall(r'<td class="(\w*)">', row), strict=True))
    assert kinds == {item["generation"]: "found" if item["found"] else "clean" for item in found}
    assert "found" in kinds.values() and "clean" in kinds.values()
    for name in ("generation", "clock", "runs", "sentence"):
        assert column(tables["exhibits"], name) == [item[name] for item in found]


@pytest.mark.slow
def test_a_knock_out_has_a_map(made):
    text, tables, found = made("knockout")
    kinds = {what: re.findall(r'<td class="(\w+)">', row)
             for what, row in re.findall(r"<tr><th>([^<]+)</th>\n(<td.*?)</tr>", text, re.DOTALL)}
    assert kinds == {what: ["idle" if not row["runs"] else "found" if row["violation"] else "clean"
                            for row in found if row["removed"] == what] for what in ("spin_unlock_wmb", "cfd_lock")}
    assert "idle" in kinds["spin_unlock_wmb"]
    for name in ("scenario", "violation", "hits"):
        assert column(tables["cases"], name) == [row[name] for row in found]


def test_a_page_without_a_charting_library_is_refused_before_the_work(crosscall, monkeypatch):
    monkeypatch.setattr("sim.report.page.find_spec", lambda name: None)
    monkeypatch.setattr("sim.report.page._library", __import__("sim.report.page").report.page._library.__wrapped__)
    code, output, errors = crosscall("litmus", "--html")
    assert (code, output) == (3, "")
    assert "pip install plotly" in errors
