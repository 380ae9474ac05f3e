"""The museum: what is said of a defect, what is seen of it, and what is refused."""

import json
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.hunt.search import search, watch
from sim.microcode.protocols import barriers_and_locks, find_protocol, shipped_protocols
from sim.museum.museum import PLANS, exhibits, read_defects, shipped_defects
from sim.runs.prepare import prepare
from sim.runs.run import run
from sim.watchdog import JUDGES
from tests.sim.runs import engine_for

#: What a row has, at least.
FIELDS = {"generation", "defect", "cores", "memory", "expected", "found", "clock", "wave"}
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "museum.md"
DEFECTS = shipped_defects()


# --- what there is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DEFECTS)
def test_every_defect_is_about_something(name):
    defect = DEFECTS[name]
    assert {*defect.has, *defect.clean} <= set(shipped_protocols()) and defect.has and defect.oracles <= set(JUDGES)
    assert not defect.without or all(set(defect.without) & set(barriers_and_locks(protocol)) for protocol in defect.has)
    files = [exhibit.file for exhibit in exhibits([name])]
    assert len(files) == len(set(files)) == len(defect.has) + len(defect.clean), "each has waves of its own"
    assert all(exhibit.prepared().run.config.n_cores == defect.cores for exhibit in exhibits([name]))
    if defect.scenario.endswith(".toml"):
        with pytest.raises(InputError, match=f"needs at least {defect.cores} cores"):
            prepare(defect.scenario, protocol=defect.has[0], cores=defect.cores - 1)


@pytest.mark.parametrize("name", DEFECTS)
def test_it_is_documented(name):
    """docs/museum.md: a row of the table, and a section with the command."""
    defect, text = DEFECTS[name], DOCUMENTATION.read_text()
    head, = (line for line in text.splitlines() if line.startswith("| defect |"))
    cells = [f"[{name}](#{name})", str(defect.cores), ", ".join(sorted(defect.oracles))]
    for generation in [cell.strip(" `") for cell in head.split("|")[5:-1]]:
        has, clean = generation in defect.has, generation in defect.clean
        cells.append("variant" if has and defect.variant else "yes" if has else "-" if clean else " ")
    row, = (line for line in text.splitlines() if line.startswith(f"| [{name}]"))
    columns = [cell.strip() or " " for cell in row.split("|")[1:-1]]
    assert [columns[0], *columns[2:]] == cells
    assert f"\n## {name}\n" in text and f"crosscall museum {name}`" in text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]


GOOD = {"name": "mine", "title": "of mine", "scenario": "many", "oracles": ["O1"], "cores": 3, "has": ["v4"], "clean": ["v6"]}


