"""
How fast it is, beside the limit of this machine and beside a peer.

An absolute number says how fast somebody's machine was that day. So every line is measured together
with what it is compared with: same run, same disk, same way of waiting, in turns (one round of the
one, one round of the other), and the ratio of the two is what is claimed. ``make bench`` prints all
of it; ``python -m benchmarks --help`` runs a part. The names of a group's lines are those of
docs/performance.md.

Nothing here is a test: a busy machine is not a bug. tests/benchmarks only makes sure that it runs.
"""
