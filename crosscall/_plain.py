"""What a run is told in: frozen objects that contain only plain values, and rows of them, which are also columns.

They are made from the plain data of ``crosscall run --json`` and ``events.jsonl`` (docs/events.md), and have the same names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Generic, TypeVar, overload

from sim.texts import count

__all__ = ["Call", "Event", "Finding", "Hunt", "Row", "Rows", "Span", "Violation", "Visit"]


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    @classmethod
    def names(cls) -> list[str]:
        """The names of its columns."""
        return [item.name for item in fields(cls)]

    def cells(self) -> list[Any]:
        """Its values, in the order of ``names``."""
        return [getattr(self, name) for name in self.names()]

    def to_dict(self) -> dict[str, Any]:
        """All that it contains."""
        return asdict(self)


R = TypeVar("R", bound=Row)


class Rows(Sequence[R], Generic[R]):
    """Rows of one kind. A sequence that cannot be changed; a slice of it is Rows, too.

    ``pandas.DataFrame(rows.columns())`` makes a table of them.
    """

    def __init__(self, kind: type[R], rows: Iterable[R]):
        self._kind = kind
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> R: ...

    @overload
    def __getitem__(self, index: slice) -> "Rows[R]": ...

    def __getitem__(self, index: Any) -> Any:
        return Rows(self._kind, self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and (self._kind, self._rows) == (other._kind, other._rows)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{count(len(self), 'row')} of {self._kind.__name__}>"

    def columns(self) -> dict[str, list[Any]]:
        """Name of the column -> its values, one for each row. None: there is no such value."""
        names = self._kind.names()
        values = zip(*(row.cells() for row in self._rows), strict=True) if self._rows else ([] for _ in names)
        return {name: list(column) for name, column in zip(names, values, strict=True)}


@dataclass(frozen=True)
class Call(Row):
    """A call, from when its caller asked for it until the last target has run the function.

    id : ``caller.ordinal``.  kind : the routine that was entered.  name : what scenarios call that.
    targets : the cores that may run the function.  wait : the caller waits for them.  func, info : the function and its argument.
    csd, generation : of the first request that was queued.  entries : of each request, with its target if it is for one core.
    stages : stage at the caller -> its clock, or None if it was not reached.
    latency : clocks until the routine returned.  completion : clocks until the last target had run the function.
    result : what the routine returned.
    stack : stage -> how many clocks of the latency belong to it; empty if the call has not returned.

    As columns: without ``entries`` and ``stack``, and with a column ``STAGE_at`` for each stage.
    """

    id: str
    kind: str
    name: str
    caller: int
    targets: tuple[int, ...]
    wait: bool
    func: str
    info: int
    csd: int | None
    generation: int | None
    entries: tuple[dict[str, int | None], ...]
    stages: dict[str, int | None]
    latency: int | None
    completion: int | None
    result: int | None
    stack: dict[str, int]

    #: Stages at the caller.
    STAGES = ("call", "lock", "queue", "wait", "woken", "return")

    @classmethod
    def names(cls) -> list[str]:
        own = [name for name in super().names() if name not in ("entries", "stages", "stack")]
        return own + [f"{stage}_at" for stage in cls.STAGES]

    def cells(self) -> list[Any]:
        return [self.stages[name.removesuffix("_at")] if name.endswith("_at") else getattr(self, name) for name in self.names()]


@dataclass(frozen=True)
class Visit(Row):
    """What one core did for one call of another (or its own): the clock of each stage, or None. The stages: docs/events.md."""

    call: str
    core: int
    ipi: int | None
    noipi: int | None
    delivered: int | None
    gotipi: int | None
    empty: int | None
    handle: int | None
    unlock: int | None
    entry: int | None
    exit: int | None
    complete: int | None


@dataclass(frozen=True)
class Span(Row):
    """A core was at one stage of a call from the clock ``start`` to before ``end``: what GTKWave shows as its stage."""

    core: int
    start: int
    end: int
    stage: str
    call: str | None


@dataclass(frozen=True, kw_only=True)
class Event(Row):
    """A record of the machine, as a line of ``events.jsonl`` (docs/events.md). What a record of this source does not have is
    None."""

    clock: int
    source: str
    core: int
    call: str | None
    event: str | None = None
    pc: int | None = None
    label: str | None = None
    enabled: bool | None = None
    a: int | None = None
    b: int | None = None
    op: str | None = None
    address: int | None = None
    word: str | None = None
    result: int | None = None
    bank: int | None = None
    old: int | None = None
    new: int | None = None
    target: int | None = None
    vector: int | None = None
    destination: int | None = None
    mode: int | None = None
    logical: int | None = None
    level: int | None = None
    trigger: int | None = None
    shorthand: int | None = None


@dataclass(frozen=True)
class Violation(Row):
    """Something that must not be. oracle : the property.  clock : when it was seen.  calls, cores : those concerned.
    sentence : what happened."""

    oracle: str
    clock: int
    calls: tuple[str, ...]
    cores: tuple[int, ...]
    sentence: str


@dataclass(frozen=True)
class Finding(Row):
    """The first run of a hunt that shows a violation of one kind.

    oracle, sentence : what is violated, and what happened.  flag, clock : of the Monitor; of the oracle if there is no flag for it.
    number : of the run.  schedule : path of the file that ``replay`` takes.
    """

    oracle: str
    flag: str
    number: int
    clock: int
    sentence: str
    schedule: str


@dataclass(frozen=True)
class Hunt:
    """What a hunt came to.

    runs, clocks : how many, in all.  by_oracles : how many runs the oracles judged, not the Monitor.
    here, seconds : how many runs this time, and in what time.  following : the number to go on with.
    findings : the first run of each kind of violation.
    disagreements : what only one of Monitor and oracles has seen, which is a defect of crosscall.
    """

    engine: str
    runs: int
    clocks: int
    by_oracles: int
    here: int
    seconds: float
    following: int
    findings: Rows[Finding]
    disagreements: tuple[str, ...]
