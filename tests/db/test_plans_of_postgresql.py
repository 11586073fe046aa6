"""What PostgreSQL's planner chooses for the lists of a large cloud."""

import pytest
from sqlalchemy import insert

from pumice.db.engine import Database
from pumice.db.schema import volume_types
from tests.block.cloud import prepare
from tests.support.databases import Databases

pytestmark = pytest.mark.real

MANY = """
    INSERT INTO volumes (id, project_id, user_id, size, volume_type_id, availability_zone, backend, pool, metadata,
                         bootable, multiattach, read_only, consumes_quota, life, status, attach_status, created_at,
                         description)
    SELECT lpad(n::text, 36, '0'), 'p' || mod(n, 20), 'u', 1, (SELECT id FROM volume_types), 'nova',
           'node' || mod(n, 10) || '@file', 'node' || mod(n, 10) || '@file#pool', '{}',
           false, false, false, true, 'there', 'available', 'detached', n, repeat('x', 300)
    FROM generate_series(1, 100000) AS n
"""


def test_postgresql_finds_one_hosts_volumes_by_the_index_of_hosts(databases: Databases) -> None:
    """And a project's by that of projects, not among everybody's newest ones."""
    with databases.fresh("postgresql", prepare) as url:
        database = Database(url)
        with database.write() as tx:
            kind = {"id": "t", "name": "one", "is_public": True, "extra_specs": {}, "is_default": True, "created_at": 1}
            tx.execute(insert(volume_types), kind)
            tx.connection.exec_driver_sql(MANY)
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE volumes")
        for column, value, index in (("backend", "node3@file", "backend"), ("project_id", "p3", "project_created")):
            with database.read() as tx:
                rows = tx.connection.exec_driver_sql(
                    f"EXPLAIN SELECT * FROM volumes WHERE deleted_at IS NULL AND {column} = '{value}'"
                    " ORDER BY created_at DESC, id DESC LIMIT 101"
                )
                found = " ".join(row[0] for row in rows)
            assert f"ix_volumes_{index} " in found, found
        database.close()
