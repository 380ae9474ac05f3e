"""The file that says how to repeat a run: what is written is read, and what is wrong is refused with its place."""

import json
from dataclasses import replace

import pytest

from rtl.config import PRESETS, Straps
from rtl.schedule import ScheduleKind
from sim.engines.engine import Contents
from sim.errors import InputError
from sim.runs.description import OfScenario, Run, contents_digest
from sim.runs.plan import Plan
from sim.runs.schedule import read_run, write_run

CONTENTS = Contents((1, 2, 3), {20: 7, 16: 0})
RECIPE = Run(
    subject=OfScenario(scenario="storm", seed=3, protocol="v4", defines={"KNOB": 1}),
    config=PRESETS["tiny"], straps=Straps(fabric_latency=9),
    contents=contents_digest(CONTENTS), plan=Plan(kind=ScheduleKind.PCT, seed=0xFFFFFFFF, changes=3, horizon=12),
    violation=("early_return", 747))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "found.json"


@pytest.mark.parametrize("schedule", [
    None, (), ((0, 1),), ((12, 3), (13, 0)), ((0, 0x3FF), (5, 0), (7, 1)),
    tuple((clock, clock % 3) for clock in range(1, 200)),
], ids=lambda schedule: "none" if schedule is None else f"{len(schedule)} changes")
def test_what_is_written_is_read(path, schedule):
    recipe = replace(RECIPE, schedule=schedule)
    write_run(path, recipe)
    assert read_run(path) == recipe
    assert list(path.parent.iterdir()) == [path]


def test_a_recipe_without_a_violation(path):
    write_run(path, replace(RECIPE, violation=None))
    assert read_run(path).violation is None


def test_the_schedule_is_run_lengths(path):
    write_run(path, replace(RECIPE, schedule=((51, 3), (52, 0), (54, 1))))
    assert json.loads(path.read_text())["schedule"] == ["51x0 1x3 2x0 x1"]


def test_contents_are_known_by_their_words():
    assert contents_digest(CONTENTS) == contents_digest(Contents([1, 2, 3], {20: 7}))
    for other in (Contents((1, 2), {20: 7}), Contents((1, 2, 3), {21: 7}), Contents((1, 2, 3), {20: 8})):
        assert contents_digest(other) != RECIPE.contents


def test_other_contents_are_refused(path):
    RECIPE.check(CONTENTS)
    with pytest.raises(InputError) as error:
        RECIPE.check(Contents((1, 2), {}), file=path)
    other = contents_digest(Contents((1, 2), {}))
    assert str(error.value) == (
        f'{path}: the run cannot be repeated: microcode and arena of scenario "storm" with protocol "v4" have changed '
        f"(digest {other[:12]}, recorded {RECIPE.contents[:12]}); the scenario, the protocol or the assembler has changed since")


def change(path, *keys, to=None, **options):
    """Write RECIPE with the value at ``keys`` replaced, or taken away."""
    write_run(path, replace(RECIPE, **options))
    document = json.loads(path.read_text())
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    if to is None:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = to
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("keys, to, message", [
    (("format",), "vcd", 'is not a schedule file: it does not begin with "format": "crosscall schedule"'),
    (("version",), 2, "has version 2 of the format, and this crosscall reads version 1: the run cannot be repeated"),
    (("seed",), None, "seed is missing"),
    (("seed",), "3", "seed must be a whole number, not '3'"),
    (("seed",), True, "seed must be a whole number, not True"),
    (("sede",), 3, 'sede is not known, did you mean "seed"?: the run cannot be repeated'),
    (("defines", "KNOB"), "on", "defines.KNOB must be a whole number, not 'on'"),
    (("config", "xlen"), None, "config.xlen is missing"),
    (("config", "xlen"), 17, "config is refused: xlen must be 16, 32 or 64, not 17"),
    (("config", "pipelines"), 2, "config.pipelines is not known: the run cannot be repeated"),
    (("straps", "fabric_latency"), 256, "straps is refused: fabric_latency must be from 0 to 255, not 256"),
    (("plan", "kind"), "fair", "plan.kind must be one of none, random, pct, bounded, replay, not 'fair'"),
    (("plan", "changes"), 8, "plan is refused: changes must be from 0 to 7, not 8"),
    (("violation",), {"flag": "early_returns", "clock": 1}, 'violation.flag is not known, did you mean "early_return"?'),
    (("violation",), {"flag": "lost"}, "violation.clock is missing"),
    (("schedule",), ["3x0 1x3"], "schedule is cut off: its last entry must have no end"),
    (("schedule",), [], "schedule is cut off: its last entry must have no end"),
    (("schedule",), ["3x0 1y3 x0"], 'schedule[0] has "1y3" instead of <clocks>x<held>'),
    (("schedule",), ["3x0", "0x3 x0"], 'schedule[1] has "0x3" instead of <clocks>x<held>'),
    (("schedule",), ["x0 3x1"], 'schedule[0] has "3x1" instead of <clocks>x<held>'),
    (("schedule",), ["x400"], 'schedule[0] has "x400", which holds more than this machine has'),
    (("schedule",), [3], "schedule[0] must be a string, not 3"),
])
def test_what_is_wrong_is_refused(path, keys, to, message):
    change(path, *keys, to=to)
    with pytest.raises(InputError) as error:
        read_run(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_file_that_is_cut_off(path):
    write_run(path, RECIPE)
    text = path.read_text()
    for end in range(0, len(text) - 2, 37):
        path.write_text(text[:end])
        with pytest.raises(InputError, match="is cut off: the rest of the schedule is missing|is not a schedule file|is not JSON"):
            read_run(path)
    path.write_text(text[:-10])
    with pytest.raises(InputError, match="is cut off: the rest of the schedule is missing"):
        read_run(path)


def test_what_is_no_json(path):
    path.write_text('{"format": "crosscall schedule",\n  seed: 3}\n')
    with pytest.raises(InputError) as error:
        read_run(path)
    assert str(error.value).splitlines()[0].startswith(f"{path}:2:3: is not JSON")
    with pytest.raises(InputError, match="there is no such file"):
        read_run(path.with_name("absent.json"))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="it is not UTF-8 text"):
        read_run(path)


def test_a_file_that_cannot_be_written_leaves_what_was_there(path, monkeypatch):
    write_run(path, RECIPE)
    before = path.read_bytes()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "replace", full)
    with pytest.raises(InputError, match="cannot be written: No space left on device"):
        write_run(path, replace(RECIPE, plan=Plan(seed=4)))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
