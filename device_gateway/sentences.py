"""Cuts a stream of words into what a device is told to say next. Pure."""

from __future__ import annotations

import re
from typing import Final

MAX_SENTENCE_CHARS: Final = 400
"""A model that never ends its sentence is cut here, so that the device hears something."""

# A western full stop ends a sentence only before a space (3.14, gpt-4.1); a Chinese one always.
_SENTENCE_END: Final = re.compile(r"[.!?;]+\s+|[。！？；…\n]+\s*")


def cut_sentences(text: str) -> tuple[list[str], str]:
    """The whole sentences at the start of `text`, and the rest; joined they are `text` again."""
    sentences = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        sentences.append(text[start : match.end()])
        start = match.end()
    while len(text) - start > MAX_SENTENCE_CHARS:
        sentences.append(text[start : start + MAX_SENTENCE_CHARS])
        start += MAX_SENTENCE_CHARS
    return sentences, text[start:]
