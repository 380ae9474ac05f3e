"""Prepares a run. Everything that is wrong is refused here, before anything is elaborated or written."""

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from pathlib import Path

from rtl.config import lacking
from rtl.memory.port import MemoryModel
from sim.engines.engine import PLAIN, Contents, Job
from sim.errors import InputError
from sim.microcode.assembler import SOURCES, UnknownDefine, assemble
from sim.microcode.image import Image
from sim.microcode.knockout import idle_barriers, knock_out
from sim.microcode.protocols import find_protocol
from sim.scenarios.contents import contents
from sim.scenarios.expected import expected_of
from sim.scenarios.reader import Scenario, find_scenario, is_shipped, read_scenario
from sim.spelling import closest
from sim.texts import integer, read_text
from sim.watchdog import JUDGES

from .description import OfScenario, Run, contents_digest, limit_of
from .profile import profile_of, room_of
from .settings import Settings, preset_config, settings

__all__ = ["ENDLESS", "Prepared", "load", "patience_of", "prepare", "window_of"]

#: Clocks without progress, beyond those that the scenario itself may take, after which a run is stuck.
_PATIENCE = 5000
#: More clocks than any run has.
ENDLESS = 1 << 40


@dataclass(frozen=True)
class Prepared:
    """A Run of a scenario, read, assembled and checked.

    barriers : omitted barriers that do nothing under the memory model of the run -> a model under which they could.
    """

    run: Run
    scenario: Scenario
    image: Image
    contents: Contents
    barriers: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self):
        return Settings(self.run.config, self.run.straps, self.run.subject.defines)

    @property
    def without(self):
        return self.run.subject.without

    @property
    def room(self):
        """The Room of a Monitor that judges it without the oracles."""
        return room_of(self.scenario)

    @property
    def patience(self):
        return patience_of(self.scenario, self.run.plan)

    @cached_property
    def expected(self):
        """The oracles that the run is expected to violate, from the scenario, or from the file beside the protocol."""
        if self.scenario.document.has(("expect", "violations")):
            return self.scenario.expected
        if self.image.path.parent == SOURCES and not is_shipped(self.scenario):
            return ()                 # a user's file with the name of a shipped one is another scenario
        return expected_of(self.image.path, JUDGES, scenario=self.scenario.name, memory=self.settings.memory,
                           cores=self.run.config.n_cores)

    @cached_property
    def profile(self):
        """What the Monitor knows about the protocol."""
        return profile_of(self.run.config, self.image, straps=self.run.straps, arena=self.contents.arena,
                          visits=self.scenario.visits)

    @property
    def job(self):
        """The Run, in the form that a machine takes."""
        return Job(self.contents, self.run.straps, max_clocks=self.run.max_clocks, patience=self.patience, profile=self.profile,
                   **self.run.driven)

    def jobs(self, plans):
        """The Job of each of these plans."""
        job = self.job
        return (replace(job, plan=plan, patience=patience_of(self.scenario, plan)) for plan in plans)

    def under(self, **changes):
        """The same with other limits, another plan or schedule (fields of its Run)."""
        return replace(self, run=replace(self.run, **changes))

    def patient(self, patience):
        """The same with this limit."""
        return replace(self, run=replace(self.run, patience=patience), scenario=_with_limits(self.scenario, patience, None))

    def with_straps(self, **straps):
        """The same with other straps; image and arena do not depend on them. Raises InputError if the machine lacks what they
        need."""
        held = replace(self.run.straps, **straps)
        for _, _, sentence in lacking(self.run.config, held):
            raise InputError(f"{self.scenario.name}: {sentence}")
        return self.under(straps=held)

    def leaving_out(self, names):
        """The same without these barriers and locks."""
        subject = replace(self.run.subject, without=(*self.run.subject.without, *names))
        return _prepared(replace(self.run, subject=subject), self.scenario, self.image)

    def recorded(self, **more):
        """The Run with everything needed to repeat it elsewhere. more : fields of it."""
        subject, files = self.run.subject, dict(self.run.files)
        if not files:
            if subject.scenario.endswith(".toml"):
                files["scenario"] = self.scenario.document.text
            if subject.protocol.endswith(".uasm"):
                files["protocol"] = read_text(subject.protocol)
        return replace(self.run, contents=contents_digest(self.contents), files=files, **more)


