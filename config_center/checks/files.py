"""Does everything in the data directory belong to one user, and to nobody else?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from config_center.checks.base import Facts, fail, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config_center.checks.base import Check, FileFacts

SUBJECT = "files"


def judge(facts: Facts) -> Iterator[Check]:
    """Permission bits and owners; the first of ``files`` is the directory itself."""
    if facts.files is None:
        return
    if not facts.files:
        yield ok(SUBJECT, "there is no data directory yet; the first start makes it")
        return
    home = facts.files[0]
    found = [check for file in facts.files for check in _judge(file, home.owner)]
    if facts.user not in (None, 0, home.owner):
        sentence = f"{home.path} belongs to the user id {home.owner}, not to {facts.user}"
        found.append(
            fail(SUBJECT, sentence, f"run as that user, or chown -R {facts.user} {home.path}")
        )
    yield from found or [ok(SUBJECT, f"what lies in {home.path} is closed to other users")]


def _judge(file: FileFacts, owner: int) -> Iterator[Check]:
    if file.is_directory and file.mode & 0o022:
        sentence = f"others may write to {file.path}, and put files there that are believed"
        yield fail(SUBJECT, sentence, f"chmod 700 {file.path}")
    elif not file.is_directory and file.mode & 0o077:
        yield fail(SUBJECT, f"others may read {file.path}", f"chmod 600 {file.path}")
    if file.owner != owner:
        sentence = f"{file.path} belongs to the user id {file.owner}, its directory to {owner}"
        yield fail(SUBJECT, sentence, f"chown {owner} {file.path}")
