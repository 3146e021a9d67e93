"""Members: who belongs to the organization, in which role, for which client groups, and how they get in.

Owns the forms; every rule (nobody hands out more than they have) is the API's.
"""

from __future__ import annotations

from typing import Any, Final

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.pages.reach import chosen_in, may_change, named_in, reach_of, roles_of
from caisey.web.visit import Visit

MEMBERS: Final = "/settings/members"
PAGE_SIZE: Final = 50


async def show_all(visit: Visit) -> Reply:
    """The list."""
    found = await visit.inside.get("/members", limit=PAGE_SIZE, cursor=visit.query.get("cursor"))
    reach = await reach_of(visit, None)
    return render(
        visit,
        "members.html",
        members=found["items"],
        next=found["next"],
        cursor=visit.query.get("cursor"),
        names=reach.names,
        saved=visit.query.get("saved", ""),
    )


async def ask_new(visit: Visit) -> Reply:
    """The form of a new member."""
    typed: dict[str, Any] = {
        "name": "",
        "email": "",
        "role": Role.TECHNICIAN.value,
        "client_group_ids": None,
        "group_roles": [],
    }
    return await _new(visit, typed)


async def add(visit: Visit) -> Reply:
    """A member and their invitation."""
    form = visit.form
    body = {
        "name": form.get("name").strip(),
        "email": form.get("email").strip(),
        "role": form.get("role"),
        "client_group_ids": chosen_in(form),
        "group_roles": named_in(form),
    }
    try:
        member = await visit.inside.post("/members", body, key=form.key)
    except ApiFault as fault:
        return await _new(visit, body, fault)
    try:
        made = await visit.inside.post(f"/members/{member['id']}/link", {}, key=form.key)
    except ApiFault as fault:  # they are a member now; the way in is asked for once more, from their page
        return await _one(visit, member, fault)
    return _link(visit, member, made)


async def show_one(visit: Visit) -> Reply:
    """One member, with everything that can be done about them."""
    return await _one(visit, await _member(visit))


async def save(visit: Visit) -> Reply:
    """Name, role, client groups, and the roles in them."""
    form, member = visit.form, await _member(visit)
    body = {
        "name": form.get("name").strip(),
        "role": form.get("role"),
        "client_group_ids": chosen_in(form),
        "group_roles": named_in(form, member["group_roles"]),
    }
    try:
        await visit.inside.patch(f"/members/{member['id']}", body, key=form.key)
    except ApiFault as fault:
        return await _one(visit, {**member, **body}, fault)
    return see_other(f"{MEMBERS}/{member['id']}?saved=1")


async def make_link(visit: Visit) -> Reply:
    """An invitation or a reset; it is shown on this answer alone."""
    member = await _member(visit)
    body = {"clear_second_factor": visit.form.get("clears") == "yes", "password": visit.form.get("password") or None}
    try:
        made = await visit.inside.post(f"/members/{member['id']}/link", body, key=visit.form.key)
    except ApiFault as fault:
        return await _one(visit, member, fault)
    return _link(visit, member, made)


async def sign_out(visit: Visit) -> Reply:
    """Every browser of theirs is signed out; one's own too, where it is oneself."""
    member = await _member(visit)
    try:
        await visit.inside.post(f"/members/{member['id']}/sign-out", key=visit.form.key)
    except ApiFault as fault:
        return await _one(visit, member, fault)
    return see_other(f"{MEMBERS}/{member['id']}?saved=signed-out")


async def remove(visit: Visit) -> Reply:
    """They are out at once."""
    member = await _member(visit)
    try:
        await visit.inside.delete(f"/members/{member['id']}", key=visit.form.key)
    except ApiFault as fault:
        return await _one(visit, member, fault)
    return see_other("/sign-in" if member["id"] == visit.person.member_id else f"{MEMBERS}?saved=removed")


async def _member(visit: Visit) -> dict[str, Any]:
    found: dict[str, Any] = await visit.inside.get(f"/members/{visit.path['member_id']}")
    return found


async def _new(visit: Visit, typed: dict[str, Any], fault: ApiFault | None = None) -> Reply:
    reach = await reach_of(visit, typed["client_group_ids"], typed["group_roles"])
    status = fault.status if fault else 200
    return render(visit, "member_new.html", status=status, typed=typed, reach=reach, roles=roles_of(visit), fault=fault)


async def _one(visit: Visit, member: dict[str, Any], fault: ApiFault | None = None) -> Reply:
    reach = await reach_of(visit, member["client_group_ids"], member["group_roles"])
    return render(
        visit,
        "member.html",
        status=fault.status if fault else 200,
        member=member,
        reach=reach,
        roles=roles_of(visit),
        may_change=may_change(visit, member),
        fault=fault,
        ask_password=fault is not None and fault.code.startswith("password."),
        clears=visit.form.get("clears") == "yes",
        saved=visit.query.get("saved", ""),
    )


def _link(visit: Visit, member: dict[str, Any], made: dict[str, Any]) -> Reply:
    return render(visit, "member_link.html", member=member, link=made)


PAGES: Final = (
    Page(method="GET", path=MEMBERS, show=show_all, role=Role.ADMIN, nav="settings"),
    Page(method="GET", path=f"{MEMBERS}/new", show=ask_new, role=Role.ADMIN, nav="settings"),
    Page(method="POST", path=f"{MEMBERS}/new", show=add, role=Role.ADMIN, nav="settings"),
    Page(method="GET", path=f"{MEMBERS}/{{member_id}}", show=show_one, role=Role.ADMIN, nav="settings"),
    Page(method="POST", path=f"{MEMBERS}/{{member_id}}", show=save, role=Role.ADMIN, nav="settings"),
    Page(method="POST", path=f"{MEMBERS}/{{member_id}}/link", show=make_link, role=Role.ADMIN, nav="settings"),
    Page(method="POST", path=f"{MEMBERS}/{{member_id}}/sign-out", show=sign_out, role=Role.ADMIN, nav="settings"),
    Page(method="POST", path=f"{MEMBERS}/{{member_id}}/remove", show=remove, role=Role.ADMIN, nav="settings"),
)
