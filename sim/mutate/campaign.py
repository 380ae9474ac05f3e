"""All mutants of a protocol, judged in several processes, with a notebook from which an interrupted campaign resumes."""

import json
import os
import time
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from random import Random

from sim.errors import InputError
from sim.files import make_folder, write_whole
from sim.microcode.protocols import find_protocol
from sim.workers.processes import side_by_side

from .equivalents import equivalents_of
from .judge import Judge, Verdict

__all__ = ["Campaign", "Report", "Row", "Sample"]

#: The sources for power-up and power-down: the same for every protocol, and mutated only on request.
_BOOT = ("allocate.uasm", "boot.uasm", "cfd.uasm", "csd.uasm", "csds.uasm")


@dataclass(frozen=True)
class Row:
    """The result of a mutant. equivalent : why it is no fault, or None.  verdict : None if it survived."""

    id: str
    line: str
    text: str
    routine: str | None
    sentence: str
    equivalent: str | None
    verdict: Verdict | None

    def to_json(self):
        verdict = asdict(self.verdict) if self.verdict is not None else dict.fromkeys(Verdict.__annotations__)
        return {"mutant": self.id, "line": self.line, "text": self.text, "routine": self.routine, "change": self.sentence,
                **verdict, "equivalent": self.equivalent}


#: Standard deviations to either side that hold 95 % of a normal distribution.
_DEVIATIONS = 1.96


@dataclass(frozen=True)
class Sample:
    """A random choice of the mutants. seed : of the choice.  of : how many there were to choose from."""

    seed: int
    of: int


@dataclass(frozen=True)
class Report:
    """rows : a Row for each mutant, in the order of the program.  here, seconds : how many this session judged, and in what time.
    sample : what the rows were chosen from; None: they are all of them."""

    protocol: str
    scenarios: tuple[str, ...]
    runs: int
    rows: tuple[Row, ...]
    here: int
    seconds: float
    sample: Sample | None = None

    @property
    def equivalents(self):
        return [row for row in self.rows if row.equivalent is not None]

    @property
    def killed(self):
        return [row for row in self.rows if row.equivalent is None and row.verdict is not None]

    @property
    def survivors(self):
        return [row for row in self.rows if row.equivalent is None and row.verdict is None]

    @property
    def contradictions(self):
        """The mutants explained as equivalent that were killed all the same."""
        return [row for row in self.equivalents if row.verdict is not None]

    @property
    def percent(self):
        """The percentage of faults that were killed."""
        faults = len(self.killed) + len(self.survivors)
        return 100 * len(self.killed) / faults if faults else 100.0

    @property
    def interval(self):
        """(low, high): the 95 % confidence interval of the percentage over all mutants that the sample was chosen from: Wilson's
        score interval, which is sound near 100 % as well."""
        count = len(self.killed) + len(self.survivors)
        if not count:
            return 0.0, 100.0
        share, room = self.percent / 100, _DEVIATIONS ** 2 / count
        middle, half = share + room / 2, _DEVIATIONS * sqrt(share * (1 - share) / count + room / (4 * count))
        return 100 * (middle - half) / (1 + room), 100 * (middle + half) / (1 + room)

    def to_json(self):
        sample = {} if self.sample is None else {**asdict(self.sample), "interval": [round(end, 2) for end in self.interval]}
        return {"protocol": self.protocol, "scenarios": list(self.scenarios), "runs": self.runs, "mutants": len(self.rows),
                "equivalent": len(self.equivalents), "killed": len(self.killed), "survived": len(self.survivors),
                "percent": round(self.percent, 2), "sample": sample or None, "here": self.here, "seconds": round(self.seconds, 1),
                "rows": [row.to_json() for row in self.rows]}


