"""What a program with an application credential does, by openstacksdk: `clouds.yaml` with v3applicationcredential.

as_program.py AUTH_URL REGION ID SECRET NAME     makes a volume NAME, finds it, deletes it; prints what the token says
"""

import json
import sys
import tempfile
from pathlib import Path

import openstack


def main(auth_url: str, region: str, credential_id: str, secret: str, name: str) -> None:
    auth = {"auth_url": auth_url, "application_credential_id": credential_id, "application_credential_secret": secret}
    cloud = {"auth_type": "v3applicationcredential", "auth": auth, "region_name": region, "identity_api_version": 3}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "clouds.yaml")
        path.write_text(json.dumps({"clouds": {"program": cloud}}))
        config = openstack.config.OpenStackConfig(config_files=[str(path)], load_envvars=False)
        connection = openstack.connection.Connection(config=config.get_one("program"))
    volume = connection.block_storage.create_volume(size=1, name=name)
    connection.block_storage.wait_for_status(volume, "available", interval=0.2, wait=30)
    assert connection.block_storage.find_volume(name).id == volume.id
    connection.block_storage.delete_volume(volume)
    connection.block_storage.wait_for_delete(volume, interval=0.2, wait=30)
    mine = connection.identity.application_credentials(connection.current_user_id)
    print(json.dumps({"project_id": connection.current_project_id, "credentials": sorted(one.name for one in mine)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
