"""Verbs about who may publish when: policy, freeze, unfreeze, draft."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
import typer

from client_sdk.errors import ApiError
from config_center.cli import show
from config_center.cli.hints import Verbs
from config_center.cli.remote import Remote, connect, fail, run
from config_center.cli.show import AsJson, Comment, Namespace, Urgent

policy = typer.Typer(cls=Verbs, help="The rules of a namespace.", no_args_is_help=True)
drafts = typer.Typer(cls=Verbs, help="Changes that wait for a second person.", no_args_is_help=True)

Ident = Annotated[str, typer.Argument(help="The id that `draft ls` shows.")]
Where = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace; none: the whole center.")
]
_RULES = {
    "two_person": "two persons agree on what is new",
    "staged": "every publish begins below 100 %",
    "precondition": "every publish says what it was made on",
}
_CONTENT = "--content HASH, as config-center draft show prints it last"
_LIFT = "an admin may give --urgent with a comment, or lift it with:"
_AGAIN_WITH = {
    "needs-rollout": "wants every publish staged, and this draft goes to everybody: its author has "
    "to make it again with --percent",
    "precondition-required": "wants to know what a change was made on, and this draft does not say "
    "it: its author has to make it again with --if-version",
}
_MARKS = {"add": "+", "remove": "-", "replace": "~"}


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.add_typer(policy, name="policy")
    app.add_typer(drafts, name="draft")
    app.command(epilog="Example: config-center freeze --reason 'incident 4711' -n prod")(freeze)
    app.command(epilog="Example: config-center unfreeze -c 'it is over'")(unfreeze)


@policy.command("show", epilog="Example: config-center policy show -n prod")
def show_policy(namespace: Namespace = None, json: AsJson = False) -> None:
    """Which rules hold, and what is frozen."""
    remote = connect(namespace)
    _print_policy(run(remote.call("GET", remote.ns("policy"))), json)


@policy.command("set", epilog="Example: config-center policy set --two-person -n prod")
def set_policy(
    two_person: Annotated[
        bool | None, typer.Option("--two-person/--no-two-person", help="What is new needs two.")
    ] = None,
    staged: Annotated[
        bool | None, typer.Option("--staged/--no-staged", help="A publish begins below 100 %.")
    ] = None,
    precondition: Annotated[
        bool | None,
        typer.Option("--precondition/--no-precondition", help="A publish says what it is made on."),
    ] = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="Let somebody else approve it first.")
    ] = False,
    urgent: Urgent = False,
    comment: Comment = "",
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Set rules; those that are not named stay as they are."""
    asked = {"two_person": two_person, "staged": staged, "precondition": precondition}
    rules = {name: value for name, value in asked.items() if value is not None}
    if not rules:
        raise typer.BadParameter("name a rule, as --two-person or --no-staged")
    remote = connect(namespace)
    if draft:
        make_draft(remote, {"policy": rules, "comment": comment}, json)
        return
    query = {"urgent": "true"} if urgent else {}
    body = {**rules, "comment": comment}
    _print_policy(run(remote.call("PUT", remote.ns("policy"), body, query=query)), json)


def freeze(
    reason: Annotated[str, typer.Option("--reason", "-r", help="Those who are stopped read it.")],
    namespace: Where = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask about the whole center.")] = False,
    json: AsJson = False,
) -> None:
    """Stop publishing; rollback and abort still work. Without -n it asks first."""
    if namespace is None and not yes:
        _confirm_all()
    done = _freeze("freeze", {"reason": reason}, namespace)
    what, option = (
        ("the whole center", "") if namespace is None else (namespace, f" -n {namespace}")
    )
    words = f"{what} is frozen; rollback and abort still work"
    show.done(done, f"{words}; when it is over: config-center unfreeze{option}", json)


def unfreeze(comment: Comment = "", namespace: Where = None, json: AsJson = False) -> None:
    """Let publishing go on. Without -n it is the freeze of the whole center that ends."""
    done = _freeze("unfreeze", {"comment": comment}, namespace)
    words = _unfrozen_center(done) if namespace is None else _unfrozen(namespace, done)
    show.done(done, words, json)


