"""Which microwords a run has begun, and which no scenario reaches."""

import json
from pathlib import Path

import pytest

from rtl.config import MachineConfig
from rtl.core.seen import CoreState
from rtl.probe import probe_layout
from sim.begun import Begun
from sim.engines.pysim import PySimEngine
from sim.microcode.assembler import assemble
from sim.records import CoreRecord, Sources
from sim.report.unreached import main, unreached, words_of
from sim.runs.prepare import prepare


def probes(*clocks):
    """Of a machine of one core: (state, go, pc, depth) in each clock."""
    layout = probe_layout(MachineConfig(n_cores=1))
    for state, go, pc, depth in clocks:
        core = {"state": state, "go": go, "pc": pc, "depth": depth}
        yield layout.const({"tile": [{"core": core}]}).as_value().value


RUN = CoreState.RUN


#: Word 3 of it may jump to itself.
LOOPS = """
.title "loops"
    nop
    fence FULL
    fence FULL
.here:
    loop  r0, r0, .here
    jmp   .here
"""


@pytest.mark.parametrize("clocks, begun", [
    ([(RUN, 1, 5, 0), (RUN, 1, 6, 0), (RUN, 1, 7, 0)], {5, 6}),
    ([(RUN, 0, 5, 0), (RUN, 1, 6, 0), (CoreState.MEMORY, 1, 6, 0)], {6}),                       # held back
    ([(RUN, 1, 5, 0), (CoreState.DELAY, 1, 1, 1), (RUN, 1, 1, 1), (RUN, 1, 2, 1)], {1}),        # an interrupt instead of word 5
    ([(RUN, 1, 5, 0), (RUN, 1, 1, 1), (RUN, 1, 2, 1)], {1}),                                    # one that takes no time
    ([(RUN, 1, 9, 1), (CoreState.DELAY, 1, 5, 0)], {9}),                                        # IRET
    ([(CoreState.HALT, 1, 5, 0), (CoreState.DELAY, 1, 1, 1)], set()),
    ([(RUN, 1, 5, 0), (CoreState.WAIT_STARTUP, 1, 0, 0)], set()),                               # INIT
    ([(RUN, 1, 5, 0), (CoreState.TRAPPED, 1, 5, 0)], {5}),
])
def test_what_a_core_begins(clocks, begun):
    assert set(_begun(clocks)) == begun


@pytest.mark.parametrize("clocks, begun", [
    ([(RUN, 1, 1, 0), (RUN, 1, 1, 0), (RUN, 1, 1, 0), (RUN, 1, 2, 0), (RUN, 1, 2, 0)], {1: 1, 2: 1}),  # fences that wait
    ([(RUN, 1, 1, 0), (RUN, 0, 1, 0), (RUN, 1, 1, 0), (RUN, 1, 2, 0)], {1: 1}),                        # held while it waits
    ([(RUN, 1, 1, 0), (RUN, 1, 1, 0), (RUN, 1, 9, 1), (RUN, 1, 1, 0), (RUN, 1, 2, 0)], {1: 2, 9: 1}),  # interrupted: once more
    ([(RUN, 1, 3, 0), (RUN, 1, 3, 0), (RUN, 0, 3, 0), (RUN, 1, 3, 0), (RUN, 1, 4, 0)], {3: 3}),        # a loop
    ([(RUN, 1, 4, 0), (RUN, 1, 3, 0), (RUN, 1, 4, 0), (RUN, 1, 3, 0)], {4: 2, 3: 1}),
    ([(RUN, 1, 2, 0), (CoreState.MEMORY, 1, 2, 0), (RUN, 1, 2, 0), (RUN, 1, 5, 0)], {2: 2}),
])
def test_how_often(clocks, begun):
    assert _begun(clocks) == begun


def _begun(clocks):
    sink = Begun(MachineConfig(n_cores=1), assemble(Path("loops.uasm"), n_cores=1, xlen=16, text=LOOPS))
    for clock, probe in enumerate(probes(*clocks)):
        assert not sink.on_clock(clock, [], probe)
    return sink.counts


class Both(Begun):
    """Sees the records, too."""

    def __init__(self, config, image):
        super().__init__(config, image)
        self._sources = Sources(config)
        self.spoke = set()

    def on_clock(self, clock, records, probe):
        for index, raw in records:
            record = self._sources.decode(clock, index, raw)
            if isinstance(record, CoreRecord):
                self.spoke.add(record.pc)
        return super().on_clock(clock, records, probe)


def test_what_speaks_has_begun():
    """On the reference; and nothing begins that is no word of the image."""
    prepared = prepare("single")
    sink = Both(prepared.settings.config, prepared.image)
    PySimEngine(prepared.settings.config).run(prepared.under(max_clocks=5000).job, sink=sink, probe=True)
    assert sink.spoke
    assert sink.spoke <= set(sink.counts) <= prepared.image.lines.keys()
    assert 0 < len(set(sink.counts)) < len(prepared.image.lines)


def test_words_are_known_by_their_place():
    """The same for every number of cores, and each has its own."""
    few, more = (prepare("many", cores=cores).image for cores in (4, 20))
    assert len(words_of(few)) == len(few.lines)
    assert words_of(few).keys() == words_of(more).keys()


def test_what_a_scenario_does_not_reach():
    alone = unreached("v4", ["single"])
    both = unreached("v4", ["single", "many"])
    assert alone["words"] == both["words"] == alone["reached"] + len(alone["unreached"])
    labels = [{item["label"].split("+")[0] for item in found["unreached"]} for found in (alone, both)]
    assert "cmd_many" in labels[0] - labels[1]
    assert "cmd_single" not in labels[0]
    assert all(".uasm:" in item["place"] for item in alone["unreached"])


def test_command(capsys):
    assert main(["mailbox", "--scenario", "single", "--scenario", "back-to-back", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["protocols"]
    assert found["scenarios"] == ["single"]
    assert list(found["refused"]) == ["back-to-back"]
    assert main(["v4", "--scenario", "single"]) == 0
    assert capsys.readouterr().out.startswith("v4: ")
    assert main(["v5"]) == 2
    assert capsys.readouterr().err.startswith('crosscall: there is no protocol "v5"')
