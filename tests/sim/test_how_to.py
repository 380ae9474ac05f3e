"""The examples of ``docs/how-to.md`` work."""

import re
import tomllib
from pathlib import Path

import pytest

from sim.engines.spec import EngineSpec
from sim.oracles import ORACLES
from sim.runs.prepare import prepare
from sim.runs.run import run

TEXT = (Path(__file__).parents[2] / "docs" / "how-to.md").read_text(encoding="utf-8")


def example(language):
    return re.search(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)[1]


def judged(scenario):
    prepared = prepare(scenario)
    return run(prepared, engine=EngineSpec(prepared.run.config).make())


def test_the_scenario_runs(tmp_path):
    (tmp_path / "mine.toml").write_text(example("toml"))
    result = judged(str(tmp_path / "mine.toml"))
    assert not result.violations and len(result.calls) == tomllib.loads(example("toml"))["cores"] * 3


@pytest.mark.parametrize("scenario, verdict", [("single", "holds"), ("two-senders", "not exercised")])
def test_the_oracle_judges(scenario, verdict, monkeypatch):
    names = {}
    exec(example("python"), names)
    monkeypatch.setattr("sim.oracles.ORACLES", (*ORACLES, names["NoVainInterrupt"]))
    assert {oracle["name"]: oracle["verdict"] for oracle in judged(scenario).oracles}["VAIN"] == verdict
