"""The verbs of two persons at one shell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import aiohttp
import orjson
import pytest
from typer.testing import CliRunner

from config_center.__main__ import app
from tests.config_center.api.world import Http, center


def shell(url: str, token: str) -> Callable[..., str]:
    def run(words: str, status: int = 0, answer: str | None = None) -> str:
        env = {"CONFIG_CENTER_URL": url, "CONFIG_CENTER_TOKEN": token}
        done = CliRunner().invoke(app, words.split(), env=env, input=answer)
        assert done.exit_code == status, done.output
        return done.output

    return run


def at_the_shell(ann: Callable[..., str], bob: Callable[..., str], cid: Callable[..., str]) -> None:
    ann("put prompt --text old")
    assert "two_person    yes" in ann("policy set --two-person")
    refused = ann("put prompt --text new", status=1)
    assert "take --draft), and somebody else approves it" in refused
    assert "an admin gives --urgent with a comment" in refused

    made = orjson.loads(ann("put prompt --text new --percent 10 -c why --draft --json"))
    ident = made["id"]
    assert ident in ann("draft ls")
    refused = ann(f"draft approve {ident}", 1)
    assert refused == "error: you wrote this draft: somebody else has to approve it\n"
    refused = cid(f"draft approve {ident}", 1)
    assert refused.startswith("error: a token of role 'publisher' approves no draft;")
    assert "as config-center draft show prints it last" in bob(
        f"draft approve {ident} --content 0", 1
    )
    assert '~ /  "old" -> "new"' in bob(f"draft show {ident}")
    bob(f"draft approve {ident}", 1, "n\n")
    unasked = bob(f"draft approve {ident}", 1)
    assert unasked.endswith(
        "error: nobody answered, and nothing was done; where nobody can be asked give --content "
        "HASH, as config-center draft show prints it last\n"
    )
    assert "waiting" in bob("draft ls")
    assert f"{ident}: published at" in bob(f"draft approve {ident}", 0, "y\n")
    ann("rollout promote prompt")
    assert "[approved by bob] why" in ann("history prompt")

    words = ann("rm prompt --draft")
    assert "nothing is published yet; somebody else: config-center draft approve" in words
    ident = orjson.loads(ann("draft ls --json"))[0]["id"]
    assert f"{ident}: rejected" in bob(f"draft reject {ident} -c no")
    ended = bob(f"draft approve {ident}", 1, "y\n")
    assert f"draft {ident} has ended: it was rejected by bob at 2" in ended
    assert "Publish exactly this?" not in ended
    assert ann(f"draft withdraw {ident}", 1) == ended
    assert bob(f"draft approve {ident} --content {'0' * 64}", 1) == ended
    ident = orjson.loads(ann("put moving --text 1 --draft --json"))["id"]
    ann("put moving --text 2 --urgent -c now")
    ended = bob(f"draft approve {ident}", 1, "y\n")
    assert f"draft {ident} is void: moving changed since it was made" in ended
    assert "an admin gives --urgent with a comment" in ann("schema set llm --kind llm", status=1)
    assert "needs a comment" in ann("schema set llm --kind llm --urgent", status=1)
    assert "llm: bound" in ann("schema set llm --kind llm --urgent -c burning")
    assert "burning" in ann("audit ls --key llm")
    ident = orjson.loads(ann("schema set llm --kind llm -c later --draft --json"))["id"]
    assert "later" in ann("draft ls")
    ann(f"draft withdraw {ident}")
    ident = orjson.loads(ann("schema set llm --kind llm --draft --json"))["id"]
    assert f"{ident}: withdrawn" in ann(f"draft withdraw {ident}")
    made = orjson.loads(ann("policy set --no-two-person --draft --json"))
    bob(f"draft approve {made['id']} --content {made['content']}")

    assert "default is frozen; rollback and abort" in ann("freeze -n default -r incident")
    assert "the namespace is frozen since" in ann("policy show")
    refused = ann("put prompt --text x", status=1)
    assert "incident" in refused
    assert refused.endswith("with a comment, or lift it with: config-center unfreeze -n default\n")
    wrong = ann("unfreeze")
    assert wrong.startswith("the whole center was not frozen; still frozen: default\n")
    assert wrong.endswith("  config-center unfreeze -n default\n")
    ann("put prompt --text x --urgent -c burning")
    assert "[urgent] burning" in ann("history prompt")
    assert ann("unfreeze -n default") == "default takes changes\n"
    assert ann("unfreeze -n default") == "default was not frozen: it takes changes\n"
    assert ann("unfreeze") == "nothing was frozen: the whole center takes changes\n"
    assert "give --yes, or -n NAMESPACE" in ann("freeze --reason fire", 1, "y\n")
    assert "the center is frozen since" not in ann("policy show")
    assert "the whole center is frozen" in ann("freeze --reason fire\x07 --yes")
    told = ann("doctor")
    assert "warn  freeze      the whole center is frozen since" in told
    assert "\x07" not in told  # a reason is somebody's text
    assert "the center is frozen since" in ann("policy show")
    ann("rollback prompt")
    refused = ann("put prompt --text x", status=1)
    assert refused.endswith("with a comment, or lift it with: config-center unfreeze\n")
    assert ann("unfreeze -n default").endswith(
        "the whole center still is: config-center unfreeze\n"
    )
    ann("freeze -n default -r own")
    assert "is not frozen any more; still frozen: default\n" in ann("unfreeze")
    ann("unfreeze -n default")
    assert "fire" in ann("audit ls --outcome accepted")
    ann("policy set", status=2)

    made = orjson.loads(ann("put plain --text x --draft --json"))
    approve = f"draft approve {made['id']} --content {made['content']}"
    ann("policy set --staged")
    refused = bob(approve, 1)
    assert "its author has to make it again with --percent\n" in refused
    assert "--urgent" not in refused
    ann("policy set --no-staged")
    ann("freeze -n default -r own")
    refused = bob(approve, 1)
    assert refused.endswith(
        "still work; a draft can be approved once it is lifted: config-center unfreeze -n default\n"
    )
    assert "--urgent" not in refused
    ann("unfreeze -n default")
    assert "published at" in bob(approve)

    ann("policy set --precondition")
    assert "--if-version" in ann("put fresh --text x", status=1)
    assert "fresh: version 1" in ann("put fresh --text x --if-version 0")
    ann("put fresh --text y --if-version 0", status=1)


def test_freezing_the_whole_center_asks_at_a_terminal_and_no_stops_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("config_center.cli.show.at_terminal", lambda: True)
    nowhere = shell("http://127.0.0.1:1", "cc_" + "A" * 43)

    refused = nowhere("freeze --reason fire", 1, "n\n")
    agreed = nowhere("freeze --reason fire", 1, "y\n")

    assert "Stop publishing in every namespace?" in refused
    assert "cannot be reached" not in refused
    assert "cannot be reached" in agreed


async def test_two_persons_at_two_shells(tmp_path: Path) -> None:
    async with center(tmp_path) as opened, aiohttp.ClientSession() as session:
        api = Http(session, opened, opened.admin_token)
        others = []
        for name, role in (("bob", "approver"), ("cid", "publisher")):
            _, made, _ = await api("POST", "/v1/tokens", {"name": name, "role": role})
            others.append(shell(opened.url, made["token"]))
        await asyncio.to_thread(at_the_shell, shell(opened.url, opened.admin_token), *others)
