"""From method and path to routes: a tree of path segments, literals before parameters."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pumice.api.edge import bodies
from pumice.api.edge.bodies import Decoder
from pumice.api.edge.route import Route
from pumice.api.edge.versions import Microversion
from pumice.errors import BadRequest


class Compiled:
    """A route with what is made of it once."""

    __slots__ = ("decoder", "highest", "lowest", "names", "route")

    def __init__(self, route: Route, names: tuple[str, ...]) -> None:
        self.route = route
        self.names = names
        self.lowest, self.highest = route.window()
        self.decoder = Decoder(route.body, lax=route.lax) if route.body is not None else None


class _Node:
    __slots__ = ("literals", "methods", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.methods: dict[str, list[Compiled]] = {}


class Router:
    """The routes of one face."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes: list[Route] = []
        self._root = _Node()
        for route in routes:
            self._add(route)
        self.first_literals = frozenset(self._root.literals)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for segment in route.path.split("/")[1:] if route.path != "/" else []:
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(segment, _Node())
        candidates = node.methods.setdefault(route.method, [])
        lowest, highest = route.window()
        for other in candidates:
            if other.route.key == route.key and other.lowest <= highest and lowest <= other.highest:
                raise ValueError(f"two routes for {route.method} {route.path} {route.key or ''}: {other.route.name}")
        candidates.append(Compiled(route, tuple(names)))
        self.routes.append(route)

    def find(self, segments: list[str]) -> tuple[dict[str, list[Compiled]], list[str]] | None:
        """Methods of the path, and the texts of its parameters; None when no route has such a path."""
        values: list[str] = []
        node = _walk(self._root, segments, 0, values)
        return None if node is None else (node.methods, values)


def _walk(node: _Node, segments: list[str], place: int, values: list[str]) -> _Node | None:
    if place == len(segments):
        return node if node.methods else None
    segment = segments[place]
    literal = node.literals.get(segment)
    if literal is not None:
        found = _walk(literal, segments, place + 1, values)
        if found is not None:
            return found
    if node.parameter is not None and segment:
        values.append(segment)
        found = _walk(node.parameter, segments, place + 1, values)
        if found is not None:
            return found
        values.pop()
    return None


def in_window(candidates: Sequence[Compiled], asked: Microversion) -> list[Compiled]:
    """Those that exist at this microversion."""
    return [one for one in candidates if one.lowest <= asked <= one.highest]


def parameters(route: Compiled, values: list[str]) -> dict[str, Any]:
    return dict(zip(route.names, values, strict=True))


def allowed_methods(methods: Mapping[str, list[Compiled]], version: Microversion) -> list[str]:
    """What may be asked of the path at this microversion; empty where it does not exist."""
    living = {method for method, ones in methods.items() if in_window(ones, version)}
    return sorted(living | {"OPTIONS"} | ({"HEAD"} if "GET" in living else set())) if living else []


def by_key(candidates: list[Compiled], data: bytes) -> Compiled:
    """The route of an action. Raises BadRequest."""
    if not data:
        raise BadRequest("The request needs a body: an object with one key, the action's name.")
    key = bodies.single_key(data)
    for one in candidates:
        if one.route.key == key:
            return one
    known = ", ".join(sorted(one.route.key or "" for one in candidates))
    raise BadRequest(f"There is no such action: {key[:64]!r}; there are {known}.")
