"""Words of members, API tokens and settings."""

from __future__ import annotations

from typing import Final

SETTINGS: Final[dict[str, str]] = {
    # -- roles --
    "role.owner": "Owner",
    "role.owner.may": "everything, also who else is owner",
    "role.admin": "Admin",
    "role.admin.may": "decides who and what there is: members, tokens, computers, policies",
    "role.technician": "Technician",
    "role.technician.may": "works on computers",
    "role.approver": "Approver",
    "role.approver.may": "reads, and allows or refuses what waits for approval",
    "role.viewer": "Viewer",
    "role.viewer.may": "reads",
}
