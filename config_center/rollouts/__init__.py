"""Rollouts: what may be done to one (plan), and what became of each (book)."""
