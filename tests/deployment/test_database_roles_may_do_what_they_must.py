"""Every role tries everything on every table and function: what docs/operations.md names, and nothing else.

The roles are tried through logins that belong to one role each, as a deployment that separates its
processes would make them.
"""

import asyncpg
import pytest
from documented_rights import listed, rights

from booking.embedded.postgres import create_database

ROLES = ("booking_writer", "booking_relay", "projector_writer", "query_reader")
OWNER = "booking_owner"

SCHEMAS = """
SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_.*|information_schema)$' ORDER BY 1
"""
RELATIONS = """
SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind::text AS kind, o.rolname AS owner,
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE a.attgenerated = '') AS columns
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_roles AS o ON o.oid = c.relowner
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') GROUP BY 1, 2, 3
"""
# A trigger's function cannot be called; whoever may write to the table sets it off.
FUNCTIONS = """
SELECT p.oid::regprocedure::text AS name, n.nspname AS schema, o.rolname AS owner,
       format('%I.%I(%s)', n.nspname, p.proname,
              (SELECT string_agg('NULL::' || format_type(t, NULL), ', ' ORDER BY i)
               FROM unnest(p.proargtypes) WITH ORDINALITY AS argument (t, i))) AS call
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_roles AS o ON o.oid = p.proowner
WHERE n.nspname = ANY ($1) AND p.prorettype <> 'trigger'::regtype
"""
MEMBERSHIPS = """
SELECT member.rolname FROM pg_auth_members AS m JOIN pg_roles AS member ON member.oid = m.member
WHERE member.rolname = ANY ($1)
"""
POWERS = """
SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)
AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication OR rolcanlogin)
"""


@pytest.fixture(scope="module")
async def catalogue_url(postgres, migrated):
    return await create_database(postgres, "rights", template=migrated)


@pytest.fixture(scope="module")
async def schemas(catalogue_url):
    return [row["nspname"] for row in await _asked(catalogue_url, SCHEMAS)]


@pytest.fixture(scope="module")
async def logins(catalogue_url):
    """A connection per role, whose login belongs to that role alone."""
    owner = await asyncpg.connect(catalogue_url)
    connections = {}
    for role in ROLES:
        login = f"only_{role}"
        await owner.execute(f"CREATE ROLE {login} LOGIN IN ROLE {role}")
        connections[role] = await asyncpg.connect(
            catalogue_url, user=login, server_settings={"role": role}
        )
    yield connections
    for role, connection in connections.items():
        await connection.close()
        await owner.execute(f"DROP ROLE only_{role}")
    await owner.close()


@pytest.fixture(scope="module")
async def relations(catalogue_url, schemas):
    return await _asked(catalogue_url, RELATIONS, schemas)


@pytest.fixture(scope="module")
async def functions(catalogue_url, schemas):
    return await _asked(catalogue_url, FUNCTIONS, schemas)


async def _asked(url, statement, *arguments):
    # Without a search path every name comes with its schema.
    connection = await asyncpg.connect(url, server_settings={"search_path": ""})
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()


async def may(connection: asyncpg.Connection, statement: str) -> bool:
    """Whether the server lets it pass, whatever comes of it then; nothing of it stays."""
    attempt = connection.transaction()
    await attempt.start()
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    except asyncpg.PostgresError:
        return True
    finally:
        await attempt.rollback()
    return True


async def found_rights(connection: asyncpg.Connection, relation: asyncpg.Record) -> set[str]:
    """What a role can do to a table or view, each found out by doing it."""
    name, columns = relation["name"], relation["columns"]
    found = set()
    for word, statement in (
        ("SELECT", f"SELECT * FROM {name} LIMIT 0"),
        ("INSERT", f"INSERT INTO {name} DEFAULT VALUES"),
        ("DELETE", f"DELETE FROM {name} WHERE false"),
        *((("TRUNCATE", f"TRUNCATE {name}"),) if relation["kind"] in "rp" else ()),
        ("DROP", f"DROP {'VIEW' if relation['kind'] == 'v' else 'TABLE'} {name}"),
    ):
        if await may(connection, statement):
            found.add(word)
    changed = [
        column
        for column in columns
        if await may(connection, f'UPDATE {name} SET "{column}" = NULL WHERE false')
    ]
    if changed:
        found.add("UPDATE" if changed == columns else f"UPDATE ({', '.join(changed)})")
    return found


async def test_every_table_and_view_gives_each_role_what_is_documented_and_refuses_the_rest(
    logins, relations
):
    documented = rights("Database roles and tables")
    wrong = []
    for relation in relations:
        found = {role: await found_rights(logins[role], relation) for role in ROLES}
        said = documented.pop(relation["name"], None)
        if said is None or {role: listed(said[role]) for role in ROLES} != found:
            wrong.append(_line(relation["name"], found))
    assert not wrong, (
        "docs/operations.md says otherwise or nothing; if this is what is meant, its lines are:\n"
        + "\n".join(wrong)
    )
    assert not documented, "documented, but not there"


def _line(name: str, found: dict[str, set[str]]) -> str:
    order = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "DROP"]
    cells = (sorted(found[role], key=lambda word: order.index(word.split()[0])) for role in ROLES)
    return "| " + " | ".join([f"`{name}`", *(", ".join(cell) or "–" for cell in cells)]) + " |"


async def test_every_function_may_be_called_by_those_it_is_for_and_by_nobody_else(
    logins, functions
):
    documented = rights("Database roles and functions")
    wrong = [
        f"{name} is documented, but not there"
        for name in documented.keys() - {function["name"] for function in functions}
        if not name.startswith("all others in ")
    ]
    for function in functions:
        others = f"all others in {function['schema']}"
        said = documented.get(function["name"], documented.get(others, dict.fromkeys(ROLES, "–")))
        for role in ROLES:
            allowed = await may(logins[role], f"SELECT {function['call']}")
            if allowed != (said[role] == "EXECUTE"):
                wrong.append(f"{role} {'may' if allowed else 'may not'} call {function['name']}")
    assert not wrong, (
        "docs/operations.md says otherwise; a new function of the write side needs "
        f"REVOKE EXECUTE ... FROM PUBLIC beside its GRANT: {wrong}"
    )


async def test_no_role_makes_anything_or_becomes_another(logins, schemas):
    for connection in logins.values():
        for schema in schemas:
            assert not await may(connection, f"CREATE TABLE {schema}.of_mine ()")
        assert not await may(connection, "CREATE SCHEMA of_mine")
        for other in (OWNER, *ROLES):
            if connection is not logins.get(other):
                assert not await may(connection, f"SET ROLE {other}")


async def test_a_role_is_nothing_but_its_rights(catalogue_url, relations, functions):
    ours = [OWNER, *ROLES]
    assert await _asked(catalogue_url, POWERS, ours) == []
    assert await _asked(catalogue_url, MEMBERSHIPS, ours) == []
    elsewhere = {each["name"] for each in [*relations, *functions] if each["owner"] != OWNER}
    assert elsewhere == {"migrations.applied"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE booking.event_log SET actor = 'nobody'",
        "DELETE FROM booking.event_log",
        "TRUNCATE booking.event_log",
    ],
)
async def test_the_log_cannot_be_rewritten_not_even_by_its_owner(catalogue_url, statement):
    """Between the owner and the log stands a trigger, which only its removal would get past."""
    connection = await asyncpg.connect(catalogue_url)
    try:
        await connection.execute(f"SET ROLE {OWNER}")
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute(statement)
    finally:
        await connection.close()
