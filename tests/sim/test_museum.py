"""The museum: defects, on the generations that have them and on those that do not."""

import json
from pathlib import Path

import pytest

from sim.engines.spec import EngineSpec
from sim.errors import InputError
from sim.hunt.search import search
from sim.museum.museum import defects, exhibits, show
from sim.runs.prepare import prepare

FIELDS = {"generation", "defect", "cores", "memory", "expected", "found", "clock", "wave"}


def test_every_defect_is_whole():
    known = defects()
    assert len(known) >= 20
    for defect in known.values():
        assert defect.name and defect.title and defect.oracles and defect.has
        assert not set(defect.has) & set(defect.clean)
    # All eight generations have something.
    assert len({protocol for defect in known.values() for protocol in defect.has}) == 8


@pytest.mark.parametrize("exhibit", exhibits(), ids=lambda exhibit: exhibit.file)
def test_every_exhibit_can_be_made_ready(exhibit):
    exhibit.prepared()


def test_a_defect_and_its_repair(crosscall, tmp_path):
    code, out, err = crosscall("museum", "early-return", "late-unlock", "--runs", "16", "--out", tmp_path, "--json")
    rows = json.loads(out)
    assert (code, err) == (0, "")
    assert all(row.keys() >= FIELDS for row in rows)
    assert [row["found"] for row in rows] == [row["expected"] for row in rows]
    shown = next(row for row in rows if row["generation"] == "v4" and row["found"])
    assert (shown["oracle"], shown["cores"], shown["memory"]) == ("O1", 3, "sc")
    # The waves are there, and the schedule beside them repeats them to the clock.
    assert Path(shown["wave"]).stat().st_size > 1000
    code, out, _ = crosscall("replay", Path(shown["wave"]).with_suffix(".schedule"), "--no-vcd", "--json")
    assert ("O1", shown["clock"]) in [(item["oracle"], item["clock"]) for item in json.loads(out)["violations"]]


def test_a_defect_that_takes_a_schedule(tmp_path):
    row, = (row for row in show(exhibits(["double-execution"], ["v2.6.39"]), runs=64, out=tmp_path, processes=1))
    assert row.found == "O2" and row.run is not None and row.runs == row.run + 1
    assert row.as_expected


def test_what_is_not_as_expected_is_said(crosscall, tmp_path):
    """A protocol of one's own, which should be clean and is not."""
    from sim.microcode.protocols import find_protocol
    path = tmp_path / "mine.uasm"
    path.write_text(find_protocol("v4").read_text(encoding="utf-8"), encoding="utf-8")
    code, out, _ = crosscall("museum", "early-return", "--protocol", path, "--runs", "0", "--no-vcd")
    assert code == 1
    assert "early-return: mine shows O1: " in out and "1 exhibits, 1 not as expected" in out
    assert [item.name for item in tmp_path.iterdir()] == ["mine.uasm"]


@pytest.mark.parametrize("arguments, message", [
    (["early-retrun"], 'there is no defect "early-retrun", did you mean "early-return"?'),
    (["--protocol", "v5"], 'there is no protocol "v5"'),
])
def test_bad_input(crosscall, arguments, message):
    code, out, err = crosscall("museum", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.parametrize("line, message", [
    ('oracles = ["O99"]', 'has "O99", which does not exist'), ('has = ["v5"]', 'has "v5", which is not a protocol'),
    ('plans = "mine"', "plans must be one of hunt, stalls"), ("colour = 1", "is not known here"),
])
def test_a_list_of_defects_that_is_wrong(tmp_path, line, message):
    path = tmp_path / "defects.toml"
    path.write_text(f'[[defect]]\nname = "x"\nscenario = "single"\n{line}\n')
    with pytest.raises(InputError, match="defect") as refused:
        defects(path)
    assert message in str(refused.value)


def test_a_search_says_the_plain_run_first_and_goes_on():
    prepared = prepare("early-return")
    engine = EngineSpec(prepared.run.config, room=prepared.room, many=True).make()
    hits = list(search(prepared, engine, runs=8, wanted={"O1"}.__contains__))
    assert hits[0].number is None and hits[0].first.oracle == "O1"
    assert [hit.number for hit in hits[1:]] == sorted(hit.number for hit in hits[1:]) != []
    judged = search(prepared, engine, runs=8, wanted={"O1"}.__contains__, by_oracles=True)
    assert [(hit.number, hit.first.clock) for hit in judged] == [(hit.number, hit.first.clock) for hit in hits]
    assert not list(search(prepared, engine, runs=8, wanted={"O5"}.__contains__))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(defects()))
def test_the_whole_museum(name):
    """A thousand schedules of each generation that is clean."""
    for row in show(exhibits([name]), runs=1000, out=None, processes=2, waves=False):
        assert row.as_expected, row.to_json()
