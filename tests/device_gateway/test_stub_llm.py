"""stub_llm.py: an endpoint that says what it was asked with."""

import aiohttp

from device_gateway.stub_llm import Asked, StubLlm

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]


async def test_a_completion_tells_key_model_prompt_and_number_of_messages():
    async with StubLlm() as stub, aiohttp.ClientSession() as http:
        answer = await http.post(
            f"{stub.base_url}/chat/completions",
            json={"model": "m-1", "messages": MESSAGES},
            headers={"Authorization": "Bearer sk-a"},
        )
        message = (await answer.json())["choices"][0]["message"]

    assert message["content"] == "key=sk-a model=m-1 prompt=Be brief. messages=2"
    assert list(stub.asked) == [Asked("sk-a", "m-1", tuple(MESSAGES))]


async def test_a_bad_key_is_refused_on_both_routes():
    async with StubLlm() as stub, aiohttp.ClientSession() as http:
        bad = {"Authorization": "Bearer bad-1"}
        models = await http.get(f"{stub.base_url}/models", headers=bad)
        chat = await http.post(f"{stub.base_url}/chat/completions", json={}, headers=bad)

        assert (models.status, chat.status) == (401, 401)
