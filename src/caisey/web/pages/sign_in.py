"""The pages of who is not signed in: sign-in, the code, and the one-time links.

Owns their order and their cookies. What is asked, refused and counted is `control.sign_in`'s and `control.joining`'s.
"""

from __future__ import annotations

from typing import Final

from caisey.control import joining
from caisey.control.browser_sessions import setting
from caisey.control.directory import member_links
from caisey.control.origins import host_name
from caisey.control.sign_in import SIGN_IN_CHALLENGE, Came, PasskeyAnswer
from caisey.control.webauthn import encoded
from caisey.core.errors import Fault
from caisey.web.page import OpenPage, Reply, render, see_other
from caisey.web.visit import Doorstep

START: Final = "/"
SECOND_FACTOR: Final = "/account/second-factor?first=1"
FORM_FAULTS: Final = frozenset({"password.too_weak", "member.email_taken", "request.invalid_shape"})
PATH_LENGTH: Final = 2_000


async def ask(door: Doorstep) -> Reply:
    """The address and the password."""
    if door.services.browsers.find(door.request.headers.get("cookie"), active=False) is not None:
        return see_other(_next(door.query.get("next", "")))
    return _ask(door, email="", wanted=door.query.get("next", ""))


async def answer(door: Doorstep) -> Reply:
    """Signed in, or the question for the code, or what did not fit."""
    email, wanted = door.form.get("email"), door.form.get("next")
    _require_private(door)
    try:
        came = await door.services.sign_in.with_password(
            email, door.form.get("password"), address=door.address, agent=_agent(door)
        )
    except Fault as fault:
        return _ask(door, email=email, wanted=wanted, fault=fault)
    return _onward(door, came, wanted)


async def answer_code(door: Doorstep) -> Reply:
    """The code of the second factor, or a recovery code."""
    step, wanted = door.form.get("step"), door.form.get("next")
    _require_private(door)
    try:
        secret = await door.services.sign_in.with_code(
            step, door.form.get("code"), address=door.address, agent=_agent(door)
        )
    except Fault as fault:
        if fault.extra.get("again"):
            return _ask(door, email="", wanted=wanted, fault=fault)
        return _ask_code(door, step, wanted, fault)
    return see_other(_next(wanted), headers=(("set-cookie", setting(secret)),))


async def answer_passkey(door: Doorstep) -> Reply:
    """What an authenticator signed; it is both factors."""
    form, headers = door.form, door.request.headers
    _require_private(door)
    answer = PasskeyAnswer(
        form.get("credential"),
        form.get("challenge"),
        form.get("client_data"),
        form.get("authenticator_data"),
        form.get("signature"),
    )
    try:
        secret = await door.services.sign_in.with_passkey(
            answer,
            rp_id=host_name(headers.get("host")) or "",
            origin=headers.get("origin", ""),
            address=door.address,
            agent=_agent(door),
        )
    except Fault as fault:
        return _ask(door, email="", wanted=form.get("next"), fault=fault)
    return see_other(_next(form.get("next")), headers=(("set-cookie", setting(secret)),))


async def ask_set_up(door: Doorstep) -> Reply:
    """The first account."""
    link = member_links.find(door.services.directory, door.path["text"], door.now_ms)
    if link.kind != "set_up":
        raise Fault("member_link.invalid")
    return _ask_set_up(door)


async def answer_set_up(door: Doorstep) -> Reply:
    """The first owner is made and signed in."""
    _require_private(door)
    form, services = door.form, door.services
    try:
        member = await joining.set_up(
            services.directory,
            services.sign_in,
            door.path["text"],
            now_ms=door.now_ms,
            name=form.get("name"),
            email=form.get("email"),
            password=form.get("password"),
        )
    except Fault as fault:
        if fault.code not in FORM_FAULTS:
            raise
        return _ask_set_up(door, name=form.get("name"), email=form.get("email"), fault=fault)
    secret = await services.sign_in.open(member, address=door.address, agent=_agent(door), second_factor=False)
    return see_other(SECOND_FACTOR, headers=(("set-cookie", setting(secret)),))


