"""The wheel holds what it needs and nothing that is in others' way; names are ours; the command line is quick to help."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_has_three_packages_and_the_configuration_inside(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"arena", "agents", "judges"}
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "conf").rglob("*.yaml")}
    assert {name.removeprefix("arena/") for name in names if name.startswith("arena/conf/")} == ours


def test_the_wheel_plays_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    """With nothing of the checkout in reach."""
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    code = "import sys; from arena.main import main; import arena; print(arena.__file__, file=sys.stderr); main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "topics.limit=1", "name=it", "--quiet"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(installed) in done.stderr
    assert done.stdout.splitlines()[-1] == "runs/it"


def test_agents_and_judges_are_ours() -> None:
    import agents
    import judges

    assert str(agents.__file__) == str(ROOT / "agents" / "__init__.py")
    assert str(judges.__file__) == str(ROOT / "judges" / "__init__.py")


def test_importing_the_arena_and_asking_for_help_load_nothing_heavy() -> None:
    code = (
        "import sys, arena, arena.main; arena.main.parser().format_help();"
        "print(sorted({'pandas', 'hydra', 'openai', 'anthropic', 'pydantic', 'rich', 'aiohttp', 'ray'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_lock_file_names_no_host() -> None:
    assert "://" not in (ROOT / "requirements-dev.lock").read_text()
