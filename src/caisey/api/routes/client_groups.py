"""`/client-groups` and the policies of every level.

Owns the mapping. A policy body holds only the fields it sets; the effective policy says for each field where it comes
from.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caisey.api.call import Answer, Call, Route
from caisey.api.documents import ClientGroupShown, EffectiveField, PolicyLevelShown
from caisey.api.fields import Id, Name, Tag
from caisey.api.pages import Page, PageQuery, page_in_memory
from caisey.api.times import at
from caisey.control.access import Principal
from caisey.control.directory import client_groups, endpoints, policies
from caisey.control.directory.records import ClientGroup
from caisey.control.directory.store import Directory, Draft
from caisey.control.roles import Role
from caisey.core.policy import FIELDS, PolicyFields


class ClientGroupBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new client group."""

    name: Name


class EffectiveQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which endpoint's."""

    endpoint: Id


class TagQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which environment tag's."""

    tag: Tag


async def list_groups(call: Call) -> Answer:
    found = client_groups.visible(call.services.directory, call.principal)
    return Answer(page_in_memory(found, call.query, _order, _shown))


def create_group(call: Call, draft: Draft) -> Answer:
    return Answer(_shown(client_groups.create(call.services.directory, draft, call.principal, call.body.name)), 201)


async def show_group(call: Call) -> Answer:
    return Answer(_shown(client_groups.find(call.services.directory, call.principal, call.path["client_group_id"])))


def rename_group(call: Call, draft: Draft) -> Answer:
    group_id = call.path["client_group_id"]
    return Answer(
        _shown(client_groups.rename(call.services.directory, draft, call.principal, group_id, call.body.name))
    )


async def list_levels(call: Call) -> Answer:
    """The levels that set something, of what the reader sees."""
    directory, principal = call.services.directory, call.principal
    found = [
        PolicyLevelShown(level=level, subject=subject, name=name, fields=fields)
        for (organization_id, level, subject), fields in directory.policies.items()
        if organization_id == principal.organization_id and fields != PolicyFields()
        if (name := _name_of_level(directory, principal, level, subject)) is not None
    ]
    return Answer(page_in_memory(found, call.query, lambda one: (one.level, one.name.casefold(), one.subject), _same))


def _same(level: PolicyLevelShown) -> PolicyLevelShown:
    return level


def _name_of_level(directory: Directory, principal: Principal, level: str, subject: str) -> str | None:
    """What the level is called; None where the reader may not see it."""
    if level == "client_group":
        return directory.client_groups[subject].name if principal.sees_group(subject) else None
    if level == "endpoint":
        endpoint = directory.endpoints.get(subject)
        return endpoint.name if endpoint is not None and endpoints.sees(principal, endpoint) else None
    return subject


async def read_organization_policy(call: Call) -> Answer:
    return Answer(policies.read(call.services.directory, call.principal.organization_id, "organization"))


def put_organization_policy(call: Call, draft: Draft) -> Answer:
    return Answer(policies.put(call.services.directory, draft, "organization", "", call.body))


async def read_group_policy(call: Call) -> Answer:
    group = client_groups.find(call.services.directory, call.principal, call.path["client_group_id"])
    return Answer(policies.read(call.services.directory, group.organization_id, "client_group", group.client_group_id))


def put_group_policy(call: Call, draft: Draft) -> Answer:
    directory = call.services.directory
    group = client_groups.find(directory, call.principal, call.path["client_group_id"])
    return Answer(policies.put(directory, draft, "client_group", group.client_group_id, call.body))


async def read_tag_policy(call: Call) -> Answer:
    return Answer(policies.read(call.services.directory, call.principal.organization_id, "tag", call.query.tag))


def put_tag_policy(call: Call, draft: Draft) -> Answer:
    return Answer(policies.put(call.services.directory, draft, "tag", call.query.tag, call.body))


async def read_endpoint_policy(call: Call) -> Answer:
    endpoint = endpoints.find(call.services.directory, call.principal, call.path["endpoint_id"])
    return Answer(policies.read(call.services.directory, endpoint.organization_id, "endpoint", endpoint.endpoint_id))


