"""Images shared with other projects: who shares, who answers, who sees what. Both databases."""

import pytest

from pumice.caller import Caller, new_id
from pumice.db.engine import Database
from pumice.errors import Conflict, Forbidden, InvalidField, NotFound, TooLarge
from pumice.images import images, members
from pumice.images.attributes import Change
from pumice.images.members import Member
from pumice.images.store import ImageStore
from tests.images.test_images import active, get, listed, make

pytestmark = pytest.mark.real


def share(database: Database, caller: Caller, image_id: str, project_id: str | None) -> Member:
    with database.write() as tx:
        return members.add(tx, caller, image_id, project_id)


def answer(database: Database, caller: Caller, image_id: str, status: str, project_id: str | None = None) -> Member:
    with database.write() as tx:
        return members.answer(tx, caller, image_id, project_id or str(caller.project_id), status)


def seen(database: Database, caller: Caller, image_id: str) -> list[str]:
    with database.read() as tx:
        return [member.project_id for member in members.listing(tx, caller, image_id)]


def test_a_member_sees_and_uses_the_image_and_lists_it_once_accepted(
    database: Database, store: ImageStore, owner: Caller, stranger: Caller
) -> None:
    image = active(database, store, owner, name="shared")
    with pytest.raises(NotFound):
        get(database, stranger, image.id)
    assert share(database, owner, image.id, stranger.project_id).status == "pending"
    assert get(database, stranger, image.id).id == image.id
    with database.write() as tx:
        assert images.for_boot(tx, stranger, image.id).id == image.id

    def found(**params: str) -> list[list[str | None]]:
        return [
            listed(database, stranger, **params, **more)
            for more in ({}, {"member_status": "pending"}, {"member_status": "rejected"}, {"member_status": "all"})
        ]

    assert found() == found(visibility="shared") == [[], ["shared"], [], ["shared"]]
    assert answer(database, stranger, image.id, "accepted").status == "accepted"
    assert found() == found(visibility="all") == [["shared"], [], [], ["shared"]]
    answer(database, stranger, image.id, "rejected")
    assert found(visibility="shared") == [[], [], ["shared"], ["shared"]]
    with database.write() as tx:
        images.patch(tx, owner, image.id, [Change("replace", "visibility", "private")])
    assert found() == [[], [], [], []]
    with pytest.raises(NotFound):
        get(database, stranger, image.id)


def test_who_shares_and_who_answers(
    database: Database, store: ImageStore, owner: Caller, stranger: Caller, admin: Caller
) -> None:
    image, other = make(database, owner), new_id()
    share(database, owner, image.id, stranger.project_id)
    share(database, admin, image.id, other)
    assert seen(database, owner, image.id) == seen(database, admin, image.id) == [stranger.project_id, other]
    assert seen(database, stranger, image.id) == [stranger.project_id]
    with pytest.raises(NotFound, match="Member"), database.read() as tx:
        members.get(tx, stranger, image.id, other)
    with pytest.raises(NotFound, match="Member"):
        answer(database, stranger, image.id, "accepted", other)
    with pytest.raises(Forbidden, match="itself answers"):
        answer(database, owner, image.id, "accepted", stranger.project_id)
    with pytest.raises(Forbidden, match="only its owner shares"):
        share(database, stranger, image.id, new_id())
    with pytest.raises(Forbidden, match="only its owner shares"), database.write() as tx:
        members.remove(tx, stranger, image.id, other)
    assert answer(database, admin, image.id, "accepted", other).status == "accepted"
    with database.write() as tx:
        members.remove(tx, owner, image.id, other)
    assert seen(database, owner, image.id) == [stranger.project_id]
    with pytest.raises(NotFound), database.write() as tx:
        members.remove(tx, owner, image.id, other)


def test_a_foreign_image_is_not_found_and_only_shared_ones_have_members(
    database: Database, store: ImageStore, owner: Caller, stranger: Caller
) -> None:
    private, community = make(database, owner, visibility="private"), make(database, owner, visibility="community")
    for ask in (lambda one: share(database, stranger, one, new_id()), lambda one: seen(database, stranger, one)):
        with pytest.raises(NotFound):
            ask(private.id)
        with pytest.raises(Forbidden, match="community; only shared images"):
            ask(community.id)
    with pytest.raises(Forbidden, match="private; only shared images"):
        share(database, owner, private.id, new_id())


def test_wrong_members_are_refused(database: Database, store: ImageStore, owner: Caller, stranger: Caller) -> None:
    image = make(database, owner)
    share(database, owner, image.id, stranger.project_id)
    with pytest.raises(Conflict, match="already"):
        share(database, owner, image.id, stranger.project_id)
    for wrong in ("", "x" * 37, "a\0b"):
        with pytest.raises(InvalidField, match="'member'"):
            share(database, owner, image.id, wrong)
    with pytest.raises(InvalidField, match="one of pending, accepted, rejected"):
        answer(database, stranger, image.id, "perhaps")


def test_an_image_has_a_bounded_number_of_members(database: Database, store: ImageStore, owner: Caller) -> None:
    image = make(database, owner)
    with database.write() as tx:
        for _ in range(members.MOST):
            members.add(tx, owner, image.id, new_id())
    with pytest.raises(TooLarge, match="128"):
        share(database, owner, image.id, new_id())