async def ask_password(door: Doorstep) -> Reply:
    """A new password, from an invitation or a reset."""
    return _ask_password(door)


async def answer_password(door: Doorstep) -> Reply:
    """The password is set; who has a second factor is asked for its code as ever."""
    _require_private(door)
    services, password = door.services, door.form.get("password")
    try:
        member = await joining.choose_password(
            services.directory, services.sign_in, door.path["text"], now_ms=door.now_ms, password=password
        )
    except Fault as fault:
        if fault.code not in FORM_FAULTS:
            raise
        return _ask_password(door, fault)
    came = await services.sign_in.proved(member, address=door.address, agent=_agent(door))
    return _onward(door, came, START if came.step else SECOND_FACTOR)


# -- what is shown ---------------------------------------------------------------------------------------------------


def _ask(door: Doorstep, *, email: str, wanted: str, fault: Fault | None = None) -> Reply:
    services = door.services
    return render(
        door,
        "sign_in.html",
        status=fault.status if fault else 200,
        email=email,
        wanted=wanted,
        fault=fault,
        first_run=joining.nobody_can_sign_in(services.directory),
        is_private=_is_private(door),
        host=host_name(door.request.headers.get("host")) or "",
        challenge=encoded(services.sign_in.challenge(SIGN_IN_CHALLENGE)),
    )


def _ask_code(door: Doorstep, step: str, wanted: str, fault: Fault | None = None) -> Reply:
    status = fault.status if fault else 200
    return render(door, "sign_in_code.html", status=status, step=step, wanted=wanted, fault=fault)


def _ask_set_up(door: Doorstep, *, name: str = "", email: str = "", fault: Fault | None = None) -> Reply:
    status = fault.status if fault else 200
    return render(door, "set_up.html", status=status, name=name, email=email, fault=fault)


def _ask_password(door: Doorstep, fault: Fault | None = None) -> Reply:
    link = member_links.find(door.services.directory, door.path["text"], door.now_ms)
    member = joining.member_of(door.services.directory, door.path["text"], door.now_ms)
    status = fault.status if fault else 200
    return render(door, "choose_password.html", status=status, member=member, link=link, fault=fault)


def _onward(door: Doorstep, came: Came, wanted: str) -> Reply:
    if came.step is not None:
        return _ask_code(door, came.step, wanted)
    headers: tuple[tuple[str, str], ...] = (("set-cookie", setting(came.secret or "")),)
    return see_other(_next(wanted), headers=headers)


def _next(wanted: str) -> str:
    """Where somebody wanted to go, if that is a page of ours."""
    if not wanted.startswith("/") or wanted.startswith(("//", "/\\", "/sign-in", "/api/")):
        return START
    return wanted if len(wanted) <= PATH_LENGTH and wanted.isascii() and wanted.isprintable() else START


def _require_private(door: Doorstep) -> None:
    """Raises `sign_in.not_private` where a password could be read on its way here."""
    if not _is_private(door):
        raise Fault("sign_in.not_private")


def _is_private(door: Doorstep) -> bool:
    headers, scheme = door.request.headers, door.request.url.scheme
    return door.services.origins.safe_for_secrets(scheme, headers.get("host"), headers.get("origin"))


def _agent(door: Doorstep) -> str:
    return str(door.request.headers.get("user-agent", ""))


PAGES: Final = (
    OpenPage(method="GET", path="/sign-in", show=ask),
    OpenPage(method="POST", path="/sign-in", show=answer),
    OpenPage(method="POST", path="/sign-in/code", show=answer_code),
    OpenPage(method="POST", path="/sign-in/passkey", show=answer_passkey),
    OpenPage(method="GET", path="/set-up/{text}", show=ask_set_up),
    OpenPage(method="POST", path="/set-up/{text}", show=answer_set_up),
    OpenPage(method="GET", path="/join/{text}", show=ask_password),
    OpenPage(method="POST", path="/join/{text}", show=answer_password),
    OpenPage(method="GET", path="/reset/{text}", show=ask_password),
    OpenPage(method="POST", path="/reset/{text}", show=answer_password),
)
