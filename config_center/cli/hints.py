"""
What people type who know another tool, and the verb that does it here.

Typer itself names verbs that are spelt alike; these are those that mean alike. None of them is an
alias: one deed has one name, in the scripts of everybody.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

_UsageError: Any = typer.BadParameter.__mro__[1]  # typer gives it no name of its own
_MORE = ("Got unexpected extra argument", "No such option")

# What was typed -> what to type; words in capitals stand for what is meant.
HINTS = {
    **dict.fromkeys(("set", "publish", "edit", "update", "create", "push"), "put KEY --text VALUE"),
    **dict.fromkeys(("delete", "remove", "del", "unset"), "rm KEY"),
    **dict.fromkeys(("show", "cat", "read"), "get KEY"),
    **dict.fromkeys(("undo", "revert"), "rollback KEY"),
    **dict.fromkeys(("log", "versions"), "history KEY"),
    **dict.fromkeys(("list", "keys"), "ls"),
    **dict.fromkeys(("lock", "stop"), "freeze --reason WHY -n NAMESPACE"),
    **dict.fromkeys(("unlock", "thaw"), "unfreeze -n NAMESPACE"),
    **dict.fromkeys(("status", "health", "check"), "doctor"),
    **dict.fromkeys(("who", "login"), "whoami"),
    "tail": "watch",
    "canary": "put KEY --text VALUE --percent 10",
    "import": "put KEY FILE",
    **{verb: f"rollout {verb} KEY" for verb in ("promote", "abort", "pause", "resume", "step")},
    **{verb: f"draft {verb} ID" for verb in ("approve", "reject", "withdraw")},
    **{verb: f"secrets {verb} KEY" for verb in ("reseal", "seal")},
    "shred": "secrets shred KEY --version N",
    "rotate": "trust rotate (what signs), or config-center secrets rotate (what seals)",
    "bind": "schema set KEY --kind KIND",
    **{verb: f"devices {verb} DEVICE" for verb in ("admit", "refuse")},
    "explain": "devices explain DEVICE KEY",
    "instance": "instances",
    "draft diff": "draft show ID",
    "draft get": "draft show ID",
    "draft publish": "draft approve ID",
    **dict.fromkeys(("draft create", "draft make", "draft put"), "put KEY --text VALUE --draft"),
    "draft rm": "draft withdraw ID",
    "draft delete": "draft withdraw ID",
    "policy get": "policy show",
    "policy ls": "policy show",
    "rollout show": "rollout status KEY",
    "rollout get": "rollout status KEY",
    "rollout rollback": "rollout abort KEY",
    "rollout cancel": "rollout abort KEY",
    "rollout finish": "rollout promote KEY",
    **dict.fromkeys(("rollout start", "rollout create"), "put KEY --text VALUE --percent 10"),
    "schema show": "schema get KEY",
    "schema bind": "schema set KEY --kind KIND",
    **dict.fromkeys(("secrets ls", "secrets list", "secrets show"), "secrets status"),
    "secrets destroy": "secrets shred KEY --version N",
    **dict.fromkeys(("audit show", "audit list", "audit log", "audit tail"), "audit ls"),
    **dict.fromkeys(("trust ls", "trust list", "trust status"), "trust show"),
    **dict.fromkeys(("token delete", "token rm"), "token revoke ID"),
    "token show": "token ls",
    "namespace show": "namespace ls",
    "namespace rm": "namespace delete NAME",
    "devices show": "devices explain DEVICE KEY",
    "devices list": "devices ls",
    "orphans show": "orphans ls",
    "config show": "config check",
}


# How a verb takes what was given without the option, or with one that another verb has.
OPTIONS = {
    "diff": "diff KEY --from 1 --to 4",
    "get": "get KEY --version 3",
    "put": "put KEY --text VALUE",
    "rollback": "rollback KEY --to 3",
    "freeze": "freeze --reason WHY -n NAMESPACE",
    "unfreeze": "unfreeze -c WHY -n NAMESPACE",
    "rollout step": "rollout step KEY --percent 50",
    "draft reject": "draft reject ID -c WHY",
    "draft withdraw": "draft withdraw ID -c WHY",
    "secrets shred": "secrets shred KEY --version 3",
    "schema set": "schema set KEY --kind KIND",
    "token create": "token create NAME --role ROLE",
}


class Verbs(TyperGroup):
    """A group of verbs that answers what is no verb with the one that was meant."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Raises UsageError, which exits with status 2."""
        if args and args[0] not in self.commands and not ctx.resilient_parsing:
            tried = " ".join((*ctx.command_path.split()[1:], args[0]))
            if tried in HINTS:
                ctx.fail(f"There is no verb {tried!r}. Try: config-center {HINTS[tried]}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Raises UsageError, where more was given than is taken with the way that it is typed."""
        try:
            return super().invoke(ctx)
        except _UsageError as error:
            verb = " ".join(error.ctx.command_path.split()[1:]) if error.ctx else ""
            if error.message.startswith(_MORE) and verb in OPTIONS:
                said = error.message.rstrip(".")
                error.message = f"{verb}: {said}. Try: config-center {OPTIONS[verb]}"
            raise
