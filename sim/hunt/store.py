"""What a hunt knows so far, in one SQLite file, so that it can be resumed wherever the file is visible.

Each write is a transaction, including the first one, which makes the tables. A killed hunt leaves its last write; before the first
write it leaves an empty file, which counts as none. The file needs no shared memory, so it may lie on a network disk.
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
#: What reading raises for a file that is no notebook, or damaged.
_UNREADABLE = (sqlite3.Error, ValueError, FileNotFoundError)


@dataclass(frozen=True)
class Finding:
    """The first run that shows a violation of one kind.

    oracle, sentence : of the Python oracle that explains it.
    flag, clock : the Monitor's flag and its first clock; if there is no flag for it, the oracle's name and clock.
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

    first, following, end : its first number, the next one, and its end; None: no end.
    clocks, by_oracles : how many clocks ran, and how many runs the oracles judged.
    findings : flag, or an oracle without flag -> Finding.  disagreements : the same -> a sentence.
    """

    first: int = 0
    following: int = 0
    end: int | None = None
    clocks: int = 0
    by_oracles: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)
    disagreements: dict[str, str] = field(default_factory=dict)


class Store:
    """The file, as a context: it is open within. identity : what distinguishes this hunt from others, as JSON data."""

    def __init__(self, path, identity):
        self._path = path
        self._identity = json.dumps(identity, sort_keys=True)
        self._open = None
        self._empty = False           # this process made it, and nothing is written yet

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._open is not None:
            self._open.close()
            self._open = None
        if self._empty:
            self._unlink()

    def is_of_another(self):
        """Whether the file exists and belongs to another hunt."""
        try:
            return self._rows()[0] != self._identity
        except _UNREADABLE:
            return False

    def read(self):
        """The State. Raises InputError if there is none, or if it belongs to another hunt."""
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
        """Its contents. Raises FileNotFoundError if there are none, and others of _UNREADABLE if it is damaged."""
        if not self._path.exists():
            raise FileNotFoundError
        with closing(sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=rw", uri=True)) as file:
            # SQLite undoes an unfinished transaction before it answers.
            if not file.execute("PRAGMA page_count").fetchone()[0]:
                raise FileNotFoundError
            if file.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise ValueError("it has another version")
            damage = file.execute("PRAGMA quick_check(1)").fetchone()[0]
            hunts = file.execute("SELECT identity, first, following, end, clocks, by_oracles FROM hunt").fetchall()
            if damage != "ok" or len(hunts) != 1:
                raise ValueError("it does not contain exactly one hunt")
            (identity, first, following, end, clocks, by_oracles), = hunts
            numbers = first, following, end, clocks, by_oracles
            findings = [Finding(*row) for row in file.execute("SELECT * FROM findings ORDER BY rowid")]
            if not all(isinstance(number, int) and number >= 0 for number in (first, following, end or 0, clocks, by_oracles)):
                raise ValueError("a number is not a number")
            kinds = Finding.__annotations__.items()
            if not all(isinstance(getattr(item, name), kind) for item in findings for name, kind in kinds):
                raise ValueError("a finding is malformed")
            return (identity, numbers, findings,
                    {flag: str(sentence) for flag, sentence in file.execute("SELECT * FROM disagreements ORDER BY rowid")})

    def write(self, state):
        """Write a State: all of it or nothing. The first write replaces a file that is no notebook of this hunt."""
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
        """The open file; an empty one if it was no notebook."""
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
