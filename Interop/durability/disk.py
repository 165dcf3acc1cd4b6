"""A disk that loses power: what a process had not synced is kept, lost or torn, in any combination that is legal.

powercut.c, which the process runs with, writes down every change below a folder. After the process was killed,
`Disk.cut` takes back what the syncs had not made durable:

- A file's content and size are durable as of the last sync of that file. Of later writes any may be missing, any may be
  there in part, in sectors of 512 or 4096 octets, and the size may be any that the file has had since.
- A name is durable as of the last sync of its directory, whatever was synced of the file. Of later changes of names the
  first few may be there, or any that do not depend on a missing one. A rename is there wholly or not at all.
"""

import os
import random
import shutil
import struct
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from scenarios import Skipped

_HEAD = struct.Struct("<IIQQQQII")
_CHECK = 0x5A5A5A5A
_HELLO, _WRITE, _TRUNCATE, _EXTEND, _CREATE, _UNLINK, _RENAME, _MAKE_DIRECTORY, _SYNC, _SYNC_DIRECTORY, _SYNC_ALL = range(1, 12)
_NAMES = {_CREATE, _UNLINK, _RENAME, _MAKE_DIRECTORY}
_DIRECTORY = -1


class _Record(NamedTuple):
    """A line of the journal; see powercut.c."""

    number: int
    kind: int
    inode: int
    a: int
    b: int
    c: int
    zeros: bool
    data: bytes

    def paths(self) -> list[str]:
        """The names it changes."""
        return os.fsdecode(self.data).split("\0")


def _read_journal(path: Path) -> list[_Record]:
    """Returns every whole record; the last one may be torn: what it announces was not done yet."""
    records, octets, offset = [], path.read_bytes() if path.exists() else b"", 0
    while offset + _HEAD.size <= len(octets):
        kind, flags, inode, a, b, c, size, check = _HEAD.unpack_from(octets, offset)
        assert check == _CHECK, f"the journal is broken at {offset}"
        offset += _HEAD.size
        if offset + size > len(octets):
            break
        records.append(_Record(len(records), kind, inode, a, b, c, bool(flags & 1), octets[offset : offset + size]))
        offset += size
    return records


def build_shim(folder: Path) -> Path:
    """Compiles powercut.c."""
    if not shutil.which("gcc"):
        raise Skipped("no gcc")
    library = folder / "powercut.so"
    source = Path(__file__).with_name("powercut.c")
    subprocess.run(
        ["gcc", "-O1", "-Wall", "-Wno-format-truncation", "-shared", "-fPIC", "-o", library, source, "-lpthread"], check=True
    )
    return library


