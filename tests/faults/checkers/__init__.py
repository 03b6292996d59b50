"""
What a round is judged by: pure functions over what was recorded, and nothing else.

They know neither the center nor a client, so that the same function judges what we build and what
is broken on purpose. A checker that never fails proves nothing: each has hand-made histories that
it must refuse (test_watch.py, test_linear.py), and each round a broken variant.
"""