@drafts.command("ls", epilog="Example: config-center draft ls -n prod")
def list_drafts(namespace: Namespace = None, json: AsJson = False) -> None:
    """Drafts that wait, and what became of the others."""
    remote = connect(namespace)
    items = run(remote.call("GET", remote.ns("drafts"), query={"limit": 1000}))["items"]
    if json:
        show.as_json(items)
        return
    show.table(
        ("ID", "STATE", "WHAT", "WHO", "WHEN", "COMMENT"),
        [(i["id"], i["state"], _what(i), i["author"], i["at"], i["comment"]) for i in items],
    )


@drafts.command("show", epilog="Example: config-center draft show 5e0c...")
def show_draft(ident: Ident, namespace: Namespace = None, json: AsJson = False) -> None:
    """One draft, and what it would change; secrets are masked."""
    remote = connect(namespace)
    found = run(remote.call("GET", remote.ns("drafts", ident)))
    show.as_json(found) if json else _print_draft(found)


@drafts.command(epilog="Example: config-center draft approve 5e0c...")
def approve(
    ident: Ident,
    content: Annotated[
        str | None, typer.Option(help="The `content` you looked at; none: look now, then be asked.")
    ] = None,
    namespace: Namespace = None,
    json: AsJson = False,
) -> None:
    """Publish what somebody else wrote."""
    remote = connect(namespace)
    if content is None:
        found = run(remote.call("GET", remote.ns("drafts", ident)))
        _require_open(found)
        _require_other(found, run(remote.call("GET", "/v1/whoami")))
        _print_draft(found)
        show.confirm("Publish exactly this?", _CONTENT)
        content = found["content"]
    done = run(_decide(remote, ident, "approve", {"content": content}))
    where = f"{done['epoch']}-{done['revision']}"
    show.done(done, f"{ident}: published at {where}, written by {done['author']}", json)


@drafts.command(epilog="Example: config-center draft reject 5e0c... -c 'the key is wrong'")
def reject(
    ident: Ident, comment: Comment = "", namespace: Namespace = None, json: AsJson = False
) -> None:
    """Make sure that a draft is never published."""
    _end(ident, "reject", comment, namespace, json)


@drafts.command(epilog="Example: config-center draft withdraw 5e0c...")
def withdraw(
    ident: Ident, comment: Comment = "", namespace: Namespace = None, json: AsJson = False
) -> None:
    """Take your own draft back."""
    _end(ident, "withdraw", comment, namespace, json)


def make_draft(remote: Remote, body: dict[str, Any], json: bool, supersede: bool = False) -> None:
    """Send a draft, and say how it goes on."""
    query = {"supersede": "true"} if supersede else {}
    done = run(remote.call("POST", remote.ns("drafts"), body, query=query))
    for warning in done.get("warnings", ()):
        typer.echo(f"warning: {warning}", err=True)
    words = (
        f"draft {done['id']}: nothing is published yet; somebody else: config-center draft approve "
        f"{done['id']} -n {remote.namespace}"
    )
    show.done(done, words, json)


def _confirm_all() -> None:
    """Elsewhere no -n means one namespace: whoever forgets it here must not stop all of them."""
    if not show.at_terminal():
        fail("this stops publishing in every namespace: give --yes, or -n NAMESPACE to stop one")
    show.confirm("Stop publishing in every namespace? (-n NAMESPACE stops one)", "--yes")


def _freeze(verb: str, body: dict[str, str], namespace: str | None) -> dict[str, Any]:
    remote = connect(namespace)
    path = f"/v1/{verb}" if namespace is None else remote.ns(verb)
    done: dict[str, Any] = run(remote.call("POST", path, body))
    return done


def _unfrozen_center(done: dict[str, Any]) -> str:
    """What became of it, and which namespaces are frozen by themselves: these stay so."""
    left = [each["namespace"] for each in done["namespaces"]]
    if not left:
        was = "" if done["lifted"] else "nothing was frozen: "
        return f"{was}the whole center takes changes"
    was = "is not frozen any more" if done["lifted"] else "was not frozen"
    verbs = "".join(f"\n  config-center unfreeze -n {ns}" for ns in left)
    return f"the whole center {was}; still frozen: {', '.join(left)}{verbs}"


def _unfrozen(ns: str, done: dict[str, Any]) -> str:
    was = "is not frozen any more" if done["lifted"] else "was not frozen"
    if done["center"]["frozen"]:
        return f"{ns} {was}; the whole center still is: config-center unfreeze"
    return f"{ns} takes changes" if done["lifted"] else f"{ns} {was}: it takes changes"


