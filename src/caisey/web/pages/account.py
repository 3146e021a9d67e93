"""The account of who is signed in: name, looks, shortcuts, password, second factor, browsers, and the way out.

Owns the forms; everything is done by the API's `/me`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from caisey.control.browser_sessions import clearing
from caisey.web import qr
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.visit import Visit

ACCOUNT: Final = "/account"
_BASE32: Final = re.compile(r"[A-Z2-7 ]{16,64}")
_ZONES: Final = """
    Africa/Cairo Africa/Johannesburg Africa/Lagos Africa/Nairobi America/Bogota America/Chicago America/Denver
    America/Halifax America/Los_Angeles America/Mexico_City America/New_York America/Phoenix America/Sao_Paulo
    America/Toronto Asia/Dubai Asia/Hong_Kong Asia/Jakarta Asia/Jerusalem Asia/Kolkata Asia/Manila Asia/Seoul
    Asia/Shanghai Asia/Singapore Asia/Tokyo Australia/Brisbane Australia/Perth Australia/Sydney Europe/Amsterdam
    Europe/Athens Europe/Berlin Europe/Dublin Europe/Helsinki Europe/Istanbul Europe/Lisbon Europe/London
    Europe/Madrid Europe/Paris Europe/Rome Europe/Stockholm Europe/Vienna Europe/Warsaw Europe/Zurich
    Pacific/Auckland Pacific/Honolulu UTC
