"""
When a program that is a center looks for garbage: a full collection stops everybody meanwhile.

What a start leaves behind stays to the end; looked through again in each full collection it stops
everybody for a third of a second. And with 1,000 streams a full one takes 50 ms; at the usual ten
collections of the middle generation before it, a thousand newcomers bring it on. What only it finds
is little: six objects of a connection that ended.
"""

from __future__ import annotations

import gc

_MIDDLE_BEFORE_FULL = 50


def settle() -> None:
    """The start is over: what is here now is looked at no more, what comes seldom as a whole."""
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _MIDDLE_BEFORE_FULL)
