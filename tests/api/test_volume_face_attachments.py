"""The attachments API over HTTP as an outside compute service uses it: the calls that Nova was recorded to send.

attach    POST attachments without a connector, PUT with one, os-complete            (microversion 3.44)
detach    os-begin_detaching, GET volume at 3.69, DELETE attachment
"""

from typing import Any

import pytest

from pumice.caller import new_id
from pumice.storage.contract import StorageError
from tests.api.volume_cloud import MISSING, Account

pytestmark = pytest.mark.real

CONNECTOR = {
    "host": "node1",
    "ip": "127.0.0.1",
    "initiator": "iqn.1994-05.com.example:node1",
    "multipath": False,
    "platform": "x86_64",
    "os_type": "linux",
    "do_local_attach": False,
    "nvme_native_multipath": False,
    "system uuid": MISSING,
    "mountpoint": "/dev/vdb",
}


def _reserve(nova: Account, volume: str, server: str) -> str:
    body = {"attachment": {"instance_uuid": server, "volume_uuid": volume, "connector": None}}
    return str(nova.ask("POST", "/attachments", body, version="3.44")["attachment"]["id"])


def _connect(nova: Account, attachment: str, **changes: Any) -> Any:
    body = {"attachment": {"connector": {**CONNECTOR, **changes}}}
    return nova.ask("PUT", f"/attachments/{attachment}", body, version="3.44")["attachment"]


def _complete(nova: Account, attachment: str) -> None:
    body = {"os-complete": attachment}
    assert nova.ask("POST", f"/attachments/{attachment}/action", body, version="3.44", status=204) is None


def _attached(nova: Account, volume: str, server: str) -> str:
    attachment = _reserve(nova, volume, server)
    _connect(nova, attachment)
    _complete(nova, attachment)
    assert nova.status(volume) == "in-use"
    return attachment


def test_attach_and_detach_as_nova_does(user: Account, nova: Account) -> None:
    volume, server = user.volume(), new_id()
    assert nova.ask("GET", f"/volumes/{volume}", version=None)["volume"]["status"] == "available"
    assert nova.served.http.get("/volume/").status_code == 300
    attachment = _reserve(nova, volume, server)
    assert user.status(volume) == "reserved"
    assert nova.ask("GET", f"/volumes/{volume}", version="3.69")["volume"]["shared_targets"] is None
    connected = _connect(nova, attachment)
    info = connected["connection_info"]
    assert info["driver_volume_type"] == "local" and info["volume_id"] == volume
    assert (connected["status"], user.status(volume)) == ("attaching", "attaching")
    assert nova.served.cloud.exports() >= {volume}
    _complete(nova, attachment)
    (shown,) = user.ask("GET", f"/volumes/{volume}")["volume"]["attachments"]
    assert (shown["server_id"], shown["attachment_id"], shown["device"]) == (server, attachment, "/dev/vdb")
    assert user.status(volume) == "in-use"

    nova.ask("POST", f"/volumes/{volume}/action", {"os-begin_detaching": None}, status=202)
    assert user.status(volume) == "detaching"
    assert nova.ask("GET", f"/volumes/{volume}", version="3.69")["volume"]["attachments"]
    assert nova.ask("DELETE", f"/attachments/{attachment}", version="3.44") == {"attachments": []}
    assert user.status(volume) == "available"
    assert volume not in nova.served.cloud.exports()
    nova.refused("GET", f"/attachments/{attachment}", version="3.44", status=404)


def test_a_detach_that_the_guest_refused_is_rolled_back(user: Account, nova: Account) -> None:
    volume = user.volume()
    attachment = _attached(nova, volume, new_id())
    nova.ask("POST", f"/volumes/{volume}/action", {"os-begin_detaching": None}, status=202)
    nova.ask("POST", f"/volumes/{volume}/action", {"os-roll_detaching": None}, status=202)
    assert user.status(volume) == "in-use"
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")


def test_a_deleted_server_only_deletes_its_attachment(user: Account, nova: Account) -> None:
    volume = user.volume()
    attachment = _attached(nova, volume, new_id())
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")
    assert user.status(volume) == "available"


def test_every_call_may_be_sent_again(user: Account, nova: Account) -> None:
    volume = user.volume()
    attachment = _reserve(nova, volume, new_id())
    first = _connect(nova, attachment)
    assert _connect(nova, attachment) == first
    assert _connect(nova, attachment, mountpoint="/dev/vdc")["status"] == "attaching"
    _complete(nova, attachment)
    _complete(nova, attachment)
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")
    nova.refused("DELETE", f"/attachments/{attachment}", version="3.44", status=404)


