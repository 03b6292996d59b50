"""
The audit: who changed what, or tried to, when, from where, why, and what came of it.

The law:

* **Where.** One chain a center, in ``audit.sqlite3`` beside its journal. Centers do not share one:
  a common chain would need a common order, and so a consensus for every refusal. What joins them is
  in the entries: a change's id and its position are the same at every center.
* **What.** Every call that changes something, accepted or refused; every call of whoever was not
  let in (a wrong token, a role or a namespace that is not his), whatever he asked for. A dry run
  and an instance's report of itself change no configuration and are not in it.
* **Entry before answer.** Nobody hears 2xx before his entry is in the file. A call that was carried
  out and cannot be written down is answered 504 ``outcome-unknown``, and its entry waits in memory
  for the disk. While the disk refuses, changes are refused too (507, before anything is done), and
  reads go on.
* **What may be lost.** By kill -9 of the center: nothing that was answered 2xx, because what was
  written is the kernel's. By a loss of power: the entries of the last second, for a publish does
  not pay an fsync of the audit; the file is synced once a second. But an accepted *change* is in
  the journal, fsynced, with its author and its request: at its start a center compares, writes what
  is missing as ``found`` and says so in its log. What was accepted and is no change of keys (a
  token, a restore) is synced before its answer. A refusal that only repeats another is counted, and
  the counts of the last minute are in memory alone.
* **What is never in it.** No value, no token, no secret: names, numbers, limits and the comment.
  Every text is printable and short, whatever was sent (entries.py).
* **Bounded.** Repeated refusals become one entry with a count (tally.py), so that a flood of wrong
  tokens fills no disk. Entries go when they are older than ``retention.audit_days`` *and* not among
  the newest ``retention.audit_entries``; the chain stays provable (chain.py).

Rejected: the journal's own file (its rows go after 30 days, and a journal may be replaced from the
store: who was refused is in no store), an entry before and one after each call (two writes, and the
journal's intent is that already), and an fsync for each entry (docs/operating.md has the figures).
"""
