"""A control plane of another process, as far as `tests.web.visitor.join` needs one: its address and its owner."""

from __future__ import annotations

from typing import Any, cast

import httpx

from tests.api.plane import TLS, Api, Plane
from tests.web.visitor import Visitor, join


class PlaneAt:
    """At `url`, with the token of its owner."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=f"{url}/api/v1", headers=headers, timeout=30, trust_env=False, verify=TLS)

    def api(self) -> Api:
        return Api(self._http, self.url)

    def visitor(self, role: str = "technician", **more: Any) -> Visitor:
        """Somebody of that role, signed in."""
        return join(cast(Plane, self), role, **more)

    def close(self) -> None:
        self._http.close()
