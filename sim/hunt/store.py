"""What a hunt knows so far, in one SQLite file, so that it is gone on with wherever the file is seen.

Each write is a transaction, the first one, which makes the tables, too: a hunt that is killed leaves what was written last, and
before that an empty file, which is none. It needs no shared memory, so the file may lie on a network's disk.
"""

import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field

from sim.errors import InputError

__all__ = ["Finding", "State", "Store"]

_VERSION = 2
_TABLES = f"""
    CREATE TABLE hunt (identity TEXT NOT NULL, first INTEGER NOT NULL, following INTEGER NOT NULL, end INTEGER,
                       clocks INTEGER NOT NULL, by_oracles INTEGER NOT NULL);
    CREATE TABLE findings (oracle TEXT NOT NULL, flag TEXT PRIMARY KEY, number INTEGER NOT NULL, clock INTEGER NOT NULL,
                           sentence TEXT NOT NULL, schedule TEXT NOT NULL);
    CREATE TABLE disagreements (flag TEXT PRIMARY KEY, sentence TEXT NOT NULL);
    PRAGMA user_version = {_VERSION}
"""
#: What reading says of a file that is no notebook, or damaged.
_UNREADABLE = (sqlite3.Error, ValueError, FileNotFoundError)


@dataclass(frozen=True)
class Finding:
    """The first run that shows a violation of one kind.

    oracle, sentence : of the Python oracle that explains it.
    flag, clock : of the Monitor, and of its first hit. If no flag is for it: the oracle's name and clock.
    number : of the run.  schedule : the file that repeats it.
    """

    oracle: str
    flag: str
    number: int
    clock: int
    sentence: str
    schedule: str


@dataclass
class State:
    """How far a hunt has come.

    first, following, end : its first number, the next one, and where it ends; None: nowhere.
    clocks, by_oracles : how many were run, and how many runs the oracles judged.
    findings : flag, or oracle that has none -> Finding.  disagreements : the same -> a sentence.
    """

    first: int = 0
    following: int = 0
    end: int | None = None
    clocks: int = 0
    by_oracles: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)
    disagreements: dict[str, str] = field(default_factory=dict)


class Store:
    """The file. A context: it is open within. identity : what tells this hunt from another, as JSON has it."""

    def __init__(self, path, identity):
        self._path = path
        self._identity = json.dumps(identity, sort_keys=True)
        self._open = None
        self._empty = False           # it was begun here, and nothing is noted in it yet

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._open is not None:
            self._open.close()
            self._open = None
        if self._empty:
            self._unlink()

    def is_of_another(self):
        """Whether there is a file, and it is of another hunt."""
        try:
            return self._rows()[0] != self._identity
        except _UNREADABLE:
            return False

    def read(self):
        """The State. Raises InputError if there is none, or it is that of another hunt."""
        try:
            identity, numbers, findings, disagreements = self._rows()
        except FileNotFoundError:
            raise InputError("there is no hunt to resume", file=self._path) from None
        except _UNREADABLE as error:
            raise InputError(f"is not the notebook of a hunt, or is damaged: {error}", file=self._path) from None
        if identity != self._identity:
            raise InputError("is the notebook of another hunt: its protocol, scenario or machine is different", file=self._path)
        return State(*numbers, {item.flag: item for item in findings}, disagreements)

    def _rows(self):
        """What stands in it. Raises FileNotFoundError if there is none or nothing, and another of _UNREADABLE if it is damaged."""
        if not self._path.exists():
            raise FileNotFoundError
        with closing(sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=rw", uri=True)) as file:
            # A transaction that was not finished is undone before this is answered.
            if not file.execute("PRAGMA page_count").fetchone()[0]:
                raise FileNotFoundError
            if file.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise ValueError("its version is another")
            damage = file.execute("PRAGMA quick_check(1)").fetchone()[0]
            hunts = file.execute("SELECT identity, first, following, end, clocks, by_oracles FROM hunt").fetchall()
            if damage != "ok" or len(hunts) != 1:
                raise ValueError("there is not one hunt in it")
            (identity, first, following, end, clocks, by_oracles), = hunts
            numbers = first, following, end, clocks, by_oracles
            findings = [Finding(*row) for row in file.execute("SELECT * FROM findings ORDER BY rowid")]
            if not all(isinstance(number, int) and number >= 0 for number in (first, following, end or 0, clocks, by_oracles)):
                raise ValueError("a number is none")
            kinds = Finding.__annotations__.items()
            if not all(isinstance(getattr(item, name), kind) for item in findings for name, kind in kinds):
                raise ValueError("a finding is none")
            return (identity, numbers, findings,
                    {flag: str(sentence) for flag, sentence in file.execute("SELECT * FROM disagreements ORDER BY rowid")})

    def write(self, state):
        """Note a State: all of it, or nothing. What was no notebook of this hunt is begun anew with the first."""
        with self._refusing():
            if self._open is None:
                self._open = self._connected()
            with self._open as file:
                file.execute("BEGIN")
                if not file.execute("SELECT name FROM sqlite_master").fetchall():
                    for statement in _TABLES.split(";"):
                        file.execute(statement)
                for table in ("hunt", "findings", "disagreements"):
                    file.execute(f"DELETE FROM {table}")
                file.execute("INSERT INTO hunt VALUES (?, ?, ?, ?, ?, ?)", (self._identity, state.first, state.following, state.end,
                                                                            state.clocks, state.by_oracles))
                file.executemany("INSERT INTO findings VALUES (:oracle, :flag, :number, :clock, :sentence, :schedule)",
                                 map(asdict, state.findings.values()))
                file.executemany("INSERT INTO disagreements VALUES (?, ?)", state.disagreements.items())
            self._empty = False

    def _connected(self):
        """The file, open; an empty one if it was none."""
        try:
            self._rows()
        except _UNREADABLE:
            self._unlink()
            self._empty = True
        return sqlite3.connect(self._path)

    def _unlink(self):
        for path in (self._path, self._path.with_name(f"{self._path.name}-journal")):
            path.unlink(missing_ok=True)

    @contextmanager
    def _refusing(self):
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(f"cannot be written: {error}", file=self._path) from None
