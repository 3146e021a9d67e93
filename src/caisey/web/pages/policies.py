"""Policies: what each level sets, and what is in force on a computer with where each value comes from.

Owns which levels stand above one. The words and spellings are `views.policy`'s, the rules the API's.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import quote

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.pages.reach import everything
from caisey.web.views import policy as views
from caisey.web.visit import Visit
from caisey.web.words import word

POLICIES: Final = "/settings/policies"
FOUND: Final = 20


class Subject(NamedTuple):
    """A level: where the API has it, where the page is, its name, and the levels above it."""

    level: str
    api: str
    query: dict[str, str]
    page: str
    name: str
    above: list[views.Level]
    endpoint_id: str | None = None
    client_group_id: str | None = None


async def show_all(visit: Visit) -> Reply:
    """Every level that sets something, and the ways to the others."""
    wanted = visit.query.get("computer", "").strip()
    found = await visit.inside.get("/endpoints", q=wanted, limit=FOUND) if wanted else None
    levels = await everything(visit, "/policies")
    return render(
        visit,
        "policies.html",
        levels=[_line(level) for level in levels if level["level"] != "organization"],
        organization=next((level for level in levels if level["level"] == "organization"), None),
        groups=await everything(visit, "/client-groups"),
        wanted=wanted,
        found=found["items"] if found else None,
        said=views.said,
    )


async def show_one(visit: Visit) -> Reply:
    """The form of one level."""
    subject = await _subject(visit)
    own = await visit.inside.get(subject.api, **subject.query)
    return await _form(visit, subject, own)


async def save(visit: Visit) -> Reply:
    """That level sets exactly what the form says."""
    subject = await _subject(visit)
    typed = {name: visit.form.get(name) for _, names in views.SECTIONS for name in names}
    try:
        await visit.inside.put(subject.api, views.body_of(typed), key=visit.form.key, **subject.query)
    except ApiFault as fault:
        own = await visit.inside.get(subject.api, **subject.query)
        return await _form(visit, subject, own, typed, fault)
    return see_other(f"{subject.page}{'&' if '?' in subject.page else '?'}saved=1")


async def open_tag(visit: Visit) -> Reply:
    """From the field with a tag's name to its page."""
    tag = visit.query.get("name", "").strip()
    return see_other(f"{POLICIES}/tag?tag={quote(tag, safe='')}" if tag else POLICIES)


async def _subject(visit: Visit) -> Subject:
    level = visit.path.get("level", "tag" if "/tag" in visit.request.url.path else "organization")
    if level == "organization":
        return Subject(level, "/policy", {}, f"{POLICIES}/organization", "", [])
    above = [await _organization(visit)]
    if level == "tag":
        tag = visit.query.get("tag", "")
        page = f"{POLICIES}/tag?tag={quote(tag, safe='')}"
        return Subject(level, "/policies/tag", {"tag": tag}, page, tag, above)
    identity = visit.path["subject"]
    page = f"{POLICIES}/{level}/{identity}"
    if level == "client_group":
        group = await visit.inside.get(f"/client-groups/{identity}")
        return Subject(level, f"/client-groups/{identity}/policy", {}, page, group["name"], above, None, group["id"])
    if level != "endpoint":
        raise ApiFault(404, {"code": "resource.not_found", "title": "Not found", "hint": "", "status": 404})
    endpoint = await visit.inside.get(f"/endpoints/{identity}")
    above += await _above_endpoint(visit, endpoint)
    return Subject(
        level, f"/endpoints/{identity}/policy", {}, page, endpoint["name"], above, identity, endpoint["client_group_id"]
    )


async def _organization(visit: Visit) -> views.Level:
    return ("organization", word("policy.from.organization"), await visit.inside.get("/policy"))


async def _above_endpoint(visit: Visit, endpoint: dict[str, Any]) -> list[views.Level]:
    """Its client group, then its tags in the order of the alphabet: the last has the last word."""
    levels: list[views.Level] = []
    if endpoint.get("client_group_id"):
        fields = await visit.inside.get(f"/client-groups/{endpoint['client_group_id']}/policy")
        levels.append(("client_group", word("policy.from.client_group"), fields))
    for tag in sorted(endpoint.get("tags", ())):
        fields = await visit.inside.get("/policies/tag", tag=tag)
        levels.append((f"tag:{tag}", word("policy.from.tag", tag=tag), fields))
    return levels


async def _form(
    visit: Visit,
    subject: Subject,
    own: dict[str, Any],
    typed: dict[str, str] | None = None,
    fault: ApiFault | None = None,
) -> Reply:
    in_force = None
    if subject.endpoint_id is not None:
        document = await visit.inside.get("/policies/effective", endpoint=subject.endpoint_id)
        names = {level: word(f"policy.from.{level}") for level in ("default", "organization", "client_group")}
        in_force = views.effective_of(document, {**names, "endpoint": word("policy.from.endpoint")})
    whole = subject.level in ("organization", "tag")
    person = visit.person
    may_change = person.may_everywhere(Role.ADMIN) if whole else person.may_in(Role.ADMIN, subject.client_group_id)
    return render(
        visit,
        "policy.html",
        status=fault.status if fault else 200,
        subject=subject,
        sections=views.form_of(subject.above, own, typed),
        in_force=in_force,
        may_change=may_change,
        faults=_places(fault),
        fault=fault,
        saved=visit.query.get("saved", ""),
    )


def _places(fault: ApiFault | None) -> dict[str, str]:
    """What is wrong with which field, from the API's pointers."""
    errors = fault.problem.get("errors", ()) if fault else ()
    return {str(error["pointer"]).split("/")[1]: str(error["expected"]) for error in errors if error["pointer"]}


def _line(level: dict[str, Any]) -> dict[str, Any]:
    subject = level["subject"]
    tail = f"tag?tag={quote(subject, safe='')}" if level["level"] == "tag" else f"{level['level']}/{subject}"
    return {**level, "page": f"{POLICIES}/{tail}"}


PAGES: Final = (
    Page(method="GET", path=POLICIES, show=show_all, nav="settings"),
    Page(method="GET", path=f"{POLICIES}/organization", show=show_one, nav="settings"),
    Page(method="POST", path=f"{POLICIES}/organization", show=save, role=Role.ADMIN, nav="settings"),
    Page(method="GET", path=f"{POLICIES}/tag", show=show_one, nav="settings"),
    Page(method="POST", path=f"{POLICIES}/tag", show=save, role=Role.ADMIN, nav="settings"),
    Page(method="GET", path=f"{POLICIES}/open-tag", show=open_tag, nav="settings"),
    Page(method="GET", path=f"{POLICIES}/{{level}}/{{subject}}", show=show_one, nav="settings"),
    Page(method="POST", path=f"{POLICIES}/{{level}}/{{subject}}", show=save, role=Role.ADMIN, nav="settings"),
)
