"""`pumice user list|create|set-password|grant`: what is needed when nobody can log in; the rest is Keystone's API."""

import click

from pumice.cli.frame import Failure, config_option, json_option, opened, print_json, state_option, table

password_option = click.option(
    "--password",
    prompt=True,
    hide_input=True,
    confirmation_prompt=True,
    help="The password; asked for when it is not given.",
)


@click.group(short_help="Make users, set passwords, grant roles.")
def user() -> None:
    """Make users, set passwords, grant roles, straight in the database: also when no administrator can log in."""


@user.command("list", help="List users with the roles they have.\n\n\b\nExample:\n  pumice user list")
@state_option
@config_option
@json_option
def list_users(state: str, config: str | None, as_json: bool) -> None:
    from pumice.identity import roles, users

    with opened(state, config) as database, database.read() as tx:
        found = users.listing(tx, {})
        granted: dict[str, list[str]] = {}
        for one, names in roles.assignments(tx, {}):
            where = "all" if one.target_type == "system" else names.target
            granted.setdefault(one.user_id, []).append(f"{names.role} on {one.target_type} {where}")
    if as_json:
        print_json([{"id": one.id, "name": one.name, "roles": granted.get(one.id, [])} for one in found])
        return
    rows = [(one.id, one.name, "" if one.enabled else "no", "; ".join(granted.get(one.id, []))) for one in found]
    table("Users", ("id", "name", "enabled", "roles"), rows)


@user.command(
    help="Make a user of the default domain; give it roles with `pumice user grant`.\n\n"
    "\b\nExample:\n  pumice user create anna && pumice user grant anna member --project demo"
)
@click.argument("name")
@password_option
@state_option
@config_option
def create(name: str, password: str, state: str, config: str | None) -> None:
    from pumice.identity import users
    from pumice.identity.model import DEFAULT_DOMAIN, User
    from pumice.identity.passwords import hash_now

    hashed = hash_now(password)
    with opened(state, config) as database, database.write() as tx:
        made = users.create(tx, User(_id(), DEFAULT_DOMAIN, name, "", None, True, None, None, tx.now), hashed)
    click.echo(made.id)


@user.command(
    "set-password",
    help="Set a user's password; tokens got with the old one end at once.\n\n"
    "\b\nExample:\n  pumice user set-password admin        (clouds.yaml keeps the old one: change it there)",
)
@click.argument("name")
@password_option
@state_option
@config_option
def set_password(name: str, password: str, state: str, config: str | None) -> None:
    from pumice.identity import users
    from pumice.identity.model import UserChange
    from pumice.identity.passwords import hash_now

    hashed = hash_now(password)
    with opened(state, config) as database, database.write() as tx:
        users.change(tx, _user(tx, name), UserChange(password_hash=hashed))
    click.echo(f"the password of {name} is set")


@user.command(
    help="Give a user a role in a project, or (--system) in the whole cloud.\n\n"
    "\b\nExamples:\n  pumice user grant anna member --project demo\n  pumice user grant anna admin --system"
)
@click.argument("name")
@click.argument("role")
@click.option("--project", metavar="NAME", help="The project (name or id).")
@click.option("--system", is_flag=True, help="In the whole cloud.")
@state_option
@config_option
def grant(name: str, role: str, project: str | None, system: bool, state: str, config: str | None) -> None:
    from pumice.identity import projects, roles
    from pumice.identity.model import SYSTEM_TARGET, Assignment

    if (project is None) == (not system):
        raise click.UsageError("give either --project NAME or --system")
    with opened(state, config) as database, database.write() as tx:
        found_roles = roles.listing(tx, role)
        if not found_roles:
            raise Failure(f"there is no role {role}; known are {', '.join(one.name for one in roles.listing(tx))}")
        user_id, role_id = _user(tx, name), found_roles[0].id
        if system:
            roles.assign(tx, Assignment(user_id, role_id, "system", SYSTEM_TARGET))
        else:
            known = projects.listing(tx, {})
            found = [one.id for one in known if project in (one.id, one.name)]
            if not found:
                raise Failure(f"there is no project {project}; known are {', '.join(one.name for one in known)}")
            roles.assign(tx, Assignment(user_id, role_id, "project", found[0]))
    click.echo(f"{name} has the role {role} " + ("in the whole cloud" if system else f"in the project {project}"))


def _user(tx: object, name: str) -> str:
    from typing import Any, cast

    from pumice.identity import users

    found = [one for one in users.listing(cast(Any, tx), {}) if name in (one.id, one.name)]
    if not found:
        raise Failure(f"there is no user {name}; pumice user list shows them")
    if len(found) > 1:
        raise Failure(f"several users are called {name}; give an id: {', '.join(one.id for one in found)}")
    return found[0].id


def _id() -> str:
    import uuid

    return uuid.uuid4().hex
