"""Whether a form was sent by one of our own pages.

Owns the check of a POST: the origin first, then the token of the browser session. How tokens are made is
`control.csrf`'s, because the API checks the same ones.
"""

from __future__ import annotations

from caisey.control import csrf
from caisey.control.origins import Origins
from caisey.core.errors import Fault
from caisey.web.visit import AnyRequest, Form


def require_own_origin(origins: Origins, request: AnyRequest) -> None:
    """Raises `access.foreign_origin` for a form that comes from elsewhere."""
    headers = request.headers
    own = origins.is_own(request.url.scheme, headers.get("host"), headers.get("origin"), headers.get("sec-fetch-site"))
    if not own:
        raise Fault("access.foreign_origin")


def require_token(secret: str, form: Form) -> None:
    """Raises `access.csrf_invalid` for a form without the token of this browser session."""
    if not csrf.fits(secret, form.get(csrf.FIELD)):
        raise Fault("access.csrf_invalid")
