"""The second person at the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import expect

from config_center.access import Actor
from tests.config_center.web.test_page import ADMIN, EVIL, browser, put

PAT = Actor("pat", "publisher")

pytestmark = pytest.mark.browser


async def test_a_draft_is_looked_at_and_approved_at_the_page(tmp_path: Path) -> None:
    async with browser(tmp_path) as b:
        service = b.opened.service
        await put(b.opened, "prompt", "old")
        moving = {"operations": [{"op": "put", "key": "other", "value": 1}], "comment": ""}
        await service.drafts.create("default", moving, PAT)
        await put(b.opened, "other", 2)
        await service.policies.set_rules("default", {"two_person": True}, ADMIN)
        operation = {"op": "put", "key": "prompt", "value": EVIL + "\u202e"}
        rollout = {"percent": 1, "unit": "device", "allow": ["everybody"]}
        asked = {"operations": [operation], "comment": EVIL, "rollout": rollout}
        await service.drafts.create("default", asked, PAT)
        await b.open()

        waiting = b.page.get_by_role("region", name="Waiting for a second person")
        await waiting.get_by_role("button", name="prompt (put)").click()
        await expect(b.page.locator("#draft .del")).to_have_text('- / "old"')
        await expect(b.page.locator("#draft .add")).to_contain_text("\\u202e")
        await expect(b.page.locator("#draft")).to_contain_text('"allow":["everybody"]')
        await b.page.get_by_role("button", name="Publish exactly this").click()
        await expect(waiting.get_by_role("button", name="prompt (put)")).to_be_hidden()
        await expect(waiting).to_contain_text("other (put) changed meanwhile, make it anew")

        assert service.rollouts.listed("default", 1, None)["items"]
        assert await b.page.evaluate("window.hurt") is None
        assert b.errors == []


async def test_where_two_persons_are_wanted_the_editor_makes_a_draft(tmp_path: Path) -> None:
    async with browser(tmp_path, locale="zh-CN") as b:
        service = b.opened.service
        await put(b.opened, "prompt", "old", format="text")
        await service.policies.set_rules("default", {"two_person": True}, ADMIN)
        await service.policies.freeze("default", "incident 4711", ADMIN)
        await b.open()
        await expect(b.page.locator("#frozen")).to_contain_text("incident 4711")

        await b.page.get_by_role("button", name="prompt").click()
        await b.page.locator("#value").fill("new")
        await b.page.get_by_role("button", name="提交他人审批").click()
        await b.page.get_by_role("button", name="prompt (put)").click()
        await b.page.get_by_role("button", name="按此内容发布").click()

        await expect(b.page.locator("#problem")).to_contain_text("没有权限")
        await expect(b.page.locator("#problem")).to_contain_text("you wrote this draft")
        assert await b.value("prompt") == "old"
        assert b.errors == []
