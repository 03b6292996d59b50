"""sentences.py: nothing is lost between the cuts."""

from hypothesis import given
from hypothesis import strategies as st

from device_gateway.sentences import MAX_SENTENCE_CHARS, cut_sentences


@given(st.text(alphabet="ab.!?。; \n3", max_size=900))
def test_cut_sentences_joined_are_the_text(text):
    sentences, rest = cut_sentences(text)

    assert "".join(sentences) + rest == text
    assert len(rest) <= MAX_SENTENCE_CHARS


def test_a_point_inside_a_number_ends_nothing():
    assert cut_sentences("It is 3.14. Yes.") == (["It is 3.14. "], "Yes.")
    assert cut_sentences("你好。再见") == (["你好。"], "再见")