class Campaign:
    """One campaign.

    Parameters
    ----------
    protocol : name of a shipped protocol, or path of a ``.uasm`` file.
    scenarios, runs, first : as for Judge.
    boot : also mutate the sources for power-up and hotplug.
    only : judge only mutants with this text in their id, line or routine.
    everything : also judge mutants explained as equivalent.
    sample, seed : judge this many of them, chosen at random, instead of all; all, if there are no more.
    out : folder for the notebook.  processes : None: one per CPU.
    progress : called with (judged, of how many, killed, seconds) from time to time.

    Raises InputError.
    """

    def __init__(self, protocol, *, scenarios=(), runs=512, first=0, boot=False, only=None, everything=False, sample=None, seed=0,
                 out=Path("waves"), processes=None, progress=lambda *numbers: None):
        path = find_protocol(protocol)
        self._protocol, self._runs, self._out, self._progress = path.stem, runs, Path(out), progress
        self._processes = processes or len(os.sched_getaffinity(0))
        self._everything = everything
        self._judge = Judge(protocol, scenarios=scenarios, runs=runs, first=first)
        every = self._judge.mutants.values()
        equivalents = equivalents_of(path, {mutant.file for mutant in every})
        equivalents.check(every)
        self._mutants = {name: mutant for name, mutant in self._judge.mutants.items()
                         if (boot or mutant.file not in _BOOT)
                         and (only is None or any(only in text for text in (name, mutant.text, mutant.routine or "")))}
        if not self._mutants:
            raise InputError(f"--only {only}: no mutant has this text in its name, line or routine")
        self._reasons = {name: equivalents.reason(mutant) for name, mutant in self._mutants.items()}
        self._sample = None if sample is None else self._choose(sample, seed)
        self._verdicts = {}           # id -> Verdict or None

    def _choose(self, count, seed):
        those = [name for name in self._mutants if self._everything or self._reasons[name] is None]
        if not those:
            raise InputError("--sample: every mutant is explained as equivalent, so there is nothing to choose from")
        # A number for each, so that a larger sample contains the smaller one, and an explanation changes no other choice.
        chosen = sorted(those, key=lambda name: Random(f"{seed} {name}").random())[:count]
        self._mutants = {name: self._mutants[name] for name in chosen}
        return Sample(seed, len(those))

    @property
    def notebook(self):
        """The file from which a campaign resumes."""
        return self._out / f"{self._protocol}.mutate.json"

    def run(self, *, resume=False):
        """Judge all mutants. Returns the Report.

        resume : continue the campaign of the notebook.
        Raises InputError if there is none or it belongs to another campaign, and MissingToolError without a C compiler.
        """
        make_folder(self._out)
        if resume:
            self._resume()
        wanted = [name for name in self._mutants if self._everything or self._reasons[name] is None]
        todo = [name for name in wanted if name not in self._verdicts]
        started = time.monotonic()
        if todo:
            needed = self._judge.build(todo)
            for number, normal in side_by_side(self._processes, self._judge.normal, needed):
                self._judge.learn(number, normal)
                self._note()
            for name, verdict in side_by_side(self._processes, self._judge.judge, todo):
                self._verdicts[name] = verdict
                self._note()
                done = [self._verdicts[name] for name in wanted if name in self._verdicts]
                self._progress(len(done), len(wanted), len(done) - done.count(None), time.monotonic() - started)
        rows = tuple(Row(name, mutant.place, mutant.text, mutant.routine, mutant.sentence, self._reasons[name],
                         self._verdicts.get(name)) for name, mutant in self._judge.mutants.items() if name in self._mutants)
        return Report(self._protocol, tuple(self._judge.scenarios), self._runs, rows, len(todo), time.monotonic() - started,
                      self._sample)

    # --- the notebook -----------------------------------------------------------------------------------------------------

    def _note(self):
        write_whole(self.notebook, json.dumps({
            **self._judge.identity, "normals": self._judge.normals,
            "verdicts": {name: verdict and asdict(verdict) for name, verdict in self._verdicts.items()},
        }) + "\n")

    def _resume(self):
        try:
            parts = json.loads(self.notebook.read_text(encoding="utf-8"))
            identity = {name: parts[name] for name in self._judge.identity}
            self._verdicts = {name: verdict and Verdict(**verdict) for name, verdict in parts["verdicts"].items()}
            if identity == self._judge.identity:
                self._judge.recall(parts["normals"])
        except FileNotFoundError:
            raise InputError("there is no campaign to resume", file=self.notebook) from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            raise InputError("is not the notebook of a campaign", file=self.notebook) from None
        if identity != self._judge.identity:
            raise InputError("is the notebook of another campaign: its protocol, scenarios or schedules are different",
                             file=self.notebook)
