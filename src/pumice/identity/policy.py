"""Who may do what: one table of rules. An action of a route is looked up by its name, then by the patterns.

    rule := term {"or" term}      term := factor {"and" factor}      factor := ["not"] atom | "(" rule ")"
    atoms: any             every valid token            role:NAME       the token has the role
           project         the token is for a project   system          the token is for the system
           service_token   a valid X-Service-Token of a user with the role `service` came along
           unrestricted    the token was not made with an application credential that may not make others
           own_user        the `user_id` of the path is the caller's
           own_project     the `project_id` of the path is the token's
           @NAME           another rule of the table

Rules say which roles may call; whose resources they reach is in the domains' queries: what belongs to another project
is 404 for all but administrators. A TOML file may replace single rules: `"volume:create" = "role:admin"`.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from pumice.caller import Caller
from pumice.errors import Forbidden

RULES: dict[str, str] = {
    "@admin": "role:admin",
    "@member": "role:admin or (role:member and project)",
    "@maker": "project and (role:admin or role:member)",
    "@reader": "role:admin or role:service or (role:reader and (project or system))",
    "@service": "role:admin or role:service",
    "@admin_reader": "role:admin or (role:reader and system)",
    # Block storage.
    "volume:*": "@member",
    "volume:create": "@maker",
    "volume:create_snapshot": "@maker",
    "volume:get*": "@reader",
    "volume:extensions": "@reader",
    "volume:availability_zone_list": "@reader",
    "volume:attachment_get*": "@reader",
    "volume:attachment_*": "@member or role:service",
    "volume:attachment_create": "@maker or (project and role:service)",
    "volume:force_delete": "@admin",
    "volume:freeze_host": "@admin",
    "volume:thaw_host": "@admin",
    "volume:failover_host": "@admin",
    "message:*": "@member",
    "message:get*": "@reader",
    "limits_extension:*": "@reader",
    "volume_extension:*": "@admin",
    "volume_extension:type_get*": "@reader",
    "volume_extension:quotas:show": "@reader",
    "volume_extension:volume_actions:*": "@member or role:service",
    "volume_extension:volume_image_metadata:*": "@member",
    "volume_extension:volume_image_metadata:show": "@reader",
    "scheduler_extension:*": "@admin",
    "clusters:*": "@admin",
    "workers:*": "@admin",
    "snapshot_extension:*": "@admin",
    "snapshot_extension:snapshot_actions:*": "@member or role:service",
    "backup:*": "@member",
    "backup:get*": "@reader",
    "group:*": "@member",
    "group:get*": "@reader",
    # Compute.
    "compute:*": "@member",
    "compute:servers:create": "@maker",
    "compute:old_volumes:create": "@maker",
    "compute:old_snapshots:create": "@maker",
    "compute:*:get*": "@reader",
    "compute:*:list*": "@reader",
    "compute:*:show*": "@reader",
    "compute:*:index*": "@reader",
    "compute:*:detail*": "@reader",
    "compute:servers:get*": "@member",
    "compute:servers:resetState": "@admin",
    "compute:servers:shelveOffload": "@admin",
    "compute:flavors:create": "@admin",
    "compute:flavors:delete": "@admin",
    "compute:flavors:update": "@admin",
    "compute:services:*": "@admin",
    "compute:hypervisors:*": "@admin",
    "compute:aggregates:*": "@admin",
    "compute:quotas:update": "@admin",
    "compute:quotas:delete": "@admin",
    "compute:quotas:class_get": "@admin",
    "compute:quotas:class_update": "@admin",
    "compute:keypairs:*": "role:admin or role:member",
    "compute:keypairs:show": "@reader",
    "compute:keypairs:index": "@reader",
    "os_compute_api:*": "@member",
    "os_compute_api:*:show*": "@reader",
    "os_compute_api:*:index*": "@reader",
    "os_compute_api:*:detail*": "@reader",
    "os_compute_api:*:list*": "@reader",
    "os_compute_api:os-flavor-manage*": "@admin",
    "os_compute_api:os-services*": "@admin",
    "os_compute_api:os-hypervisors*": "@admin",
    # Images.
    "image:*": "@member",
    "image:create": "@maker",
    "image:get*": "@reader",
    "image:download*": "@reader",
    # Metering.
    "metering:*": "@reader",
    "telemetry:*": "@reader",
    # Identity.
    "identity:*": "@admin",
    "identity:get_*": "@admin_reader",
    "identity:list_*": "@admin_reader",
    "identity:check_*": "@admin_reader",
    "identity:get_user": "@admin_reader or own_user",
    "identity:change_password": "own_user or @admin",
    "identity:list_user_projects": "@admin_reader or own_user",
    "identity:get_project": "@admin_reader or own_project",
    "identity:list_roles": "any",
    "identity:get_role": "any",
    "identity:list_domains": "@admin_reader or role:reader",
    "identity:get_domain": "@admin_reader or role:reader",
    "identity:validate_token": "any",
    "identity:revoke_token": "any",
    "identity:own_*": "any",
    "identity:list_groups_for_user": "@admin_reader or own_user",
    "identity:list_regions": "any",
    "identity:get_region": "any",
    "identity:list_project_tags": "@admin_reader or own_project",
    "identity:list_application_credentials": "@admin_reader or own_user",
    "identity:get_application_credential": "@admin_reader or own_user",
    "identity:create_application_credential": "own_user and project and unrestricted",
    "identity:delete_application_credential": "(own_user or @admin) and unrestricted",
    "identity:list_access_rules": "@admin_reader or own_user",
    "identity:get_access_rule": "@admin_reader or own_user",
    "identity:delete_access_rule": "(own_user or @admin) and unrestricted",
    # What Pumice adds.
    "pumice:*": "@admin",
}
"""Action, or pattern of actions, to rule; of several patterns the longest that matches counts."""

Rule = Callable[[Caller, Mapping[str, str]], bool]

_WORD = re.compile(r"\s*(\(|\)|[@A-Za-z_][A-Za-z0-9_:@.*-]*)")

_REFERENCE = re.compile(r"@[A-Za-z0-9_:@.*-]*")


class PolicyError(Exception):
    """A rule cannot be used: which one and why."""


class Policy:
    """The rules in force."""

    def __init__(self, overrides: Mapping[str, str] | None = None) -> None:
        self._texts = {**RULES, **(overrides or {})}
        self._rules: dict[str, Rule] = {}
        for name in self._texts:
            self._rules[name] = _parse(self._texts, name, ())
        self._found: dict[str, Rule] = {}

    @classmethod
    def load(cls, path: Path | None) -> "Policy":
        """The table with the file's rules in place of its own. Raises PolicyError."""
        if path is None:
            return cls()
        try:
            overrides = tomllib.loads(path.read_text())
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PolicyError(f"the policy file {path} cannot be read: {error}") from None
        for name, rule in overrides.items():
            if not isinstance(rule, str):
                raise PolicyError(f"the policy file {path}: {name!r} must be a text")
        return cls(overrides)

    def text(self, action: str) -> str:
        """The rule of the action, as it is written. Raises KeyError for an action that no rule covers."""
        return self._texts[self._name(action)]

    def allows(self, action: str, caller: Caller, path: Mapping[str, str]) -> bool:
        rule = self._found.get(action)
        if rule is None:
            rule = self._found[action] = self._rules[self._name(action)]
        return rule(caller, path)

    def enforce(self, action: str, caller: Caller, path: Mapping[str, str]) -> None:
        """Raises Forbidden, naming the action and its rule in full."""
        if not self.allows(action, caller, path):
            raise Forbidden(f"Policy doesn't allow {action} to be performed; it needs: {self._in_full(action)}.")

    def _in_full(self, action: str) -> str:
        """The rule with the others that it refers to in their places."""
        text = self.text(action)
        whole = text in self._texts
        told = _REFERENCE.sub(lambda name: f"({self._in_full(name[0])})", text)
        return told[1:-1] if whole else told

    def covers(self, action: str) -> bool:
        return self._matching(action) is not None

    def _matching(self, action: str) -> str | None:
        if action in self._texts:
            return action
        patterns = [name for name in self._texts if "*" in name and fnmatchcase(action, name)]
        return max(patterns, key=len, default=None)

    def _name(self, action: str) -> str:
        name = self._matching(action)
        if name is None:
            near = difflib.get_close_matches(action, self._texts, 1)
            raise KeyError(f"no policy rule for {action!r}{f'; near: {near[0]}' if near else ''}")
        return name


