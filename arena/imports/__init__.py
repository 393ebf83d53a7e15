"""Published debates of others, as the tables of a run; one file a source. Here is what all sources share.

A source is a module with `read(path, labels) -> Imported`. It leaves out what it cannot read and says so; it never raises for
what a file holds.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from arena.mistake import Mistake

if TYPE_CHECKING:
    import pandas as pd

MOST_FILE = 16 << 20
"""Bytes of one file; what is larger is left out. A published debate has a hundredth of it."""
MOST_ARCHIVE = 512 << 20
"""Bytes that an archive may unpack to; what comes after them is left out."""
MOST_ENTRIES = 100_000
"""Entries of an archive."""
MOST_HEADER = 64 << 10
"""Bytes of an archive's header, for names; a larger one is an attack or damage."""


class SourceError(Mistake):
    """A path that holds nothing of the source. The message says what was looked for."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something of a source that is not in the tables, and why."""

    file: str
    why: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What a source came to."""

    tables: Mapping[str, pd.DataFrame]
    """As `arena.frames.COLUMNS` has them."""
    left_out: tuple[LeftOut, ...]
    flags: Mapping[str, str]
    """What the words in the columns `flags` mean."""
    notes: tuple[str, ...]
    """What cannot be known from the source, a sentence each."""
    digest: str
    """Of the contents that were read, however they were packed or named."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a source, below the path that was given; or why it cannot be had."""

    name: str
    data: bytes
    problem: str | None = None


def json_files(path: Path) -> list[File]:
    """Every JSON file below a folder or in a tar archive, by name; hidden ones are passed over. Nothing is unpacked to disk.

    Raises `SourceError` where the path is neither.
    """
    if path.is_dir():
        found = _of_folder(path)
    elif path.is_file():
        found = _of_archive(path)
    else:
        raise SourceError(f"{path}: there is no such folder or archive")
    return sorted(found, key=lambda file: file.name)


def _wanted(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
    return name.endswith(".json") and not hidden


def _checked(name: str, size: int) -> File | None:
    """The file with its problem, where it has one that shows before it is read."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return File(name.encode(errors="replace").decode(), b"", "its name is no UTF-8")
    if size > MOST_FILE:
        return File(name, b"", f"it has {size:,} bytes; at most {MOST_FILE:,} are read")
    return None


# ------------------------------------------------------------------ folders


def _of_folder(path: Path) -> Iterator[File]:
    closed: list[OSError] = []
    for folder, _, names in os.walk(path, onerror=closed.append):
        for name in names:
            found = Path(folder) / name
            inside = found.relative_to(path).as_posix()
            if _wanted(inside) and found.is_file():
                yield _of_disk(inside, found)
    for problem in closed:
        yield File(os.path.relpath(problem.filename, path), b"", f"the folder cannot be read: {problem.strerror}")


def _of_disk(name: str, path: Path) -> File:
    try:
        return _checked(name, path.stat().st_size) or File(name, path.read_bytes())
    except OSError as problem:
        return File(name, b"", f"it cannot be read: {problem.strerror}")


# ------------------------------------------------------------------ archives

_DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError, ValueError, OverflowError, RecursionError)
_OPENERS = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open, b"BZh": bz2.open}


def _of_archive(path: Path) -> Iterator[File]:
    members = 0
    with path.open("rb") as packed:
        unpacked = _Unpacked(_decompressed(packed))
        try:
            with tarfile.open(fileobj=cast(IO[bytes], unpacked), mode="r:") as archive:
                while (member := archive.next()) is not None:
                    members += 1
                    if _wanted(member.name):
                        yield _of_member(member, unpacked)
                    if members == MOST_ENTRIES:
                        raise tarfile.ReadError("more are not read")
                if unpacked.at(archive.offset, tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError("it was cut off or damaged")
        except _DAMAGE as problem:
            if not members:
                raise SourceError(
                    f"{path} is neither a folder nor a whole tar archive (.tar, .tar.xz, .tar.gz, .tar.bz2): {problem}"
                ) from problem
            yield File(path.name, b"", f"the archive was read up to its entry {members}: {problem}")


def _decompressed(packed: IO[bytes]) -> IO[bytes]:
    magic = packed.read(6)
    packed.seek(0)
    opener = next((opener for start, opener in _OPENERS.items() if magic.startswith(start)), None)
    return packed if opener is None else cast(IO[bytes], opener(packed, "rb"))


def _of_member(member: tarfile.TarInfo, unpacked: _Unpacked) -> File:
    if problem := _checked(member.name, member.size):
        return problem
    if not member.isreg() or member.issparse():
        return File(member.name, b"", "it is a link or no plain file")
    data = unpacked.at(member.offset_data, member.size)
    return File(member.name, data, None if len(data) == member.size else "the archive ends within it")


class _Unpacked:
    """An archive's bytes, in bounds: headers of a sane size, and no more in all than a study could have."""

    def __init__(self, inner: IO[bytes]):
        self._inner = inner

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= MOST_HEADER:
            raise ValueError(f"a header of {size:,} bytes")
        return self._inner.read(size)

    def at(self, offset: int, size: int) -> bytes:
        """The bytes of one file."""
        self.seek(offset)
        return self._inner.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence != io.SEEK_SET or offset > MOST_ARCHIVE:
            raise ValueError(f"it unpacks to more than {MOST_ARCHIVE:,} bytes")
        return self._inner.seek(offset)

    def tell(self) -> int:
        return self._inner.tell()
