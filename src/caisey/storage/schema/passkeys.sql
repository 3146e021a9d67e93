-- Passkeys of members: public keys only. Written by control/directory in the same transaction as the event that says so.

CREATE TABLE IF NOT EXISTS passkeys (
    passkey_id      TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    member_id       TEXT NOT NULL,
    credential_id   BLOB NOT NULL,        -- what the authenticator calls it; one at a time stands for it
    public_key      BLOB NOT NULL,        -- SubjectPublicKeyInfo, DER
    sign_count      INTEGER NOT NULL,     -- the newest that was seen; 0 where the authenticator does not count
    rp_id           TEXT NOT NULL,        -- the host name that it is for
    name            TEXT NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    used_at_ms      INTEGER,
    removed_at_ms   INTEGER
) STRICT, WITHOUT ROWID;