def test_an_attach_that_broke_off_anywhere_is_deleted(user: Account, nova: Account) -> None:
    volume = user.volume()
    attachment = _reserve(nova, volume, new_id())
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")
    assert user.status(volume) == "available"
    attachment = _reserve(nova, volume, new_id())
    _connect(nova, attachment)
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")
    assert user.status(volume) == "available"
    assert volume not in nova.served.cloud.exports()


def test_a_shelved_server_completes_without_a_connector(user: Account, nova: Account) -> None:
    volume = user.volume()
    attachment = _reserve(nova, volume, new_id())
    _complete(nova, attachment)
    assert user.status(volume) == "in-use"
    assert nova.ask("GET", f"/attachments/{attachment}", version="3.44")["attachment"]["connection_info"] == {}
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")
    assert user.status(volume) == "available"


def test_a_resize_makes_the_second_attachment_before_it_deletes_the_first(user: Account, nova: Account) -> None:
    volume, server = user.volume(), new_id()
    first = _attached(nova, volume, server)
    second = _reserve(nova, volume, server)
    assert user.status(volume) == "in-use"
    nova.ask("DELETE", f"/attachments/{first}", version="3.44")
    assert user.status(volume) == "reserved"
    _connect(nova, second)
    _complete(nova, second)
    assert user.status(volume) == "in-use"
    nova.ask("DELETE", f"/attachments/{second}", version="3.44")
    assert user.status(volume) == "available"


def test_a_resize_that_is_taken_back_keeps_the_first(user: Account, nova: Account) -> None:
    volume, server = user.volume(), new_id()
    first = _attached(nova, volume, server)
    second = _reserve(nova, volume, server)
    nova.ask("DELETE", f"/attachments/{second}", version="3.44")
    assert user.status(volume) == "in-use"
    (shown,) = user.ask("GET", f"/volumes/{volume}")["volume"]["attachments"]
    assert shown["attachment_id"] == first
    nova.ask("DELETE", f"/attachments/{first}", version="3.44")


def test_an_unknown_server_is_refused_without_a_service_token(user: Account) -> None:
    volume = user.volume()
    body = {"attachment": {"instance_uuid": MISSING, "volume_uuid": volume}}
    assert f"Server {MISSING}" in user.refused("POST", "/attachments", body, version="3.44", status=404)
    assert user.status(volume) == "available"
    attach = {"os-attach": {"instance_uuid": MISSING, "mountpoint": "/dev/vdb"}}
    assert MISSING in user.refused("POST", f"/volumes/{volume}/action", attach, status=404)
    assert user.status(volume) == "available"


def test_a_user_cannot_pretend_to_be_compute(user: Account, nova: Account) -> None:
    volume = user.volume()
    user.service_token = user.token
    body = {"attachment": {"instance_uuid": MISSING, "volume_uuid": volume}}
    user.refused("POST", "/attachments", body, version="3.44", status=404)
    user.service_token = None
    assert user.status(volume) == "available"


def test_a_second_server_is_refused(user: Account, nova: Account) -> None:
    volume = user.volume()
    attachment = _attached(nova, volume, new_id())
    body = {"attachment": {"instance_uuid": new_id(), "volume_uuid": volume}}
    assert "in-use" in nova.refused("POST", "/attachments", body, version="3.44", status=409)
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")


def test_a_connector_of_a_host_that_cannot_reach_it_says_why(user: Account, nova: Account) -> None:
    volume = user.volume()
    attachment = _reserve(nova, volume, new_id())
    body = {"attachment": {"connector": {**CONNECTOR, "host": "node2"}}}
    message = nova.refused("PUT", f"/attachments/{attachment}", body, version="3.44", status=500)
    assert "lies on host node1" in message and "node2" in message
    shown = nova.ask("GET", f"/attachments/{attachment}", version="3.44")["attachment"]
    assert (shown["status"], shown["connection_info"]) == ("error_attaching", {})
    (told,) = user.ask("GET", f"/messages?resource_uuid={volume}", version="3.3")["messages"]
    assert "lies on host node1" in told["user_message"]
    assert _connect(nova, attachment)["status"] == "attaching"
    nova.refused("PUT", f"/attachments/{attachment}", body, version="3.44", status=409)
    assert volume in nova.served.cloud.exports()
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")
    assert user.status(volume) == "available"


def test_an_export_that_failed_the_second_time_is_none(user: Account, nova: Account) -> None:
    volume = user.volume()
    attachment = _reserve(nova, volume, new_id())
    _connect(nova, attachment)
    nova.served.cloud.storage.faults.fail("locate:before", StorageError("the pool said no"))
    body = {"attachment": {"connector": {**CONNECTOR, "ip": "127.0.0.2"}}}
    assert "said no" in nova.refused("PUT", f"/attachments/{attachment}", body, version="3.44", status=500)
    assert volume not in nova.served.cloud.exports()
    shown = nova.ask("GET", f"/attachments/{attachment}", version="3.44")["attachment"]
    assert (shown["status"], shown["connection_info"]) == ("error_attaching", {})
    complete = {"os-complete": attachment}
    assert "error_attaching" in nova.refused(
        "POST", f"/attachments/{attachment}/action", complete, version="3.44", status=409
    )
    assert _connect(nova, attachment)["status"] == "attaching" and volume in nova.served.cloud.exports()
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")
    assert user.status(volume) == "available" and volume not in nova.served.cloud.exports()