def _end(ident: str, verb: str, comment: str, namespace: str | None, json: bool) -> None:
    remote = connect(namespace)
    done = run(_decide(remote, ident, verb, {"comment": comment}))
    show.done(done, f"{ident}: {done['state']}", json)


async def _decide(remote: Remote, ident: str, verb: str, body: dict[str, str]) -> dict[str, Any]:
    """Of one that has ended already it is said by whom, and when."""
    try:
        done: dict[str, Any] = await remote.call("POST", remote.ns("drafts", ident, verb), body)
    except ApiError as error:
        if error.problem == "draft-ended":
            _require_open(await remote.call("GET", remote.ns("drafts", ident)))
        if verb == "approve":
            _offer_what_approve_has(error, remote.namespace)
        raise
    return done


def _offer_what_approve_has(error: ApiError, ns: str) -> None:
    """Who approves has no `--urgent`, and cannot change what the author wrote."""
    detail = error.detail.replace(_LIFT, "a draft can be approved once it is lifted:")
    if detail != error.detail:
        fail(detail)
    if error.problem in _AGAIN_WITH:
        fail(f"{ns} {_AGAIN_WITH[error.problem]}")


def _require_other(found: dict[str, Any], me: dict[str, Any]) -> None:
    """Nobody is shown what to agree to, and asked, who would then be refused."""
    if "approve" not in me["permissions"]:
        fail(
            f"a token of role {me['role']!r} approves no draft; one of role approver or admin does"
        )
    if me["name"].casefold() == found["author"].casefold():
        fail("you wrote this draft: somebody else has to approve it")


def _require_open(found: dict[str, Any]) -> None:
    """Nobody is asked about what cannot be approved any more."""
    ident, state, closed = found["id"], found["state"], found["closed"]
    if state == "moved":
        moved = ", ".join(found["moved"])
        fail(f"draft {ident} is void: {moved} changed since it was made; make it anew")
    if state == "expired":
        fail(f"draft {ident} expired at {found['expires']}; make it anew")
    if state == "author-gone":
        fail(
            f"the token with which {found['author']} wrote draft {ident} was revoked or has "
            "expired, or may not publish it any more; make it anew"
        )
    if state != "waiting":
        who = "" if closed is None else f" by {closed['by']} at {closed['at']}"
        fail(f"draft {ident} has ended: it was {state}{who}")


def _print_policy(found: dict[str, Any], json: bool) -> None:
    if json:
        show.as_json(found)
        return
    for name, words in _RULES.items():
        typer.echo(f"{name:13} {'yes' if found[name] else 'no ':3}  {words}")
    for what, about in (("namespace", found["frozen"]), ("center", found["center"]["frozen"])):
        if about is not None:
            since = f"since {about['since']} by {about['by']}"
            show.line(f"the {what} is frozen {since}: {about['reason']}")


def _print_draft(found: dict[str, Any]) -> None:
    show.line(f"{found['id']}  {found['state']}: {_what(found)}")
    show.line(f"by {found['author']} at {found['at']}, until {found['expires']}")
    if found["comment"]:
        show.line(found["comment"])
    if found["rollout"]:  # whom it lists and by which rules: the percent alone says little
        show.line(f"rollout {_short(found['rollout'])}")
    if found["supersede"]:
        show.line("aborts the rollout that runs on these keys")
    for part in found["changes"]:
        show.line(f"{part['key']} ({part['op']})")
        for delta in part["changes"]:
            show.line(f"  {_MARKS[delta['op']]} {delta['path'] or '/'}{_delta(delta)}")
    typer.echo(f"content {found['content']}")


def _delta(delta: dict[str, Any]) -> str:
    values = [_short(delta[name]) for name in ("old", "new") if name in delta]
    return "  " + " -> ".join(values)


def _short(value: Any) -> str:
    return orjson.dumps(value).decode("utf-8")


def _what(item: dict[str, Any]) -> str:
    keys = ", ".join(f"{key['key']} ({key['op']})" for key in item["keys"])
    share = f" to {item['rollout']['percent']:g} %" if item["rollout"] else ""
    return keys + share