def put_endpoint_policy(call: Call, draft: Draft) -> Answer:
    directory = call.services.directory
    endpoint = endpoints.find(directory, call.principal, call.path["endpoint_id"])
    return Answer(policies.put(directory, draft, "endpoint", endpoint.endpoint_id, call.body))


async def effective(call: Call) -> Answer:
    endpoint = endpoints.find(call.services.directory, call.principal, call.query.endpoint)
    policy, origins = call.services.directory.policy_with_origins(endpoint.endpoint_id)
    return Answer({name: EffectiveField(value=getattr(policy, name), origin=origins[name]) for name in FIELDS})


def _order(group: ClientGroup) -> tuple[str, str]:
    return (group.name.casefold(), group.client_group_id)


def _shown(group: ClientGroup) -> ClientGroupShown:
    return ClientGroupShown(id=group.client_group_id, name=group.name, created_at=at(group.created_at_ms))


ROUTES: Final = (
    Route(
        method="GET",
        path="/client-groups",
        role=Role.VIEWER,
        summary="Client groups, by name",
        read=list_groups,
        query=PageQuery,
        answers=Page[ClientGroupShown],
    ),
    Route(
        method="POST",
        path="/client-groups",
        role=Role.ADMIN,
        summary="Make a client group",
        change=create_group,
        body=ClientGroupBody,
        whole_organization=True,
        status=201,
        answers=ClientGroupShown,
    ),
    Route(
        method="GET",
        path="/client-groups/{client_group_id}",
        role=Role.VIEWER,
        summary="One client group",
        read=show_group,
        answers=ClientGroupShown,
    ),
    Route(
        method="PATCH",
        path="/client-groups/{client_group_id}",
        role=Role.ADMIN,
        summary="Rename a client group",
        change=rename_group,
        body=ClientGroupBody,
        answers=ClientGroupShown,
    ),
    Route(
        method="GET",
        path="/policies",
        role=Role.VIEWER,
        summary="Every level that sets something",
        read=list_levels,
        query=PageQuery,
        answers=Page[PolicyLevelShown],
    ),
    Route(
        method="GET",
        path="/policy",
        role=Role.VIEWER,
        summary="What the organization sets",
        read=read_organization_policy,
        answers=PolicyFields,
    ),
    Route(
        method="PUT",
        path="/policy",
        role=Role.ADMIN,
        summary="Replace what the organization sets",
        change=put_organization_policy,
        body=PolicyFields,
        whole_organization=True,
        answers=PolicyFields,
    ),
    Route(
        method="GET",
        path="/client-groups/{client_group_id}/policy",
        role=Role.VIEWER,
        summary="What a client group sets",
        read=read_group_policy,
        answers=PolicyFields,
    ),
    Route(
        method="PUT",
        path="/client-groups/{client_group_id}/policy",
        role=Role.ADMIN,
        summary="Replace what a client group sets",
        change=put_group_policy,
        body=PolicyFields,
        answers=PolicyFields,
    ),
    Route(
        method="GET",
        path="/policies/tag",
        role=Role.VIEWER,
        summary="What an environment tag sets",
        read=read_tag_policy,
        query=TagQuery,
        answers=PolicyFields,
    ),
    Route(
        method="PUT",
        path="/policies/tag",
        role=Role.ADMIN,
        summary="Replace what an environment tag sets",
        change=put_tag_policy,
        query=TagQuery,
        body=PolicyFields,
        whole_organization=True,
        answers=PolicyFields,
    ),
    Route(
        method="GET",
        path="/endpoints/{endpoint_id}/policy",
        role=Role.VIEWER,
        summary="What an endpoint sets",
        read=read_endpoint_policy,
        answers=PolicyFields,
    ),
    Route(
        method="PUT",
        path="/endpoints/{endpoint_id}/policy",
        role=Role.ADMIN,
        summary="Replace what an endpoint sets",
        change=put_endpoint_policy,
        body=PolicyFields,
        answers=PolicyFields,
    ),
    Route(
        method="GET",
        path="/policies/effective",
        role=Role.VIEWER,
        summary="The policy in force on an endpoint, with where each field comes from",
        read=effective,
        query=EffectiveQuery,
        answers=dict[str, EffectiveField],
    ),
)
