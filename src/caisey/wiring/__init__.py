"""The control plane put together: the only place that names implementations.

Owns what programs and tests import of it. `control_plane` makes the parts, `foreground` serves them, `on_this_machine`
does without a login what only somebody with the data directory may.
"""

from caisey.wiring.control_plane import ControlPlane, Running, build_control_plane
from caisey.wiring.foreground import Greet, Started, serve, uvicorn_config
from caisey.wiring.on_this_machine import (
    create_organization,
    create_set_up_link,
    create_token,
    list_organizations,
)

__all__ = [
    "ControlPlane",
    "Greet",
    "Running",
    "Started",
    "build_control_plane",
    "create_organization",
    "create_set_up_link",
    "create_token",
    "list_organizations",
    "serve",
    "uvicorn_config",
]
