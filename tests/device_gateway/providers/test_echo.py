"""providers/echo.py: honest where nothing is set up."""

from device_gateway.egress import EVERYWHERE, Egress
from device_gateway.providers import echo


async def test_an_echo_says_that_it_is_one():
    llm = await echo.build({"type": "echo"}, Egress.of(EVERYWHERE))
    await llm.probe()

    assert [piece async for piece in llm.stream([{"role": "user", "content": "hi"}])] == [
        "echo: hi"
    ]
    await llm.close()


def test_the_echo_of_speech_says_that_nothing_was_recognised():
    assert echo.transcribe(12, 720) == (
        "[echo asr: 12 audio frames, 0.72 s; no speech recognition is set up]"
    )
