"""ACLs, credentials and tokens of a broker without security."""

from __future__ import annotations

from differential.actions import Scenario, Steps
from differential.requests import request
from differential.world import World
from kbroker.protocol.api_keys import ApiKey

DEFAULT_NONE_ID = bytes(16)


def access(world: World) -> Steps:
    """ACLs, SCRAM credentials and delegation tokens of a broker without security."""
    for version in world.range(ApiKey.DESCRIBE_ACLS):
        for kind, pattern, operation, permission in (
            (1, 1, 1, 1),
            (2, 3, 3, 3),
            (0, 1, 1, 1),
            (99, 1, 1, 1),
            (1, 9, 1, 1),
            (1, 1, 99, 1),
            (1, 1, 1, 99),
        ):
            asked = request(
                ApiKey.DESCRIBE_ACLS,
                resource_type_filter=kind,
                resource_name_filter=None,
                pattern_type_filter=pattern,
                principal_filter=None,
                host_filter=None,
                operation=operation,
                permission_type=permission,
            )
            yield world.ask(f"ACLs of {kind} {pattern} {operation} {permission}", asked, version)
    acl = {
        "resource_type": 2,
        "resource_name": "t",
        "resource_pattern_type": 3,
        "principal": "User:a",
        "host": "*",
        "operation": 3,
        "permission_type": 3,
    }
    for version in world.range(ApiKey.CREATE_ACLS):
        for name, rows in {
            "one": [acl],
            "two": [acl, {**acl, "resource_name": "u"}],
            "none": [],
            "a wrong principal": [{**acl, "principal": "nobody"}],
        }.items():
            yield world.ask(f"creating {name}", request(ApiKey.CREATE_ACLS, creations=rows), version)
    chosen = {
        "resource_type_filter": 2,
        "resource_name_filter": "t",
        "pattern_type_filter": 3,
        "principal_filter": None,
        "host_filter": None,
        "operation": 1,
        "permission_type": 1,
    }
    for version in world.range(ApiKey.DELETE_ACLS):
        for name, rows in {"one": [chosen], "two": [chosen, chosen], "none": []}.items():
            yield world.ask(f"deleting {name}", request(ApiKey.DELETE_ACLS, filters=rows), version)
    for version in world.range(ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS):
        for users in (None, [], ["alice"], ["alice", "alice"], [""], ["alice", "bob"]):
            named = None if users is None else [{"name": one} for one in users]
            yield world.ask(
                f"credentials of {users}", request(ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS, users=named), version
            )
    for version in world.range(ApiKey.ALTER_USER_SCRAM_CREDENTIALS):
        upsert = {"name": "alice", "mechanism": 1, "iterations": 4096, "salt": b"salt", "salted_password": b"password"}
        for name, deletions, upsertions in (
            ("deleting nobody's", [{"name": "nobody", "mechanism": 1}], []),
            ("deleting by an unknown mechanism", [{"name": "nobody", "mechanism": 9}], []),
            ("deleting without a name", [{"name": "", "mechanism": 1}], []),
            ("too few iterations", [], [{**upsert, "iterations": 1}]),
            ("too many iterations", [], [{**upsert, "iterations": 1_000_000}]),
            ("an unknown mechanism", [], [{**upsert, "mechanism": 7}]),
            ("without a name", [], [{**upsert, "name": ""}]),
            ("twice", [], [upsert, upsert]),
            ("set and deleted", [{"name": "alice", "mechanism": 1}], [upsert]),
        ):
            yield world.ask(
                f"credentials, {name}",
                request(ApiKey.ALTER_USER_SCRAM_CREDENTIALS, deletions=deletions, upsertions=upsertions),
                version,
            )
    for version in world.range(ApiKey.CREATE_DELEGATION_TOKEN):
        made = request(
            ApiKey.CREATE_DELEGATION_TOKEN, owner_principal_type=None, owner_principal_name=None, max_lifetime_ms=-1
        )
        yield world.ask("a token", made, version)
    for version in world.range(ApiKey.DESCRIBE_DELEGATION_TOKEN):
        yield world.ask("all tokens", request(ApiKey.DESCRIBE_DELEGATION_TOKEN, owners=None), version)
        owners = [{"principal_type": "User", "principal_name": "a"}]
        yield world.ask("a user's tokens", request(ApiKey.DESCRIBE_DELEGATION_TOKEN, owners=owners), version)
    for api in (ApiKey.RENEW_DELEGATION_TOKEN, ApiKey.EXPIRE_DELEGATION_TOKEN):
        for version in world.range(api):
            yield world.ask("a token nobody has", request(api, hmac=b"abc"), version)
    for version in world.range(ApiKey.SASL_HANDSHAKE):
        for mechanism in ("PLAIN", "", "GSSAPI", "NONSENSE"):
            yield world.ask(
                f"a handshake by {mechanism!r}", request(ApiKey.SASL_HANDSHAKE, mechanism=mechanism), version
            )
    for version in world.range(ApiKey.SASL_AUTHENTICATE):
        yield world.ask("authenticating", request(ApiKey.SASL_AUTHENTICATE, auth_bytes=b"\0a\0b"), version)


SCENARIOS = (
    Scenario(
        "access",
        (
            ApiKey.DESCRIBE_ACLS,
            ApiKey.CREATE_ACLS,
            ApiKey.DELETE_ACLS,
            ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS,
            ApiKey.ALTER_USER_SCRAM_CREDENTIALS,
        ),
        access,
    ),
)
