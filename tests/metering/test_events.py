"""Events: stored with the change or not at all, with typed traits, and never with a secret."""

from typing import Any

import pytest
from sqlalchemy import select

from pumice.block.model import Attachment
from pumice.block.notifications import attachment_payload
from pumice.db.schema import events
from pumice.metering.definitions import BadTrait, traits_of
from pumice.metering.events import SecretInPayload, emit, is_secret_name
from tests.metering.world import ADMIN, PROJECT, USER, Meters

PAYLOAD = {
    "volume_id": "v",
    "tenant_id": PROJECT,
    "user_id": USER,
    "host": "node1@file#pool",
    "availability_zone": "nova",
    "display_name": "data",
    "status": "available",
    "replication_status": "disabled",
    "created_at": "2026-11-01T00:00:00.5",
    "size": "3",
    "volume_type": "type",
    "snapshot_id": None,
    "volume_attachment": [{"instance_uuid": "server"}],
    "glance_metadata": [{"key": "name", "value": "x"}, {"key": "image_id", "value": "image"}],
}


def test_an_event_has_the_traits_of_story_1(meters: Meters) -> None:
    with meters.database.write() as tx:
        emit(tx, "volume.exists", PAYLOAD, caller=ADMIN, resource_id="v", publisher="volume.node1@file")
    (stored,) = meters.events()
    assert stored.traits == {
        "status": ["string", "available"],
        "user_id": ["string", USER],
        "service": ["string", "volume.node1@file"],
        "availability_zone": ["string", "nova"],
        "tenant_id": ["string", PROJECT],
        "created_at": ["datetime", "2026-11-01T00:00:00.500000"],
        "resource_id": ["string", "v"],
        "host": ["string", "node1@file#pool"],
        "replication_status": ["string", "disabled"],
        "request_id": ["string", ADMIN.request_id],
        "display_name": ["string", "data"],
        "project_id": ["string", PROJECT],
        "type": ["string", "type"],
        "size": ["integer", 3],
        "instance_id": ["string", "server"],
        "image_id": ["string", "image"],
    }
    assert (stored.project_id, stored.user_id, stored.resource_id) == (PROJECT, USER, "v")


def test_an_event_of_a_change_that_fails_is_not_stored(meters: Meters) -> None:
    with pytest.raises(LookupError), meters.database.write() as tx:
        emit(tx, "volume.create.start", PAYLOAD, caller=ADMIN, resource_id="v")
        raise LookupError
    assert meters.events() == []


def test_the_same_message_id_is_stored_once(meters: Meters) -> None:
    for size in (3, 4):
        with meters.database.write() as tx:
            emit(tx, "volume.exists", {**PAYLOAD, "size": size}, caller=ADMIN, resource_id="v", message_id="m")
    (stored,) = meters.events()
    assert stored.payload["size"] == 3


@pytest.mark.parametrize(
    "secret",
    [
        {"connection_info": {"data": {}}},
        {"connector": {"initiator": "iqn"}},
        {"volume_attachment": [{"connection_info": "{}"}]},
        {"deep": {"er": [{"auth_password": "x"}]}},
        {"adminPass": "x"},
        {"user_data": "x"},
        {"secret_key": "x"},
        {"token": "x"},
    ],
)
def test_a_payload_with_a_secret_is_refused(meters: Meters, secret: dict[str, Any]) -> None:
    with pytest.raises(SecretInPayload), meters.database.write() as tx:
        emit(tx, "volume.attach.end", {**PAYLOAD, **secret}, caller=ADMIN, resource_id="v")
    assert meters.events() == []


def test_what_users_keep_under_secret_names_is_masked(meters: Meters) -> None:
    payload = {**PAYLOAD, "metadata": {"password": "hush", "a": "b"}}
    payload["glance_metadata"] = [{"key": "db_password", "value": "hush"}, {"key": "image_id", "value": "i"}]
    with meters.database.write() as tx:
        emit(tx, "volume.exists", payload, caller=ADMIN, resource_id="v")
        stored = tx.execute(select(events.c.payload)).scalar_one()
    assert stored["metadata"] == {"password": "***", "a": "b"}
    assert "hush" not in str(stored)


@pytest.mark.fast
def test_names_of_secrets() -> None:
    assert all(map(is_secret_name, ("connection_info", "Connector", "auth_password", "adminPass", "X-Auth-Token")))
    assert not any(map(is_secret_name, ("encryption_key_id", "host", "metadata", "password_expires_at", "user_id")))


@pytest.mark.fast
def test_the_entry_of_an_attachment_holds_no_secret() -> None:
    values: dict[str, Any] = dict.fromkeys(Attachment.__struct_fields__)
    values |= {"connector": {"a": "hush"}, "connection_info": {"b": "hush"}}
    assert "hush" not in str(attachment_payload(Attachment(**values)))


@pytest.mark.fast
def test_a_trait_of_the_wrong_type_names_itself() -> None:
    with pytest.raises(BadTrait, match="size"):
        traits_of("volume.exists", {"size": "big"}, ())


@pytest.mark.fast
def test_an_unknown_event_type_has_the_default_traits() -> None:
    assert traits_of("weather.rain", {"size": 1}, (("service", "sky"), ("user_id", None))) == {
        "service": ["string", "sky"]
    }
