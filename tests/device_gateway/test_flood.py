"""How much one device may say."""

from device_gateway.flood import MESSAGES, TURNS, Flood


def test_a39_speech_at_the_fastest_pace_of_any_device_is_never_too_much():
    flood = Flood.watch(0.0)

    for second in range(60):
        for frame in range(200):  # frames of 5 ms
            assert flood.message(second + frame / 200)
        assert flood.turn(flood.turns + 1, float(second))


def test_a39_what_comes_faster_is_too_much_after_the_burst():
    flood = Flood.watch(0.0)

    heard = [flood.message(0.0) for _ in range(int(MESSAGES.burst) + 1)]

    assert heard == [True] * int(MESSAGES.burst) + [False]
    assert flood.message(1.0)


def test_a39_turns_have_a_bound_of_their_own():
    flood = Flood.watch(0.0)

    begun = [flood.turn(number, 0.0) for number in range(1, int(TURNS.burst) + 2)]

    assert begun == [True] * int(TURNS.burst) + [False]
    assert flood.turn(flood.turns, 0.0)  # a message that began none
