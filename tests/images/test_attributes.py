"""What clients may write about an image, without a database."""

import pytest

from pumice.clock import SECOND
from pumice.errors import BadRequest, Conflict, Forbidden, InvalidField, PumiceError
from pumice.images.attributes import Change, new_image, parse_patch, parse_patch_v20, patched
from pumice.images.model import Image

pytestmark = pytest.mark.fast


def image(**changes: object) -> Image:
    values: dict[str, object] = dict.fromkeys(Image.__struct_fields__)
    values |= {
        "id": "7a9bfc34-36a5-4d48-8b1c-9e4cbd1ec7c5",
        "project_id": "p",
        "status": "active",
        "disk_format": "raw",
        "container_format": "bare",
        "visibility": "shared",
        "protected": False,
        "hidden": False,
        "min_disk": 0,
        "min_ram": 0,
        "properties": {"colour": "red"},
        "tags": [],
        "created_at": SECOND,
        "updated_at": SECOND,
    }
    return Image(**(values | changes))  # type: ignore[arg-type]


def test_further_names_of_a_create_are_properties() -> None:
    wanted = new_image({"name": "a", "disk_format": "raw", "min_disk": 2, "kernel_id": "k", "owner_note": None})
    assert (wanted.name, wanted.disk_format, wanted.min_disk) == ("a", "raw", 2)
    assert wanted.properties == {"kernel_id": "k"}


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ({"disk_format": "vhdx"}, InvalidField, "'vhdx'; this cloud stores raw, aki, ari, ami, iso, qcow2, vdi, vmdk"),
        ({"disk_format": 5}, InvalidField, "convert others to qcow2"),
        ({"container_format": "ovf"}, InvalidField, "this cloud stores bare, aki, ari, ami"),
        ({"visibility": "open"}, InvalidField, "one of public, private, shared, community"),
        ({"min_disk": -1}, InvalidField, "'min_disk': -1"),
        ({"min_ram": True}, InvalidField, "'min_ram': True"),
        ({"min_ram": 2**40}, InvalidField, "'min_ram'"),
        ({"protected": "yes"}, InvalidField, "true or false"),
        ({"name": 7}, InvalidField, "'name': 7"),
        ({"name": "n" * 256}, InvalidField, "255"),
        ({"name": "a\0b"}, InvalidField, "NUL"),
        ({"colour\0": "red"}, InvalidField, "NUL"),
        ({"colour": "r\0d"}, InvalidField, "NUL"),
        ({"colour": 7}, InvalidField, "'colour': 7"),
        ({"tags": "red"}, InvalidField, "list"),
        ({"tags": [""]}, InvalidField, "1 to 255"),
        ({"tags": [str(n) for n in range(129)]}, InvalidField, "128"),
        ({f"p{n}": "x" for n in range(129)}, InvalidField, "128"),
        ({"id": "seven"}, InvalidField, "UUID"),
        ({"id": 7}, InvalidField, "UUID"),
        ({"status": "active"}, Forbidden, "'status' is read-only"),
        ({"checksum": "0" * 32}, Forbidden, "'checksum' is read-only"),
        ({"deleted": "no"}, Forbidden, "'deleted' is reserved"),
        ({"os_glance_stage": "x"}, Forbidden, "'os_glance_stage' is reserved"),
    ],
)
def test_a_wrong_create_is_refused_by_name(body: dict[str, object], kind: type[PumiceError], words: str) -> None:
    with pytest.raises(kind) as refusal:
        new_image(body)
    assert words in refusal.value.message


def test_a_patch_adds_replaces_and_removes_in_order() -> None:
    changes = parse_patch(
        [
            {"op": "replace", "path": "/name", "value": "new"},
            {"op": "add", "path": "/shape", "value": "round"},
            {"op": "add", "path": "/a~1b~01", "value": "pointer"},
            {"op": "remove", "path": "/colour"},
            {"op": "replace", "path": "/tags", "value": ["x", "y", "x"]},
        ]
    )
    assert patched(image(), changes) == {
        "name": "new",
        "tags": ["x", "y"],
        "properties": {"shape": "round", "a/b~1": "pointer"},
    }


def test_the_older_form_of_a_patch_says_the_same() -> None:
    assert parse_patch_v20([{"replace": "/name", "value": "new"}, {"remove": "/colour"}]) == [
        Change("replace", "name", "new"),
        Change("remove", "colour"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"op": "add"},
        ["add"],
        [{"op": "move", "path": "/name", "value": "x"}],
        [{"op": "add", "path": "name", "value": "x"}],
        [{"op": "add", "path": "/", "value": "x"}],
        [{"op": "add", "path": "/tags/0", "value": "x"}],
        [{"op": "add", "path": "/a~2", "value": "x"}],
        [{"op": "add", "path": 7, "value": "x"}],
        [{"op": "add", "path": "/name"}],
    ],
)
def test_a_patch_that_is_none_is_refused(body: object) -> None:
    with pytest.raises(BadRequest):
        parse_patch(body)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (Change("replace", "status", "active"), Forbidden, "read-only"),
        (Change("remove", "size"), Forbidden, "read-only"),
        (Change("remove", "name"), Forbidden, "can not be removed"),
        (Change("replace", "disk_format", "aki"), Forbidden, "only while the image is queued"),
        (Change("replace", "shape", "round"), Conflict, "Property shape does not exist"),
        (Change("remove", "shape"), Conflict, "Property shape does not exist"),
        (Change("add", "shape", 7), InvalidField, "'shape': 7"),
    ],
)
def test_a_change_that_may_not_be_is_refused(change: Change, kind: type[PumiceError], words: str) -> None:
    with pytest.raises(kind) as refusal:
        patched(image(), [change])
    assert words in refusal.value.message


def test_the_format_of_a_queued_image_can_be_changed() -> None:
    assert patched(image(status="queued"), [Change("replace", "disk_format", "aki")]) == {"disk_format": "aki"}
