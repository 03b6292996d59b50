"""The page in a real browser, on a real center."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Page, Route, async_playwright, expect

import config_center
from config_center.access import Actor
from config_center.center import Center
from config_center.publishing import Put
from tests.config_center.api.world import center

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
ADMIN = Actor("test", "admin")
WITHIN = 30_000  # milliseconds
EVIL = "<img src=x onerror='window.hurt=1'><script>window.hurt=1</script>"

pytestmark = pytest.mark.browser
expect.set_options(timeout=WITHIN)


@dataclass
class Browser:
    """A page, what it logged, and what it asked for."""

    page: Page
    opened: Center
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def open(self, token: str | None = None) -> None:
        fragment = f"#token={token or self.opened.admin_token}"
        await self.page.goto(f"{self.opened.url}/{fragment}")

    async def value(self, key: str) -> object:
        headers = {"Authorization": f"Bearer {self.opened.admin_token}"}
        url = f"{self.opened.url}/v1/namespaces/default/keys/{key}"
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            return (await answer.json())["value"]


@contextlib.asynccontextmanager
async def browser(home: Path, **context: object) -> AsyncIterator[Browser]:
    async with center(home / "data") as opened, async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            options = {"locale": "en-US", **context}
            page = await (await chromium.new_context(**options)).new_page()
            page.set_default_timeout(WITHIN)
            made = Browser(page, opened)
            page.on("pageerror", lambda error: made.errors.append(str(error)))
            page.on("request", lambda request: made.asked.append(request.url))
            page.on(
                "console",
                lambda m: made.errors.append(m.text) if "Content Security" in m.text else None,
            )
            page.on("dialog", lambda dialog: dialog.accept())
            yield made
        finally:
            await chromium.close()


async def put(opened: Center, key: str, value: object, **how: object) -> None:
    await opened.service.put("default", key, Put(value=value, **how), ADMIN)  # type: ignore[arg-type]


async def test_an_edit_shows_its_difference_and_is_published(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        await put(b.opened, "prompt", "You are brief.\nBe kind.", format="text")
        await b.open()
        await b.page.get_by_role("button", name="prompt").click()
        await expect(b.page.locator("#name")).to_be_hidden()
        await b.page.locator("#value").fill("You are brief.\nBe very kind.")

        shown = b.page.locator("#difference")
        await expect(shown).to_contain_text("- Be kind.")
        await expect(shown).to_contain_text("+ Be very kind.")
        await b.page.get_by_role("button", name="Publish", exact=True).click()
        await expect(b.page.locator("#keys")).to_contain_text("2")

        assert await b.value("prompt") == "You are brief.\nBe very kind."
        assert b.errors == []
        assert all(url.startswith((b.opened.url, "data:")) for url in b.asked)


async def test_a_canary_goes_to_a_share_then_to_all_and_back(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        await put(b.opened, "prompt", "old", format="text")
        await b.open()
        await b.page.get_by_role("button", name="prompt").click()
        await b.page.locator("#value").fill("new")
        await b.page.locator("#as-canary").check()
        await b.page.locator("#percent").fill("25")
        await b.page.get_by_role("button", name="Publish", exact=True).click()
        await expect(b.page.locator("#keys")).to_contain_text("25 % (running)")
        assert await b.value("prompt") == "old"

        await b.page.get_by_role("button", name="Promote to all").click()
        await expect(b.page.locator("#keys")).to_contain_text("none")
        assert await b.value("prompt") == "new"

        await expect(b.page.locator("#canary")).to_be_hidden()  # the editor has it, too
        await b.page.get_by_role("button", name="Roll back").click()
        await expect(b.page.locator("#keys")).to_contain_text("3")
        assert await b.value("prompt") == "old"


async def test_the_token_leaves_the_address_and_stays_in_the_tab(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        await put(b.opened, "prompt", "hello")
        await b.open()
        await expect(b.page.locator("#keys")).to_contain_text("prompt")
        assert b.page.url == b.opened.url + "/"

        await b.page.reload()

        await expect(b.page.locator("#keys")).to_contain_text("prompt")
        assert b.opened.admin_token not in "".join(b.asked)


async def test_without_a_token_it_says_where_the_link_is(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        await b.page.goto(b.opened.url)

        await expect(b.page.locator("#problem")).to_contain_text("#token=")


async def test_with_a_token_of_a_prefix_it_shows_and_follows_what_is_within(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        service = b.opened.service
        await service.create_namespace("prod", None, ADMIN)
        for key in ("llm.cn", "tts"):
            await service.put("prod", key, Put(value="one"), ADMIN)
        scopes = [{"namespace": "prod", "prefix": "llm."}]
        asked = {"name": "t", "role": "publisher", "scopes": scopes}
        await b.open((await service.tokens.create(asked, ADMIN))["token"])

        await expect(b.page.locator("#keys")).to_contain_text("llm.cn")
        await expect(b.page.locator("#link")).to_have_text("live")
        await service.put("prod", "llm.en", Put(value="one"), ADMIN)
        await expect(b.page.locator("#keys")).to_contain_text("llm.en")
        await expect(b.page.locator("#keys")).not_to_contain_text("tts")

        await b.page.get_by_role("button", name="llm.cn").click()
        await expect(b.page.locator("#publish")).to_be_visible()
        await expect(b.page.locator("#as-draft")).to_be_hidden()  # nobody asks for two persons
        await service.policies.set_rules("prod", {"two_person": True}, ADMIN)
        await b.page.locator("#namespace").select_option("prod")
        await b.page.get_by_role("button", name="llm.cn").click()
        await expect(b.page.locator("#as-draft")).to_be_visible()
        assert b.errors == []


async def test_a7_what_people_publish_is_text_and_never_runs(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        await put(b.opened, "evil", EVIL, format="text", comment=EVIL)
        await b.open()
        await b.page.get_by_role("button", name="evil").click()
        await b.page.locator("#value").fill(EVIL + "\n" + EVIL)
        await expect(b.page.locator("#difference")).to_contain_text("<img src=x")

        assert await b.page.evaluate("window.hurt") is None
        assert b.errors == []


async def test_a7_what_devices_and_problems_say_is_text_and_never_runs(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        row = {"device": EVIL, "instance": EVIL, "turns": EVIL}
        row["keys"] = {EVIL: {"version": EVIL, "arm": EVIL}}  # type: ignore[assignment]
        problem = {"type": EVIL, "detail": EVIL, "errors": [{"path": EVIL, "message": EVIL}]}

        async def devices(route: Route) -> None:
            await route.fulfill(json={"items": [row], "next": None})

        async def refuse(route: Route) -> None:
            await route.fulfill(status=422, json=problem)

        await put(b.opened, "prompt", "one", format="text")
        await b.page.route("**/devices?*", devices)
        await b.page.route("**/keys/prompt", refuse)
        await b.open()
        await expect(b.page.locator("#devices")).to_contain_text("<img src=x")
        await b.page.get_by_role("button", name="prompt").click()
        await expect(b.page.locator("#problem")).to_contain_text("<img src=x")

        assert await b.page.evaluate("window.hurt") is None
        assert await b.page.locator("img, #devices script, #problem script").count() == 0
        assert b.errors == []


async def test_a7_the_browser_itself_refuses_what_the_page_would_never_do(tmp_path: Path) -> None:
    """Were there a hole in the page, its policy stands behind it."""
    tries = (
        "document.body.innerHTML = '<img src=x onerror=window.hurt=1>'",
        "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')",
        "document.write('<script>window.hurt=1</script>')",
        "document.body.append(Object.assign(document.createElement('script'), {text: 'hurt=1'}))",
    )
    async with browser(tmp_path) as b:
        await b.open()
        for script in tries:
            run = f"() => {{ try {{ {script}; return 'done' }} catch (e) {{ return e.name }} }}"
            assert await b.page.evaluate(run) == "TypeError", script
        style = "document.body.insertAdjacentElement('beforeend', document.createElement('p'))"
        await b.page.evaluate(f"{style}.setAttribute('style', 'position:fixed')")
        fixed = "getComputedStyle(document.body.lastChild).position"

        assert await b.page.evaluate(fixed) == "static"
        assert await b.page.evaluate("window.hurt") is None


def test_a7_no_script_of_the_page_can_turn_text_into_markup() -> None:
    sinks = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc"
        r"|createContextualFragment|DOMParser|setHTML|javascript:|setTimeout\(\s*[\"'`]"
    )
    folder = Path(config_center.__file__).with_name("web")
    files = sorted(folder.iterdir())

    assert any(path.suffix == ".js" for path in files)
    for path in files:
        text = path.read_text()
        assert not sinks.search(text), path
        if path.suffix == ".html":
            assert not re.search(
                r"<style|\sstyle=|\son[a-z]+=|<script(?! type=.module. src=./)", text
            )


async def test_another_admins_change_is_seen_at_once_and_not_overwritten(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        await put(b.opened, "prompt", "one", format="text")
        await b.open()
        await b.page.get_by_role("button", name="prompt").click()
        await expect(b.page.locator("#value")).to_have_value("one")
        await expect(b.page.locator("#link")).to_have_text("live")
        await put(b.opened, "prompt", "theirs", format="text")
        await expect(b.page.locator("#keys")).to_contain_text("2")

        await b.page.locator("#value").fill("mine")
        await b.page.get_by_role("button", name="Publish", exact=True).click()

        await expect(b.page.locator("#problem")).to_be_visible()
        assert await b.value("prompt") == "theirs"


async def test_it_speaks_chinese_also_of_what_went_wrong(tmp_path: Path) -> None:
    async with browser(tmp_path, locale="zh-CN") as b:
        await put(b.opened, "prompt", "one", format="text")
        await b.open()
        await expect(b.page.locator("#keys-title")).to_have_text("配置项")
        await b.page.get_by_role("button", name="prompt").click()
        await expect(b.page.locator("#value")).to_have_value("one")
        await put(b.opened, "prompt", "theirs", format="text")
        await b.page.locator("#value").fill("mine")
        await b.page.get_by_role("button", name="发布", exact=True).click()

        await expect(b.page.locator("#problem")).to_contain_text("已被他人修改")


async def test_a_new_key_is_made_and_an_existing_one_is_not_overwritten(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        await put(b.opened, "prompt", "one")
        await b.open()
        for name, there in (("greeting", "hello"), ("prompt", "one")):
            await b.page.get_by_role("button", name="New key").click()
            await b.page.locator("#name").fill(name)
            await b.page.locator("#value").fill('"hello"')
            await b.page.get_by_role("button", name="Publish", exact=True).click()
            if there == "one":
                await expect(b.page.locator("#problem")).to_be_visible()
            else:
                await expect(b.page.locator("#keys")).to_contain_text(name)
            assert await b.value(name) == there


async def test_bad_json_is_said_before_anything_is_sent(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        await put(b.opened, "conf", {"a": 1})
        await b.open()
        await b.page.get_by_role("button", name="conf").click()
        await b.page.locator("#value").fill('{"a": ')
        await b.page.get_by_role("button", name="Publish", exact=True).click()

        await expect(b.page.locator("#problem")).to_contain_text("not JSON")
        assert await b.value("conf") == {"a": 1}


@pytest.mark.parametrize("width", [390, 1280])
async def test_nothing_is_wider_than_the_screen(tmp_path: Path, width: int) -> None:
    async with browser(tmp_path, viewport={"width": width, "height": 900}) as b:
        await put(b.opened, "a-key-with-a-rather-long-name.of-many.parts", "x" * 300)
        await b.open()
        await b.page.get_by_role("button", name="a-key").click()
        await expect(b.page.locator("#editor")).to_be_visible()

        wide = await b.page.evaluate("document.documentElement.scrollWidth")
        if shots := os.environ.get("SCREENSHOTS"):
            await b.page.screenshot(path=f"{shots}/{width}.png", full_page=True)
        assert wide <= width
