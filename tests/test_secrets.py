"""Keys: a provider may quote ours in whatever it sends, and nothing that is written or printed holds it."""

from __future__ import annotations

import asyncio
import base64
import json
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from answering import Asked, Reply, completion, plain, provider
from commands import Arena, files

from arena import api, config

KEY = "qzPlanted/7f+a9c0x1y2=="
"""Of no vendor's shape, so that only knowing it can take it out; with all that URLs, JSON and base64 write otherwise."""

FORMS = {
    "plain": KEY,
    "in a URL": quote(KEY, safe=""),
    "in JSON": KEY.replace("/", "\\/"),
    "in base64": base64.b64encode(KEY.encode()).decode().rstrip("="),
    "in a header in base64": base64.b64encode(f"Bearer {KEY}".encode()).decode().rstrip("="),
}
ONE = (
    "topics.limit=1",
    "schedule=self",
    "schedule.mirrored=false",
    "game.params.rebuttals=0",
    "judge=none",
    "agents=none",
)
SEATED = ("+agents={x: {model: openai/x}}", "limits.tries=1")


def refused(status: int, words: str) -> Reply:
    return Reply(
        json.dumps({"error": {"message": words, "type": "invalid_request_error", "code": words}}).encode(), status
    )


def everywhere(asked: Asked) -> Reply:
    """A reply that quotes the key in its speech, its reasoning, its model and its finish."""
    reply = completion(f"{asked.said} {asked.key}", asked.key, model=asked.key)
    reply["choices"][0]["message"]["reasoning"] = f"The header said {asked.key}."
    return Reply(json.dumps(reply).encode())


def unknown(asked: Asked) -> Reply:
    return refused(401, f"Incorrect API key provided: {asked.key}")


QUOTING: dict[str, Callable[[Asked], Reply]] = {
    "refuses": lambda asked: refused(400, f"Authorization: Bearer {asked.key}"),
    "refuses_in_all_forms": lambda asked: refused(400, " ".join(FORMS.values())),
    "refuses_in_text": lambda asked: Reply(f"no: {FORMS['in JSON']}".encode(), 400),
    "refuses_at_length": lambda asked: refused(400, "x " * 240 + asked.key),
    "replies_with_an_error": lambda asked: Reply(json.dumps({"error": {"message": asked.key}}).encode()),
    "sends_a_page": lambda asked: Reply(f"<html>{asked.key}</html>".encode()),
    "replies_in_another_shape": lambda asked: Reply(json.dumps({"authorization": asked.key}).encode()),
    "replies": everywhere,
}


def holding(told: dict[str, str | bytes]) -> list[tuple[str, str]]:
    """Where the key stands, and how."""
    return [
        (where, form)
        for where, said in told.items()
        for form, written in FORMS.items()
        if (written in said if isinstance(said, str) else written.encode() in said)
    ]


def everything(run: Path) -> dict[str, str | bytes]:
    """All files below a run directory, tables as text too."""
    tables = {f"{path.name} read": pd.read_parquet(path).to_csv() for path in (run / "tables").glob("*.parquet")}
    return {**files(run), **tables}


LOOKING = ("log ls", "log verify", "report", "stats --all", "stats --json", "resume --retry-failed")


def test_a_key_that_is_quoted_back_is_not_kept(arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    agents = ", ".join(f"{way}: {{model: openai/{way}}}" for way in QUOTING)
    with provider(lambda asked: QUOTING[asked.model](asked)) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        said = [arena("run", "name=mine", *ONE, f"+agents={{{agents}}}", "limits.tries=1")]
        said += [arena(*line.split(), "runs/mine") for line in LOOKING]
    assert [one.code for one in said] == [0] * len(said)
    told: dict[str, str | bytes] = {str(n): one.out + one.err for n, one in enumerate(said)}
    assert holding(told | everything(Path("runs/mine"))) == []


def test_a_key_of_a_dotenv_file_that_is_refused_is_not_kept(
    arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Set and deleted again, so that what the arena puts into the environment is taken out after the test.
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.delenv("OPENAI_API_KEY")
    Path(".env").write_text(f"OPENAI_API_KEY='{KEY}'\n")
    with provider(unknown) as url:
        said = arena("run", "name=mine", f"provider.openai.base_url={url}", *ONE, *SEATED)
    assert (said.code, "authentication" in said.err) == (2, True)
    assert holding({"said": said.out + said.err, **everything(Path("runs/mine"))}) == []


def test_a_traceback_does_not_quote_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python nobody turns errors into sentences: what a provider said comes with whatever was raised from it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with provider(unknown) as url:
        made = config.experiment(config.compose([f"provider.openai.base_url={url}", *ONE, *SEATED]))
        with pytest.raises(Exception, match="HTTP 401") as raised:
            asyncio.run(api.play(made, tmp_path / "run"))
    assert holding({"traceback": "".join(traceback.format_exception(raised.value))}) == []


# ------------------------------------------------------------------ keys where they do not belong


@pytest.mark.parametrize(
    "override",
    [
        f"provider.openai.api_key='{KEY}'",
        f"+provider.openai.api_key='{KEY}'",
        f"provider.openai.key_env='{KEY}'",
        f"provider.openai.base_url='http://user:{KEY[:9]}@127.0.0.1:9/v1'",
        f"provider.openai.base_url='http://127.0.0.1:9/v1?key={KEY[:9]}'",
    ],
)
def test_a_key_in_the_configuration_is_refused_and_not_repeated(
    arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    said = arena("run", "name=mine", *ONE, *SEATED, override)
    assert said.code == 2
    assert "provider.openai" in said.err
    assert KEY[:9] not in said.out + said.err
    assert files(tmp_path) == {}


def test_credentials_in_an_address_from_the_environment_are_not_kept(
    arena: Arena, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with provider(plain) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url.replace("//", "//user:qzSecret9@"))
        said = arena("run", f"runs={tmp_path}", "name=mine", *ONE, *SEATED)
    assert "qzSecret9" not in said.out + said.err
    assert [name for name, data in everything(tmp_path / "mine").items() if "qzSecret9" in str(data)] == []