"""
ZONES: Final = tuple(_ZONES.split())
"""Offered first; the field takes any name of the IANA list."""


async def show(visit: Visit) -> Reply:
    """All of it on one page."""
    return await _account(visit)


async def save_profile(visit: Visit) -> Reply:
    """Name, theme, shortcuts, zone."""
    form = visit.form
    body = {name: form.get(name).strip() for name in ("name", "theme", "keys", "zone") if form.has(name)}
    try:
        await visit.inside.patch("/me", body, key=form.key)
    except ApiFault as fault:
        return await _account(visit, {"profile": fault}, body)
    return see_other(f"{ACCOUNT}?saved=profile#profile")


async def save_password(visit: Visit) -> Reply:
    """Another password; every other browser is signed out."""
    body = {"current": visit.form.get("current"), "new": visit.form.get("new")}
    try:
        await visit.inside.post("/me/password", body, key=visit.form.key)
    except ApiFault as fault:
        return await _account(visit, {"password": fault})
    return see_other(f"{ACCOUNT}?saved=password#password")


async def end_browser(visit: Visit) -> Reply:
    """One other browser is signed out."""
    try:
        await visit.inside.delete(f"/me/browser-sessions/{visit.path['browser_session_id']}", key=visit.form.key)
    except ApiFault as fault:
        if fault.status != 404:  # it is gone already: that is what was wanted
            raise
    return see_other(f"{ACCOUNT}?saved=browsers#browsers")


async def end_other_browsers(visit: Visit) -> Reply:
    """All but this one."""
    await visit.inside.post("/me/browser-sessions/end-others", key=visit.form.key)
    return see_other(f"{ACCOUNT}?saved=browsers#browsers")


async def sign_out(visit: Visit) -> Reply:
    """This browser is signed out; what runs goes on."""
    await visit.inside.delete(f"/me/browser-sessions/{visit.person.browser_session_id}")
    return see_other("/sign-in", headers=(("set-cookie", clearing()),))


# -- the second factor -----------------------------------------------------------------------------------------------


async def ask_second_factor(visit: Visit) -> Reply:
    """What it is, and the button that begins."""
    return await _second_factor(visit)


async def begin_second_factor(visit: Visit) -> Reply:
    """The code to scan. It is shown on this answer alone."""
    password = visit.form.get("password") or None
    try:
        begun = await visit.inside.post("/me/second-factor", {"password": password})
    except ApiFault as fault:
        return await _second_factor(visit, fault=fault)
    return _scan(visit, begun["secret"], begun["uri"])


async def confirm_second_factor(visit: Visit) -> Reply:
    """The first code turns it on; the recovery codes are shown on this answer alone."""
    secret, uri = visit.form.get("secret"), visit.form.get("uri")
    try:
        made = await visit.inside.post("/me/second-factor/confirm", {"code": visit.form.get("code")})
    except ApiFault as fault:
        if fault.status == 409:
            return await _second_factor(visit, fault=fault)
        return _scan(visit, secret, uri, fault)
    return _codes(visit, made["codes"], first=True)


async def end_second_factor(visit: Visit) -> Reply:
    """No code is asked for any more."""
    try:
        await visit.inside.post("/me/second-factor/off", {"password": visit.form.get("password")}, key=visit.form.key)
    except ApiFault as fault:
        return await _second_factor(visit, fault=fault, about="off")
    return see_other(f"{ACCOUNT}?saved=second-factor#second-factor")


async def make_recovery_codes(visit: Visit) -> Reply:
    """New ones; the former ones are over."""
    try:
        made = await visit.inside.post("/me/recovery-codes", {"password": visit.form.get("password")})
    except ApiFault as fault:
        return await _second_factor(visit, fault=fault, about="codes")
    return _codes(visit, made["codes"], first=False)


# -- what is shown ---------------------------------------------------------------------------------------------------


async def _account(
    visit: Visit, faults: dict[str, ApiFault] | None = None, typed: dict[str, str] | None = None
) -> Reply:
    me = await visit.inside.get("/me")
    browsers = await visit.inside.get("/me/browser-sessions", limit=200)
    passkeys = await visit.inside.get("/me/passkeys", limit=200)
    groups = await _groups(visit)
    named = {one["client_group_id"]: one["role"] for one in me["group_roles"]}
    reached = me["client_group_ids"] or ()
    faults = faults or {}
    status = next((fault.status for fault in faults.values()), 200)
    profile = {"name": me["name"], **me["account"]["settings"], **(typed or {})}
    return render(
        visit,
        "account.html",
        status=status,
        me=me,
        account=me["account"],
        profile=profile,
        browsers=browsers["items"],
        passkeys=passkeys["items"],
        groups=[group["name"] for group in groups if group["id"] in reached and group["id"] not in named],
        named=[{"group": group["name"], "role": named[group["id"]]} for group in groups if group["id"] in named],
        zones=ZONES,
        faults=faults,
        saved=visit.query.get("saved", ""),
    )


async def _groups(visit: Visit) -> list[dict[str, Any]]:
    found = await visit.inside.get("/client-groups", limit=200)
    items: list[dict[str, Any]] = found["items"]
    return items


async def _second_factor(visit: Visit, *, fault: ApiFault | None = None, about: str = "on") -> Reply:
    me = await visit.inside.get("/me")
    return render(
        visit,
        "second_factor.html",
        status=fault.status if fault else 200,
        account=me["account"],
        fault=fault,
        about=about,
        first=visit.query.get("first") == "1",
        ask_password=fault is not None and fault.code.startswith("password."),
    )


def _scan(visit: Visit, secret: str, uri: str, fault: ApiFault | None = None) -> Reply:
    """The code to scan once more where the first code did not fit; what came back with the form is only drawn again."""
    known = _BASE32.fullmatch(secret) is not None and uri.startswith("otpauth://totp/") and len(uri) <= 512
    return render(
        visit,
        "second_factor_scan.html",
        status=fault.status if fault else 200,
        secret=secret if known else "",
        uri=uri if known else "",
        picture=qr.svg(uri) if known else "",
        fault=fault,
    )


def _codes(visit: Visit, codes: list[Any] | None, *, first: bool) -> Reply:
    return render(visit, "recovery_codes.html", codes=codes or [], first=first)


PAGES: Final = (
    Page(method="GET", path="/account", show=show, nav="account"),
    Page(method="POST", path="/account/profile", show=save_profile, nav="account"),
    Page(method="POST", path="/account/password", show=save_password, nav="account"),
    Page(method="POST", path="/account/browsers/end-others", show=end_other_browsers, nav="account"),
    Page(method="POST", path="/account/browsers/{browser_session_id}/end", show=end_browser, nav="account"),
    Page(method="GET", path="/account/second-factor", show=ask_second_factor, nav="account"),
    Page(method="POST", path="/account/second-factor", show=begin_second_factor, nav="account"),
    Page(method="POST", path="/account/second-factor/confirm", show=confirm_second_factor, nav="account"),
    Page(method="POST", path="/account/second-factor/off", show=end_second_factor, nav="account"),
    Page(method="POST", path="/account/recovery-codes", show=make_recovery_codes, nav="account"),
    Page(method="POST", path="/sign-out", show=sign_out),
)
