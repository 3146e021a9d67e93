-- Roles per client group, of members and of API tokens: a JSON object, from the group's id to a role, or to null for none.
-- A group that is not named has the general role, as far as client_groups reaches.

ALTER TABLE members ADD COLUMN group_roles TEXT NOT NULL DEFAULT '{}';
ALTER TABLE api_tokens ADD COLUMN group_roles TEXT NOT NULL DEFAULT '{}';