class Disk:
    """A folder whose content survives `cut` only as far as it was synced; `root` is where to put a data directory."""

    def __init__(self, seed: object) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="martlet-powercut-")
        folder = Path(self._folder.name)
        self._random = random.Random(f"{seed} disk")
        self._library = build_shim(folder)
        self.root, self._journal, self._graveyard = folder / "disk", folder / "journal", folder / "graveyard"
        self.root.mkdir()
        self.counts: Counter[str] = Counter()
        self._settle()

    def close(self) -> None:
        """Removes it."""
        self._folder.cleanup()

    def variables(self, plant: str = "") -> dict[str, str]:
        """Returns the environment in which a process must run; `plant` makes syncs of `data` or `names` worth nothing."""
        return {
            "LD_PRELOAD": str(self._library),
            "CUT_ROOT": str(self.root),
            "CUT_JOURNAL": str(self._journal),
            "CUT_GRAVEYARD": str(self._graveyard),
            "CUT_SYNC_MICROSECONDS": str(self._random.choice((500, 3_000, 20_000))),
            "CUT_PLANT": plant,
        }

    def _settle(self) -> None:
        """Everything that is there now is durable."""
        self._journal.unlink(missing_ok=True)
        shutil.rmtree(self._graveyard, ignore_errors=True)
        self._graveyard.mkdir()
        self._before = _tree(self.root)

    def cut(self, loses_all: bool = False) -> None:
        """Plays the cut for a process that was killed; `loses_all` takes back everything that was not synced."""
        records = _read_journal(self._journal)
        if records:
            assert records[0].kind == _HELLO, "the process ran without powercut.c"
            self._cut(records, loses_all)
        self.counts["cuts"] += 1
        self._settle()

    def _cut(self, records: list[_Record], loses_all: bool) -> None:
        now = _tree(self.root)
        places = {inode: self.root / path for path, inode in now.items() if inode != _DIRECTORY}
        for grave in self._graveyard.iterdir():
            places.setdefault(int(grave.name), grave)
        names = self._names(records, now, loses_all)
        changes = _pending_changes(records)
        for inode in sorted(set(names.values()) & changes.keys()):
            self._cut_file(places[inode], changes[inode], loses_all)
        new = self.root.with_name("after")
        new.mkdir()
        for path, inode in sorted(names.items()):
            if inode == _DIRECTORY:
                (new / path).mkdir()
            else:
                os.link(places[inode], new / path)
        shutil.rmtree(self.root)
        new.rename(self.root)

    # Names

    def _names(self, records: list[_Record], now: dict[str, int], loses_all: bool) -> dict[str, int]:
        """Returns the names there are after the cut, and what each is of."""
        pending: dict[str, list[_Record]] = defaultdict(list)
        synced = _name_syncs(records)
        changes = [record for record in records if record.kind in _NAMES]
        for record in changes:
            for directory in {os.path.dirname(path) for path in record.paths()}:
                if synced.get(directory, 0) <= record.number:
                    pending[directory].append(record)
        missing = set[int]()
        for directory in sorted(pending):
            missing |= self._lose_names(pending[directory], loses_all)
        names = dict(self._before)
        known = dict(self._before)
        for record in changes:
            _apply(known, record)
            if record.number not in missing:
                _apply(names, record)
        self.counts["changes of names lost"] += len(missing)
        self.counts["changes of names not synced"] += sum(map(len, pending.values()))
        # Made in the last moment, before it could be written down: as good as not there.
        late = now.keys() - known.keys()
        assert len(late) <= 8, f"names that powercut.c has not seen: {sorted(late)}"
        # What lost its directory is gone with it.
        return {path: inode for path, inode in names.items() if all(
            names.get(str(parent)) == _DIRECTORY for parent in Path(path).parents if str(parent) != "."
        )}

    def _lose_names(self, pending: list[_Record], loses_all: bool) -> set[int]:
        if loses_all:
            return {record.number for record in pending}
        if self._random.random() < 0.6:
            return {record.number for record in pending[self._random.randint(0, len(pending)) :]}
        chance = self._random.random()
        lost, lost_names = set(), set[str]()
        for record in pending:
            if not lost_names.isdisjoint(record.paths()) or self._random.random() < chance:
                lost.add(record.number)
                lost_names.update(record.paths())
        return lost

    # Content

    def _cut_file(self, path: Path, changes: list[_Record], loses_all: bool) -> None:
        with open(path, "r+b", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            sizes = {size}
            new: list[bytes] = []
            for change in reversed(changes):
                new.append(_undo(file, change))
                sizes.add(os.fstat(file.fileno()).st_size)
            self.counts["writes not synced"] += sum(change.kind == _WRITE for change in changes)
            if loses_all:
                return
            way = self._random.choices(("none", "all", "first", "any"), (20, 10, 30, 40))[0]
            if way == "none":
                return
            last = self._random.randrange(len(changes)) if way == "first" else len(changes)
            chance = self._random.random()
            for index, (change, octets) in enumerate(zip(changes, reversed(new), strict=True)):
                if index > last:
                    break
                if way == "any" and self._random.random() < chance:
                    continue
                is_torn = index == last or (way == "any" and self._random.random() < 0.5)
                self._redo(file, change, octets, is_torn, way == "first")
            if way == "any" and self._random.random() < 0.3:
                # Octets beyond the size that is on the disk are not there.
                os.ftruncate(file.fileno(), self._random.choice(sorted(sizes)))

    def _redo(self, file, change: _Record, octets: bytes, is_torn: bool, is_prefix: bool) -> None:
        size = os.fstat(file.fileno()).st_size
        if change.kind == _TRUNCATE:
            if not is_torn:
                os.ftruncate(file.fileno(), change.a)
            return
        if change.kind == _EXTEND:
            if not is_torn and size < change.a + change.b:
                os.ftruncate(file.fileno(), change.a + change.b)
            return
        start, end = change.a, change.a + len(octets)
        if not is_torn:
            _write(file, start, octets)
            return
        self.counts["writes torn"] += 1
        sector = self._random.choice((512, 4096))
        first, limit = start // sector, (end + sector - 1) // sector
        if is_prefix:
            kept: Iterable[int] = range(first, self._random.randint(first, limit))
        else:
            kept = [number for number in range(first, limit) if self._random.random() < 0.5]
        for number in kept:
            here, there = max(start, number * sector), min(end, (number + 1) * sector)
            _write(file, here, octets[here - start : there - start])


def _tree(root: Path) -> dict[str, int]:
    """Returns every path below a folder with its inode, or `_DIRECTORY`."""
    return {
        str(path.relative_to(root)): _DIRECTORY if path.is_dir() else path.stat().st_ino
        for path in sorted(root.rglob("*"))
    }


def _name_syncs(records: list[_Record]) -> dict[str, int]:
    """Returns for each directory the number of the first record whose change of names is not durable."""
    synced: dict[str, int] = {}
    for record in records:
        if record.kind == _SYNC_DIRECTORY:
            path = os.fsdecode(record.data)
            synced[path] = max(synced.get(path, 0), record.a)
        elif record.kind == _SYNC_ALL:
            synced = defaultdict(lambda mark=record.a: mark, {path: record.a for path in synced})
    return synced


def _apply(names: dict[str, int], record: _Record) -> None:
    """Makes a change of names, as far as what it needs is there."""
    paths = record.paths()
    if record.kind == _CREATE:
        names[paths[0]] = record.inode
    elif record.kind == _MAKE_DIRECTORY:
        names[paths[0]] = _DIRECTORY
    elif record.kind == _UNLINK:
        names.pop(paths[0], None)
    elif paths[0] in names:
        names[paths[1]] = names.pop(paths[0])


def _pending_changes(records: list[_Record]) -> dict[int, list[_Record]]:
    """Returns for each file what has changed its content and is not durable."""
    marks: dict[int, int] = defaultdict(int)
    for record in records:
        if record.kind == _SYNC:
            marks[record.inode] = max(marks[record.inode], record.a)
        elif record.kind == _SYNC_ALL:
            marks = defaultdict(lambda mark=record.a: mark, {inode: record.a for inode in marks})
    pending: dict[int, list[_Record]] = defaultdict(list)
    for record in records:
        if record.kind in (_WRITE, _TRUNCATE, _EXTEND) and record.number >= marks[record.inode]:
            pending[record.inode].append(record)
    return pending


def _undo(file, change: _Record) -> bytes:
    """Takes a change back; returns what it wrote."""
    if change.kind == _WRITE:
        octets = os.pread(file.fileno(), change.b, change.a)
        replaced = min(change.b, max(0, change.c - change.a))
        _write(file, change.a, bytes(replaced) if change.zeros else change.data)
        # It may not have come to be made, and then the file is as it was.
        if os.fstat(file.fileno()).st_size > change.c:
            os.ftruncate(file.fileno(), change.c)
        return octets
    if change.kind == _EXTEND:
        if os.fstat(file.fileno()).st_size > change.c:
            os.ftruncate(file.fileno(), change.c)
    else:
        os.ftruncate(file.fileno(), change.b)
        _write(file, change.a, bytes(change.c) if change.zeros else change.data)
    return b""


def _write(file, offset: int, octets: bytes) -> None:
    """Writes, and leaves alone what is there already: most of a log is zeros over zeros."""
    if not octets:
        return
    if os.pread(file.fileno(), len(octets), offset) != octets:
        written = os.pwrite(file.fileno(), octets, offset)
        assert written == len(octets)


def assert_same(left: Path, right: Path, ignoring: Callable[[str], bool] = lambda name: False) -> None:
    """Checks that two folders hold the same names with the same content."""
    names = [{path for path in _tree(folder) if not ignoring(path)} for folder in (left, right)]
    assert names[0] == names[1], f"{sorted(names[0])} and {sorted(names[1])}"
    for name in names[0]:
        if (left / name).is_file():
            assert (left / name).read_bytes() == (right / name).read_bytes(), f"{name} differs"