def test_an_attachment_in_error_is_deleted(user: Account, nova: Account) -> None:
    volume = user.volume()
    attachment = _reserve(nova, volume, new_id())
    body = {"attachment": {"connector": {"host": "node2"}}}
    nova.refused("PUT", f"/attachments/{attachment}", body, version="3.44", status=500)
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")
    assert user.status(volume) == "available"


def test_a_connector_without_a_host_is_named(user: Account, nova: Account) -> None:
    attachment = _reserve(nova, user.volume(), new_id())
    for host in ({}, {"host": ""}, {"host": 5}):
        body = {"attachment": {"connector": host}}
        message = nova.refused("PUT", f"/attachments/{attachment}", body, version="3.44", status=400)
        assert "connector.host" in message
    nova.ask("DELETE", f"/attachments/{attachment}", version="3.44")


def test_what_our_compute_attached_is_only_detached_by_it(user: Account, nova: Account) -> None:
    volume, server = user.volume(), user.served.server(user)
    user.ask("POST", f"/volumes/{volume}/action", {"os-attach": {"instance_uuid": server}}, status=202)
    user.wait_volume(volume, "in-use")
    (attachment,) = user.ask("GET", f"/attachments?volume_id={volume}", version="3.44")["attachments"]
    message = user.refused("DELETE", f"/attachments/{attachment['id']}", version="3.44", status=409)
    assert server in message
    begin = {"os-begin_detaching": None}
    assert server in user.refused("POST", f"/volumes/{volume}/action", begin, status=409)
    assert user.status(volume) == "in-use"
    user.ask("POST", f"/volumes/{volume}/action", {"os-detach": {}}, status=202)
    user.wait_volume(volume, "available")


def test_what_another_compute_service_attached_is_only_detached_by_it(
    user: Account, nova: Account, operator: Account
) -> None:
    volume, server = user.volume(), new_id()
    attachment = _reserve(nova, volume, server)
    user.ask("DELETE", f"/attachments/{attachment}", version="3.44")  # nobody has it yet
    attachment = _attached(nova, volume, server)
    actions: tuple[dict[str, Any], ...] = (
        {"os-detach": {"attachment_id": attachment}},
        {"os-begin_detaching": None},
        {"os-terminate_connection": {"connector": CONNECTOR}},
    )
    for account in (user, operator):
        assert server in account.refused("DELETE", f"/attachments/{attachment}", version="3.44", status=409)
        for action in actions:
            message = account.refused("POST", f"/volumes/{volume}/action", action, status=409)
            assert f"server {server} of another compute service" in message
    assert user.status(volume) == "in-use" and volume in nova.served.cloud.exports()
    body = {"os-force_detach": {"attachment_id": attachment}}
    user.refused("POST", f"/volumes/{volume}/action", body, status=403)
    operator.ask("POST", f"/volumes/{volume}/action", body, status=202)
    user.wait_volume(volume, "available")
    assert volume not in nova.served.cloud.exports()


def test_the_attachments_api_has_its_windows(user: Account, nova: Account) -> None:
    volume = user.volume()
    body = {"attachment": {"volume_uuid": volume}}
    for method, path in (("GET", ""), ("GET", "/detail"), ("GET", f"/{MISSING}"), ("DELETE", f"/{MISSING}")):
        nova.refused(method, f"/attachments{path}", version="3.26", status=404)
    nova.refused("POST", "/attachments", body, version="3.26", status=404)
    attachment = nova.ask("POST", "/attachments", body, version="3.27")["attachment"]["id"]
    path = f"/attachments/{attachment}"
    nova.refused("POST", f"{path}/action", {"os-complete": {}}, version="3.43", status=404)
    nova.ask("DELETE", path, version="3.27")
    read_only = {"attachment": {"volume_uuid": volume, "mode": "ro"}}
    assert "mode" in nova.refused("POST", "/attachments", read_only, version="3.53", status=400)
    wrong = {"attachment": {"volume_uuid": volume, "mode": "wo"}}
    assert "mode" in nova.refused("POST", "/attachments", wrong, version="3.54", status=400)
    made = nova.ask("POST", "/attachments", read_only, version="3.54")["attachment"]
    assert made["attach_mode"] == "ro"
    nova.ask("DELETE", f"/attachments/{made['id']}", version="3.27")
