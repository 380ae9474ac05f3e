"""Protocols that are none of the shipped ones, and what is judged of them on the shipped scenarios.

Some stand under ``tests/protocols``; others are v4 with something replaced in its text.
"""

import re
import shutil
from functools import cache
from pathlib import Path

from sim.engines.engine import Ending
from sim.engines.spec import EngineSpec
from sim.microcode.assembler import assemble
from sim.microcode.protocols import find_protocol
from sim.runs.description import OfScenario, Run
from sim.runs.prepare import Prepared
from sim.runs.run import run
from sim.runs.settings import settings
from sim.scenarios.contents import contents
from sim.scenarios.reader import find_scenario, read_scenario, shipped_scenarios

__all__ = ["OWN", "SCENARIOS", "Protocol", "changed", "judged", "v4"]

#: Where protocols of the tests stand.
OWN = Path(__file__).parents[1] / "protocols"
#: The shipped scenarios without those about what another protocol than v4 has.
SCENARIOS = [name for name in shipped_scenarios() if read_scenario(find_scenario(name), seed=0).protocol == "v4"]


@cache
def v4():
    """The text of v4, and in it that of all it includes."""
    def flat(path):
        return re.sub(r'^\.include "(.*)"$', lambda found: flat(path.parent / found[1]), path.read_text(), flags=re.MULTILINE)

    return flat(find_protocol("v4"))


def changed(*changes, text=None):
    """v4's text (or this one) with some lines replaced.

    changes : (routine, part of a line, what comes in its place): the first line with that part from the routine's label on. An
        empty part is the label itself. In what comes in its place, ``{}`` stands for the line.
    """
    lines = (v4() if text is None else text).splitlines()
    for routine, part, new in changes:
        start = lines.index(f"{routine}:")
        at = next(number for number in range(start, len(lines)) if part in lines[number])
        lines[at:at + 1] = new.replace("{}", lines[at]).splitlines()
    return "\n".join(lines) + "\n"


@cache
def engine_for(config):
    """The compiled engine, if there is a C compiler."""
    return EngineSpec(config).make()


class _Impatient:
    """An engine whose runs end with the first violation that the scenario does not expect."""

    def __init__(self, engine, expected):
        self.name, self.config = engine.name, engine.config
        self._engine = engine
        self._expected = expected

    def run(self, *arguments, sink, **options):
        self._sink = sink
        self._judges = [judge for judge in sink.judges if judge.name not in self._expected]
        return self._engine.run(*arguments, sink=self, **options)

    def on_clock(self, clock, records, probe):
        stuck = self._sink.on_clock(clock, records, probe)
        return stuck or any(judge.violations for judge in self._judges)


class Protocol:
    """A protocol in a folder of its own, or one that stands somewhere."""

    def __init__(self, folder=None, text=None, *, path=None):
        self.path = path or Path(folder) / "protocol.uasm"
        if text is not None:
            self.path.write_text(text)
            # What is expected of v4 is expected of what was made of it, too.
            shutil.copy(find_protocol("v4").with_suffix(".expected.toml"), self.path.with_suffix(".expected.toml"))
        self._images = {}

    def prepare(self, name, **options):
        """A scenario with this protocol; assembled once for all scenarios with as many cores. options : of ``settings``."""
        scenario = read_scenario(find_scenario(name), seed=0)
        chosen = settings(scenario, **options)
        key = scenario.n_cores, chosen.config.xlen, *chosen.defines.items()
        image = self._images.get(key)
        if image is None:
            image = assemble(self.path, n_cores=scenario.n_cores, xlen=chosen.config.xlen, defines=chosen.defines)
            self._images[key] = image
        run = Run(subject=OfScenario(scenario=str(name), protocol=str(self.path), defines=chosen.defines), config=chosen.config,
                  straps=chosen.straps)
        return Prepared(run, scenario, image, contents(scenario, image, chosen.config))

    def run(self, name, *, impatient=False, max_clocks=100_000, **options):
        """The Result of a scenario. impatient : it ends with the first violation that the scenario does not expect."""
        prepared = self.prepare(name, **options)
        engine = engine_for(prepared.settings.config)
        if impatient:
            engine = _Impatient(engine, prepared.expected)
        return run(prepared.under(max_clocks=max_clocks), engine=engine)


def judged(result):
    """(names of the oracles that are violated, of those that cannot judge) of a Result."""
    assert result.ending is not Ending.LIMIT
    return ({item.oracle for item in result.violations},
            {oracle["name"] for oracle in result.oracles if oracle["verdict"] == "not judged"})