_ATOMS: dict[str, Rule] = {
    "any": lambda caller, path: True,
    "project": lambda caller, path: caller.project_id is not None,
    "system": lambda caller, path: caller.system_scope,
    "service_token": lambda caller, path: caller.has_service_token,
    "unrestricted": lambda caller, path: not caller.restricted,
    "own_user": lambda caller, path: path.get("user_id") == caller.user_id,
    "own_project": lambda caller, path: caller.project_id is not None and path.get("project_id") == caller.project_id,
}


def _role(name: str) -> Rule:
    return lambda caller, path: name in caller.roles


def _any_of(rules: list[Rule]) -> Rule:
    return rules[0] if len(rules) == 1 else lambda caller, path: any(rule(caller, path) for rule in rules)


def _all_of(rules: list[Rule]) -> Rule:
    return rules[0] if len(rules) == 1 else lambda caller, path: all(rule(caller, path) for rule in rules)


def _parse(texts: Mapping[str, str], name: str, seen: tuple[str, ...]) -> Rule:
    """The rule of that name. Raises PolicyError."""
    if name in seen:
        raise PolicyError(f"the policy rule {name!r} refers to itself")
    if name not in texts:
        raise PolicyError(f"the policy rule {seen[-1]!r} refers to {name!r}, which is not there")
    words = _words(name, texts[name])
    rule = _either(texts, words, (*seen, name))
    if words:
        raise PolicyError(f"the policy rule {name!r} is not understood at {words[0]!r}: {texts[name]}")
    return rule


