import random

import pytest

from client_sdk.errors import SettingInvalid
from client_sdk.keks import Kek, Keks, open_source, source_of

ONE, TWO = (Kek.from_secret(bytes([n]) * 32) for n in (1, 2))


def test_a_new_key_is_drawn_and_shows_its_id_alone():
    kek = Kek.generate(random.Random(1).randbytes)

    assert (len(kek.secret), repr(kek)) == (32, f"Kek(id={kek.id})")
    assert repr(Keks((ONE, TWO))) == f"Keks({ONE.id}, {TWO.id})"


def test_a_set_is_read_from_its_lines_with_remarks_and_blanks():
    text = f"# of the first center\n{ONE.line}\n\n  {TWO.line}  \n"

    assert Keks.parse(text) == Keks((ONE, TWO))
    assert Keks.parse(f"{ONE.line},{TWO.line}") == Keks((ONE, TWO))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "x y",
        f"{ONE.line}\n{ONE.line}",
        ONE.line[:-6],
        "0" + ONE.line,
        f"{ONE.id} {TWO.line.partition(' ')[2]}",
        f"{ONE.id} é",
        "\n".join(Kek.from_secret(bytes([n]) * 32).line for n in range(17)),
    ],
)
def test_what_is_no_set_of_keys_is_refused(text):
    with pytest.raises(ValueError, match=r"^|.*"):
        Keks.parse(text)


def test_a_set_says_which_seals_and_finds_what_opens():
    keks = Keks((ONE, TWO))

    assert (keks.ids, keks.get(TWO.id), keks.get("other")) == ((ONE.id, TWO.id), TWO, None)
    assert keks.led_by(TWO.id) == Keks((TWO, ONE))
    assert keks.without(ONE.id) == Keks((TWO,))
    assert Keks((ONE,)).and_(TWO) == keks
    assert (Keks.of(None), Keks.of(ONE), Keks.of(keks)) == (Keks(), Keks((ONE,)), keks)


def test_one_place_is_taken_and_two_are_refused():
    names = {"file": "F", "command": "C", "text": "T"}

    assert source_of({"file": None, "text": ""}, names) is None
    assert source_of({"command": "pass show kek"}, names) == open_source(
        "command", "pass show kek", "C"
    )
    with pytest.raises(SettingInvalid, match="C and T are both set"):
        source_of({"command": "x", "text": "y"}, names)