def prepare(name, *, text=None, protocol=None, cores=None, preset=None, assignments=(), sweep=(), without=(), seed=0,
            patience=None, visits=None):
    """The run that a command line describes, ready to run. Raises InputError.

    name : a shipped scenario, or a path.  text : replaces the file's text; the file then need not exist.
    protocol, cores, preset : override those of the scenario.
    assignments : ``key=value`` of ``--set``.  sweep : likewise, of ``--sweep``.  without : named barriers and locks to leave out.
    patience, visits : limits, overriding those of the scenario.
    """
    if cores is None and preset is not None:
        cores = preset_config(preset).n_cores
    scenario = _with_limits(read_scenario(find_scenario(name), cores=cores, seed=seed, text=text), patience, visits)
    for oracle in scenario.expected:
        if oracle not in JUDGES:
            raise scenario.document.refusal(("expect", "violations"), f'names the oracle "{oracle}", which does not exist'
                                                                      f"{closest(oracle, JUDGES)} (there are: {', '.join(JUDGES)})")
    chosen = settings(scenario, preset=preset or "default", assignments=assignments, sweep=sweep)
    run = Run(subject=OfScenario(scenario=str(name), seed=seed, protocol=str(protocol or scenario.protocol), defines=chosen.defines,
                                 without=tuple(without)),
              config=chosen.config, straps=chosen.straps, max_clocks=limit_of(chosen.config.n_cores), patience=patience,
              visits=visits)
    try:
        path = find_protocol(run.subject.protocol)
    except InputError as error:
        if protocol is not None:
            raise
        raise scenario.document.refusal(("protocol",), f"is refused: {error}") from None
    try:
        image = _assembled(run, path)
    except UnknownDefine as error:
        if chosen.defines.get(error.name) != scenario.defines.get(error.name):
            option = "--sweep" if any(text.startswith(f"define.{error.name}=") for text in sweep) else "--set"
            raise InputError(f"{option} define.{error.name}={chosen.defines[error.name]}: {error}") from None
        raise scenario.document.refusal(("defines", error.name), f"is refused: {error}") from None
    barriers = idle_barriers(image, without, MemoryModel(chosen.straps.memory_model))
    prepared = _prepared(run, scenario, image)
    for word in scenario.data:
        try:
            prepared.image.address_of(word)
        except KeyError:
            raise scenario.document.refusal(("expect", "data", word), f"is not a word that {image.path.name} declares") from None
    return replace(prepared, barriers=barriers)


def load(run, *, file=None, tell=lambda line: None):
    """The Prepared of a Run of a scenario. Raises InputError if it would be another run; ``file`` is the file that describes it.

    tell : called with a sentence about the user's own files if they have changed.
    """
    own = {kind: _own_file(run, kind, tell) for kind in ("scenario", "protocol")}
    scenario = read_scenario(own["scenario"] or find_scenario(run.subject.scenario), cores=run.config.n_cores,
                             seed=run.subject.seed, text=run.files.get("scenario"))
    image = _assembled(run, own["protocol"] or find_protocol(run.subject.protocol), text=run.files.get("protocol"))
    prepared = _prepared(run, _with_limits(scenario, run.patience, run.visits), image)
    run.check(prepared.contents, file=file)
    return prepared


def _assembled(run, path, **text):
    # A kernel would find this out at boot; the microcode is told: in x2APIC mode the send path has a fence.
    mode = {"X2APIC": 1} if run.straps.x2apic else {}
    return assemble(path, n_cores=run.config.n_cores, xlen=run.config.xlen, defines={**run.subject.defines, **mode}, **text)


def _prepared(run, scenario, image):
    image = knock_out(image, run.subject.without)
    return Prepared(run, scenario, image, contents(scenario, image, run.config))


def _with_limits(scenario, patience, visits):
    """The Scenario with these limits, where they are not None."""
    limits = {"patience": patience, "visits": visits}
    return replace(scenario, **{name: value for name, value in limits.items() if value is not None})


def _own_file(run, kind, tell):
    """The path of the user's own file whose text is in the Run, or None. The text in the Run is used."""
    if kind not in run.files:
        return None
    path = Path(getattr(run.subject, kind))
    with suppress(InputError):
        if path.exists() and read_text(path) != run.files[kind]:
            tell(f"{path}: has changed since; the run is repeated with the {kind} in the schedule")
    return path


def window_of(text):
    """The range of clocks that ``--window`` names: ``A:B``, ``A:`` or ``:B``; None for ``auto``. Raises InputError."""
    if text == "auto":
        return None
    found = re.fullmatch(r"([0-9]*):([0-9]*)", text)
    if not found:
        raise InputError(f"--window {text}: must be written as A:B, the first clock and the one after the last, or as auto")
    window = range(integer(found[1] or "0"), integer(found[2] or str(ENDLESS)))
    if not window:
        raise InputError(f"--window {text}: contains no clock")
    return window


def patience_of(scenario, plan=PLAIN):
    """The number of clocks without progress after which a run is stuck: more than the scenario itself may take, or as it specifies,
    plus the time that the plan may hold it up."""
    if scenario.patience is not None:
        return ceil(scenario.patience * plan.slowness)
    commands = [command for program in scenario.programs for command in program]
    return ceil((_PATIENCE + max(scenario.work)) * plan.slowness) + max(command.at + command.delay for command in commands)
