"""providers/openai.py against real HTTP endpoints."""

from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from yarl import URL

from device_gateway.egress import AND_THIS_MACHINE, EVERYWHERE, Egress
from device_gateway.errors import ProviderFailed
from device_gateway.providers import build_llm, close_llm, openai, probe_llm
from device_gateway.stub_llm import StubLlm

HERE = Egress.of(AND_THIS_MACHINE)
SAY_HI = [{"role": "user", "content": "hi"}]


@asynccontextmanager
async def endpoint(**routes):
    """A server whose `models` and `chat` answer as told."""
    app = web.Application()
    if "models" in routes:
        app.router.add_get("/v1/models", routes["models"])
    if "chat" in routes:
        app.router.add_post("/v1/chat/completions", routes["chat"])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def provider(base_url, api_key="sk-a", egress=HERE):
    settings = {"type": "openai", "base_url": base_url, "api_key": api_key, "model": "m-1"}
    llm = await build_llm(settings, None, egress=egress)
    try:
        yield llm
    finally:
        await close_llm(llm)


def answering(status=200, text=""):
    async def handler(request):
        return web.Response(status=status, text=text)

    return handler


async def test_the_pieces_of_an_answer_arrive_in_order():
    async with StubLlm() as stub, provider(stub.base_url) as llm:
        await probe_llm(llm)
        pieces = [piece async for piece in llm.stream(SAY_HI)]

    assert len(pieces) > 1
    assert "".join(pieces) == "key=sk-a model=m-1 prompt= messages=1"


async def test_a_refused_key_is_named_as_the_reason_and_never_repeated():
    async with StubLlm() as stub, provider(stub.base_url, "bad-secret") as llm:
        with pytest.raises(ProviderFailed) as probe:
            await probe_llm(llm)
        with pytest.raises(ProviderFailed) as stream:
            await anext(llm.stream(SAY_HI))

    for failure in (probe.value, stream.value):
        assert failure.kind == "auth"
        assert str(failure) == "127.0.0.1 answered 401: the api_key is not accepted"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, "auth"), (429, "limit"), (400, "refused"), (302, "refused"), (503, "unavailable")],
)
async def test_each_status_has_its_kind(status, kind):
    async with endpoint(models=answering(status)) as url, provider(url) as llm:
        with pytest.raises(ProviderFailed) as failure:
            await probe_llm(llm)

    assert failure.value.kind == kind


async def test_a_service_without_a_list_of_models_is_asked_for_one_token():
    bodies = []

    async def chat(request):
        bodies.append(await request.json())
        return web.json_response({})

    async with endpoint(chat=chat) as url, provider(url) as llm:
        await probe_llm(llm)

    assert [body["max_tokens"] for body in bodies] == [1]


async def test_a_closed_port_is_unavailable():
    async with endpoint() as url:
        pass
    async with provider(url) as llm:
        with pytest.raises(ProviderFailed) as failure:
            await probe_llm(llm)

    assert failure.value.kind == "unavailable"


async def test_a_silent_service_is_late():
    async with StubLlm(delay=5.0) as stub:
        llm = openai.OpenAiLlm(URL(stub.base_url), "sk-a", "m-1", HERE, silence=0.05)
        with pytest.raises(ProviderFailed) as failure:
            await anext(llm.stream(SAY_HI))
        await llm.close()

    assert failure.value.kind == "timeout"


@pytest.mark.parametrize(
    "line",
    ["data: nope\n\n", "data: {}\n\n", 'data: {"choices":[{"delta":"x"}]}\n\n', "data: 1\n\n"],
)
async def test_an_answer_of_another_shape_is_said_to_be_one(line):
    async with endpoint(chat=answering(200, line)) as url, provider(url) as llm:
        with pytest.raises(ProviderFailed) as failure:
            await anext(llm.stream(SAY_HI))

    assert failure.value.kind == "answer"


