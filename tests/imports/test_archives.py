"""Where the files of a source come from: folders, archives, and archives that mean harm."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from commands import Arena, files
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from published_files import clone, debate, packed, put, whys

from arena import frames
from arena.imports import MOST_FILE, SourceError
from arena.imports.llms_overconfidence import read

# ------------------------------------------------------------------ where it lies


def test_a_clone_its_experiments_one_folder_and_archives_give_the_same(tmp_path: Path) -> None:
    whole = clone(tmp_path / "clone")
    expected = read(whole)
    same = [
        whole / "experiments",
        packed(whole, tmp_path / "clone.tar", "w"),
        packed(whole / "experiments", tmp_path / "experiments.tar.xz", "w:xz"),
        packed(whole / "experiments", tmp_path / "experiments.tgz"),
    ]
    for path in same:
        found = read(path)
        assert found.digest == expected.digest
        assert all(found.tables[name].equals(expected.tables[name]) for name in frames.COLUMNS), path
    one = read(whole / "experiments" / "folder_3").tables["matches"]
    assert one["condition"].tolist() == ["public_bets"]


def test_the_digest_is_of_the_contents(tmp_path: Path) -> None:
    put(tmp_path, "one/a.json", debate())
    put(tmp_path, "two/b.json", debate())
    put(tmp_path, "three/a.json", debate(motion="Another."))
    one, two, three = (read(tmp_path / name).digest for name in ("one", "two", "three"))
    assert one == two != three


@pytest.mark.parametrize("path", ["nowhere", "empty", "words.txt", "empty.tar", "nothing.tar.gz"])
def test_what_holds_no_debates_is_refused(run_arena: Arena, tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path, "words.txt", b"words, no archive\n" * 100)
    put(tmp_path, "nothing.tar.gz", b"")
    packed(tmp_path / "empty", tmp_path / "empty.tar", "w")
    said = run_arena("import", "llms-overconfidence", tmp_path / path, "-o", tmp_path / "run")
    assert said.code == 2
    assert path in said.err
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------ hostile archives


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # pyright: ignore
        good = json.dumps(debate()).encode()
        info = tarfile.TarInfo("a/good.json")
        info.size = len(good)
        tar.addfile(info, io.BytesIO(good))
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info, b""


def test_links_and_devices_are_not_followed(tmp_path: Path) -> None:
    held = archive(
        tmp_path / "a.tar",
        link("a/link.json", "/etc/passwd"),
        link("a/hard.json", "a/good.json", tarfile.LNKTYPE),
        link("a/pipe.json", "", tarfile.FIFOTYPE),
    )
    found = read(held)
    assert whys(found) == dict.fromkeys(["a/link.json", "a/hard.json", "a/pipe.json"], "it is a link or no plain file")
    assert len(found.tables["matches"]) == 1


def test_paths_out_of_the_archive_are_names_and_nothing_is_written(tmp_path: Path) -> None:
    data = json.dumps(debate(motion="Another.")).encode()
    held = archive(
        tmp_path / "a.tar", (tarfile.TarInfo("../../evil.json"), data), (tarfile.TarInfo("/evil2.json"), b"{")
    )
    before = files(tmp_path)
    found = read(held)
    assert files(tmp_path) == before
    assert set(found.tables["matches"]["name"]) == {"good", "evil"}
    assert list(whys(found)) == ["/evil2.json"]


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    held = archive(tmp_path / "a.tar.gz", (tarfile.TarInfo("bomb.json"), bytes(MOST_FILE + 1)), mode="w:gz")
    found = read(held)
    assert "at most" in whys(found)["bomb.json"]
    assert len(found.tables["matches"]) == 1


@pytest.mark.slow
def test_an_archive_that_unpacks_to_more_than_any_study_is_read_no_further(tmp_path: Path) -> None:
    zeros = (tarfile.TarInfo("zeros"), bytes(64 << 20))
    held = archive(tmp_path / "a.tar.gz", *[zeros] * 9, mode="w:gz")
    found = read(held)
    assert "unpacks to more than" in whys(found)["a.tar.gz"]
    assert len(found.tables["matches"]) == 1


def test_an_archive_with_an_enormous_header_is_read_no_further(tmp_path: Path) -> None:
    info = tarfile.TarInfo("b/x.json")
    info.pax_headers = {"comment": "x" * (1 << 20)}
    found = read(archive(tmp_path / "a.tar", (info, b"{}")))
    assert "a header of" in whys(found)["a.tar"]
    assert len(found.tables["matches"]) == 1


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz"])
def test_of_an_archive_that_was_cut_off_the_beginning_is_kept(tmp_path: Path, kind: str) -> None:
    mode = "w" if kind == "tar" else f"w:{kind[4:]}"
    filler = os.urandom(400_000)
    whole = archive(
        tmp_path / f"a.{kind}", (tarfile.TarInfo("filler"), filler), (tarfile.TarInfo("b.json"), filler), mode=mode
    )
    whole.write_bytes(whole.read_bytes()[:-60_000])
    found = read(whole)
    assert len(found.tables["matches"]) == 1
    assert "was read up to its entry" in whys(found)[f"a.{kind}"]


def test_an_archive_without_its_end_may_lack_more_and_is_said_to(tmp_path: Path) -> None:
    whole = archive(tmp_path / "a.tar", (tarfile.TarInfo("b.json"), b"{}"))
    with tarfile.open(whole) as tar:
        second = tar.getmembers()[1].offset
    whole.write_bytes(whole.read_bytes()[:second])
    assert "cut off" in whys(read(whole))["a.tar"]


def test_a_clones_archive_that_was_cut_off_is_not_silently_a_smaller_study(tmp_path: Path) -> None:
    whole = packed(clone(tmp_path / "clone"), tmp_path / "clone.tar", "w")
    with tarfile.open(whole) as tar:
        debates = [member for member in tar.getmembers() if "/folder_" in member.name and member.isfile()]
    whole.write_bytes(whole.read_bytes()[: debates[3].offset_data + 1000])
    found = read(whole)
    assert len(found.tables["matches"]) == 3
    assert "was read up to its entry" in whys(found)["clone.tar"]


def test_a_name_that_is_no_utf_8_is_left_out(tmp_path: Path) -> None:
    held = archive(
        tmp_path / "a.tar", (tarfile.TarInfo("b\udcff.json"), json.dumps(debate(motion="Another.")).encode())
    )
    found = read(held)
    assert whys(found) == {"b?.json": "its name is no UTF-8"}


@settings(max_examples=60, phases=(Phase.explicit, Phase.generate))
@given(st.integers(0, 20_000), st.binary(min_size=1, max_size=600))
def test_a_damaged_archive_never_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, at: int, noise: bytes
) -> None:
    path = archive(tmp_path_factory.getbasetemp() / "damaged.tar", (tarfile.TarInfo("b.json"), b"{}"))
    data = bytearray(path.read_bytes())
    at %= len(data)
    data[at : at + len(noise)] = noise
    path.write_bytes(bytes(data))
    try:
        found = read(path)
    except SourceError:
        return
    assert len(found.tables["matches"]) <= 1