def _words(name: str, text: str) -> list[str]:
    words, place = [], 0
    text = text.rstrip()
    while place < len(text):
        match = _WORD.match(text, place)
        if match is None:
            raise PolicyError(f"the policy rule {name!r} is not understood at {text[place:]!r}")
        words.append(match[1])
        place = match.end()
    return words


def _either(texts: Mapping[str, str], words: list[str], seen: tuple[str, ...]) -> Rule:
    rules = [_both(texts, words, seen)]
    while words[:1] == ["or"]:
        words.pop(0)
        rules.append(_both(texts, words, seen))
    return _any_of(rules)


def _both(texts: Mapping[str, str], words: list[str], seen: tuple[str, ...]) -> Rule:
    rules = [_factor(texts, words, seen)]
    while words[:1] == ["and"]:
        words.pop(0)
        rules.append(_factor(texts, words, seen))
    return _all_of(rules)


def _factor(texts: Mapping[str, str], words: list[str], seen: tuple[str, ...]) -> Rule:
    if not words:
        raise PolicyError(f"the policy rule {seen[-1]!r} ends too early: {texts[seen[-1]]!r}")
    word = words.pop(0)
    if word == "not":
        inner = _factor(texts, words, seen)
        return lambda caller, path: not inner(caller, path)
    if word == "(":
        rule = _either(texts, words, seen)
        if not words or words.pop(0) != ")":
            raise PolicyError(f"the policy rule {seen[-1]!r} lacks a closing parenthesis: {texts[seen[-1]]!r}")
        return rule
    if word.startswith("role:") and len(word) > 5:
        return _role(word[5:].lower())
    if word.startswith("@"):
        return _parse(texts, word, seen)
    if word in _ATOMS:
        return _ATOMS[word]
    raise PolicyError(f"the policy rule {seen[-1]!r} knows no {word!r}; there are role:NAME, {', '.join(_ATOMS)}")


def uncovered(policy: Policy, actions: Iterable[str]) -> list[str]:
    """Actions that no rule covers; a program with any does not start."""
    return sorted({action for action in actions if not policy.covers(action)})
