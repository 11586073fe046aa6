"""Before the first request: the state directory, the schema, the rows of a first start. Light to import.

Called by `pumice serve` before it starts any child, and by `pumice api` on its own. Again is no error.
"""

from collections.abc import Mapping

from pumice.block import volume_types
from pumice.compute import flavors
from pumice.db import upgrade
from pumice.db.engine import Database
from pumice.identity.bootstrap import bootstrap
from pumice.processes.listening import public_url
from pumice.settings import Settings


def prepare(settings: Settings, environ: Mapping[str, str]) -> bool:
    """True when this was the first start. Raises PumiceError (a newer database), OSError."""
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.images.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.database_url, threads=2)
    try:
        upgrade.upgrade(database)
        first = bootstrap(
            database,
            settings.state,
            f"{public_url(settings)}/identity/v3",
            settings.region,
            settings.service_user,
            environ.get("PUMICE_ADMIN_PASSWORD"),
            settings.certificate_authority,
        )
        database.run_write(volume_types.ensure_default)
        database.run_write(flavors.ensure_defaults)
        return first
    finally:
        database.close()