async def test_lines_without_words_are_passed_over():
    lines = ': note\n\ndata: {"choices":[]}\n\ndata: {"choices":[{"delta":{"role":"a"}}]}\n\n'
    lines += "data: [DONE]\n\n"
    async with endpoint(chat=answering(200, lines)) as url, provider(url) as llm:
        assert [piece async for piece in llm.stream(SAY_HI)] == []


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({}, "llm.type"),
        ({"type": "nope"}, "llm.type"),
        ({"type": ["echo"]}, "llm.type"),
        ({"type": "openai"}, "llm.model"),
        ({"type": "openai", "model": "m", "api_key": "a\nb"}, "llm.api_key"),
        ({"type": "openai", "model": "m", "base_url": "ftp://x"}, "llm.base_url"),
        ({"type": "openai", "model": "m", "base_url": "http://[x"}, "llm.base_url"),
        ({"type": "openai", "model": "m"}, "llm.base_url"),
    ],
)
async def test_settings_that_cannot_be_used_are_named(settings, word):
    with pytest.raises(ProviderFailed, match=word) as failure:
        await build_llm(settings, egress=HERE)

    assert failure.value.kind == "settings"


WORDS = 'data: {"choices":[{"delta":{"content":"One. "}}]}\n\n'
LAST = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'


async def test_a_stream_that_ends_in_the_middle_is_no_whole_answer():
    async with endpoint(chat=answering(200, WORDS)) as url, provider(url) as llm:
        pieces = llm.stream(SAY_HI)
        heard = await anext(pieces)
        with pytest.raises(ProviderFailed, match="ended in mid-answer") as failure:
            await anext(pieces)

    assert (heard, failure.value.kind) == ("One. ", "answer")


@pytest.mark.parametrize("end", [LAST, "data: [DONE]\n\n", LAST + "data: [DONE]\n\n"])
async def test_a_finish_reason_or_done_is_the_end_of_an_answer(end):
    async with endpoint(chat=answering(200, WORDS + end)) as url, provider(url) as llm:
        assert [piece async for piece in llm.stream(SAY_HI)] == ["One. "]


REFUSED, NO_HOST = "must be listed as an address", "HTTP we know"  # aiohttp's own word
HOSTS = [
    ("127.0.0.1", REFUSED),
    ("localhost", REFUSED),
    ("[::ffff:127.0.0.1]", REFUSED),
    ("0x7f.1", REFUSED),
    ("2130706433", NO_HOST),
    ("127.1", NO_HOST),
]


@pytest.mark.parametrize(("host", "why"), HOSTS)
async def test_a23_this_machine_is_not_dialled_however_it_is_written(host, why):
    asked = []

    async def models(request):
        asked.append(request.host)
        return web.json_response({})

    async with endpoint(models=models) as url:
        base = url.replace("127.0.0.1", host)
        async with provider(base, egress=Egress.of(EVERYWHERE)) as llm:
            with pytest.raises(ProviderFailed, match=why):
                await probe_llm(llm)
        async with provider(url) as llm:  # where it is listed, it is
            await probe_llm(llm)

    assert len(asked) == 1


async def test_a23_a_name_that_changes_its_mind_is_judged_by_what_is_dialled(monkeypatch):
    """DNS rebinding: whatever was looked up before, the socket is asked for this address."""
    async with endpoint(models=answering(200, "{}")) as url:
        port = URL(url).port
        base = f"http://friendly.example:{port}/v1"
        async with provider(base, egress=Egress.of(["*", "friendly.example"])) as llm:

            async def here(host, port=0, family=0):
                address = {"host": "127.0.0.1", "port": port, "family": 2, "proto": 0, "flags": 0}
                return [{"hostname": host, **address}]

            monkeypatch.setattr(llm._http.connector._resolver, "resolve", here)
            with pytest.raises(ProviderFailed, match="must be listed as an address"):
                await probe_llm(llm)


async def test_a23_a_redirect_is_not_followed():
    asked = []

    async def away(request):
        asked.append(request.path)
        raise web.HTTPFound("/v1/models?elsewhere")

    async with endpoint(models=away) as url, provider(url) as llm:
        with pytest.raises(ProviderFailed):
            await probe_llm(llm)

    assert asked == ["/v1/models"]


async def test_a14_an_answer_that_comes_compressed_is_never_unfolded():
    import gzip

    bomb = gzip.compress(b"data: " + b"x" * 50_000_000)

    async def chat(request):
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with endpoint(chat=chat) as url, provider(url) as llm:
        with pytest.raises(ProviderFailed) as failure:
            await anext(llm.stream(SAY_HI))

    assert failure.value.kind == "answer"