def _read(folder, **changes):
    entry = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
    path = folder / "defects.toml"
    path.write_text("[[defect]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items()))
    return read_defects(path)


def test_a_file_is_read(tmp_path):
    (tmp_path / "own.toml").write_text("")
    assert _read(tmp_path)["mine"].scenario == "many"
    assert _read(tmp_path, scenario="own")["mine"].scenario == str(tmp_path / "own.toml")
    assert _read(tmp_path, variant=["define.A=1"], clean=["v4"])["mine"].clean == ("v4",)


@pytest.mark.parametrize("changes, refusal", [
    *(({key: None}, f"has no {key}") for key in GOOD),
    ({"oracle": "O1"}, 'defect[0].oracle is not known here, did you mean "oracles"?'),
    ({"oracles": ["O99"]}, 'oracles has "O99", which does not exist'),
    ({"oracles": [1]}, 'oracles has "1", which does not exist'),
    ({"has": ["v5"]}, 'has has "v5", which does not exist'),
    ({"clean": ["v2.6.31"]}, 'clean has "v2.6.31", which does not exist, did you mean'),
    ({"clean": ["v4"]}, 'clean has "v4", as `has` does, and there is no variant'),
    ({"scenario": "mani"}, 'scenario is "mani", which neither stands here nor is shipped, did you mean "many"?'),
    ({"without": ["refs_rmb"]}, 'without has "refs_rmb", which none of these generations names'),
    ({"plans": "luck"}, "plans must be one of hunt, stalls"),
    ({"cores": 65}, "cores must be from 1 to 64"),
    ({"cores": "3"}, "cores must be a whole number"),
])
def test_a_file_that_names_what_does_not_exist_is_refused(changes, refusal, tmp_path):
    with pytest.raises(InputError) as error:
        _read(tmp_path, **changes)
    assert refusal in str(error.value) and str(tmp_path / "defects.toml") in str(error.value)


def test_a_name_stands_for_one_defect(tmp_path):
    _read(tmp_path)
    path = tmp_path / "defects.toml"
    path.write_text(path.read_text() * 2)
    with pytest.raises(InputError, match='names "mine" a second time'):
        read_defects(path)


def test_only_what_is_asked_for():
    shown = exhibits(["elided", "early-return", "elided"], ["v6", "v4", "v6"])
    assert [(one.defect.name, one.what, one.has) for one in shown] == [
        ("elided", "v6 define.REMOTE_IF_INTERRUPTED=1", True), ("elided", "v6", False), ("elided", "v4", False),
        ("early-return", "v6", False), ("early-return", "v4", True)]


# --- the command ------------------------------------------------------------------------------------------------------


def test_who_has_it_shows_it_and_who_is_clean_does_not(crosscall):
    """In the plain run and under a schedule; and what is beside the waves is just that."""
    code, out, err = crosscall("museum", "early-return", "nested-lock", "--protocol", "v4", "--protocol", "v2.6.30", "--runs", 20,
                               "--json")
    assert err == ""
    rows = {(row["defect"], row["generation"]): row for row in json.loads(out)}
    assert all(row.keys() >= FIELDS for row in rows.values())
    assert {key: row["expected"] for key, row in rows.items()} == {
        (name, generation): generation in DEFECTS[name].has
        for name in ("early-return", "nested-lock") for generation in ("v4", "v2.6.30")}
    assert code == (0 if all(row["as_expected"] for row in rows.values()) else 1)
    for row in rows.values():
        assert row["found"] == (row["clock"] is not None) == (row["wave"] is not None) == (row["oracle"] is not None)
        if row["found"]:
            wave = Path(row["wave"])
            assert wave == Path("waves/museum") / f"{row['defect']}.{row['generation']}.vcd" and wave.is_file()
            code, out, _ = crosscall("replay", wave.with_suffix(".schedule"), "--no-vcd", "--json")
            again = json.loads(out)
            assert code == 1 and again["protocol"] == row["generation"] and len(again["calls"]) and [
                row["oracle"], row["clock"]] in [[item["oracle"], item["clock"]] for item in again["violations"]]
    assert rows["early-return", "v4"]["run"] is None and rows["early-return", "v2.6.30"]["runs"] == 20


def test_a_protocol_of_ones_own_and_no_waves(crosscall):
    """Nothing is known of it, so it should be clean; a copy of v4 is not."""
    Path("mine.uasm").write_text(find_protocol("v4").read_text())
    code, out, err = crosscall("museum", "early-return", "--protocol", "mine.uasm", "--runs", 0, "--no-vcd")
    assert (code, err) == (1, "") and not Path("waves").exists()
    first, heading, title, row, _, summary = out.splitlines()
    assert first.startswith("early-return: mine shows O1: core 1 had not finished the function when call 0.0 ")
    assert heading.split() == ["generation", "cores", "memory", "expected", "found", "run", "clock", "waves"]
    assert title == f"early-return: {DEFECTS['early-return'].title}"
    assert row.split()[:7] == ["mine", "3", "sc", "clean", "O1", "(!)", "plain"]
    assert summary == "1 exhibit, 1 not as expected"


def test_what_is_known_and_not_seen_is_not_as_expected(crosscall):
    """A schedule shows it, and there is none."""
    code, out, _ = crosscall("museum", "lost-target", "--protocol", "v2.6.32", "--runs", 0, "--no-vcd", "--json")
    row, = json.loads(out)
    assert (code, row["expected"], row["found"], row["as_expected"]) == (1, True, False, False)
    assert row["wave"] is row["clock"] is row["run"] is row["oracle"] is None


@pytest.mark.parametrize("arguments, refusal", [
    (("early-retrun",), 'there is no defect "early-retrun", did you mean "early-return"?'),
    (("--protocol", "v5"), 'there is no protocol "v5"'),
    (("early-return", "--protocol", "absent.uasm"), "absent.uasm: there is no such file"),
    (("nested-wait", "--protocol", "mailbox"), "mailbox"),
])
def test_refused(arguments, refusal, crosscall):
    code, out, err = crosscall("museum", *arguments)
    assert (code, out) == (2, "") and refusal in err and not Path("waves").exists()


# --- the search -------------------------------------------------------------------------------------------------------


class _One:
    """An engine that runs one after the other, and counts."""

    name = "one"
    lanes = 1

    def __init__(self, engine):
        self.engine, self.watched, self.judged = engine, 0, 0

    def run(self, job, **options):
        self.judged += 1
        return self.engine.run(job, **options)

    def run_many(self, jobs, **options):
        for job in jobs:
            self.watched += 1
            yield self.engine.run(job, **options)


def test_an_engine_without_lanes_runs_no_more_than_it_must():
    prepared = prepare("storm", protocol="v4")
    engine = _One(engine_for(prepared.run.config))
    found = search(prepared, engine, runs=1000, wanted="O12".__eq__)
    assert next(found).number is None and (engine.watched, engine.judged) == (0, 1)
    hit = next(found)
    assert (engine.watched, engine.judged) == (hit.number + 1, 2)
    assert [item.oracle for item in hit.violations] == ["O12"] * len(hit.violations)
    # Whoever has lanes finds the same.
    seen = dict(watch(prepared, engine, range(4)))
    assert [number for number, flags in seen.items() if "mask" in flags][0] == hit.number


def test_the_oracles_may_judge_each_run():
    """What has a flag they find in the same runs."""
    prepared = prepare("early-return")
    engine = engine_for(prepared.run.config)
    hits, judged = ([(hit.number, hit.first.clock)
                     for hit in search(prepared, engine, runs=8, wanted="O1".__eq__, by_oracles=by_oracles)]
                    for by_oracles in (False, True))
    assert hits == judged and hits[0][0] is None and len(hits) > 1


def test_what_is_found_is_run_again_whatever_draws_schedules():
    prepared = prepare("storm", protocol="v4")
    engine = engine_for(prepared.run.config)
    hit = [found for found, _ in zip(search(prepared, engine, runs=64, wanted="O12".__eq__), range(3), strict=False)][-1]
    again = run(hit.repeatable, engine=engine)
    assert hit.number is not None and again.digest == hit.result.digest and again.seen["O12"] == hit.first.clock


@pytest.mark.parametrize("name", PLANS)
def test_plans_are_drawn_from_a_number(name):
    plans = [PLANS[name](number) for number in range(100)]
    assert plans == [PLANS[name](number) for number in range(100)] and len(set(plans)) == 100


# --- all of it --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFECTS)
def test_the_museum_is_as_expected(name, crosscall):
    """Each defect where it is known to be; who is clean stays so over 1,000 schedules."""
    code, out, err = crosscall("museum", name, "--runs", 1000, "--json")
    rows = json.loads(out)
    for row in rows:
        print(f"{row['generation']}: {row['oracle']}, run {row['run']}, clock {row['clock']}: {row['sentence']}")
    assert (code, err) == (0, "") and all(row["as_expected"] for row in rows)
    assert all(row["runs"] == 1000 for row in rows if not row["expected"])
    assert all(Path(row["wave"]).is_file() for row in rows if row["expected"])
