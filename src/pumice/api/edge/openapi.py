"""The OpenAPI document of a face, made of its routes: paths, parameters, bodies, microversions, policy rules."""

from typing import Any

import msgspec

from pumice.api.edge.face import Face
from pumice.api.edge.route import Route
from pumice.api.edge.versions import shown


def document(face: Face) -> bytes:
    """OpenAPI 3.1 as JSON; `$ROOT` in it stands for the public URL."""
    kinds = {route.body for route in face.routes if route.body} | {route.query for route in face.routes if route.query}
    ordered = sorted(kinds, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
    schemas, components = msgspec.json.schema_components(ordered, ref_template="#/components/schemas/{name}")
    by_kind = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in face.routes:
        methods = paths.setdefault(route.path, {})
        found = methods.get(route.method.lower())
        if found is None:
            methods[route.method.lower()] = _operation(route, by_kind, components)
        else:
            _join(found, route, by_kind)
    information: dict[str, Any] = {"title": f"Pumice {face.name}", "version": face.version}
    if face.versions is not None:
        information["x-min-version"] = shown(face.versions.lowest)
        information["x-max-version"] = shown(face.versions.highest)
    project = "/{project_id}" if face.project_in_path else ""
    servers = [{"url": f"$ROOT/{face.name}/{face.version}"}]
    if project:
        servers.append({"url": f"$ROOT/{face.name}/{face.version}{project}"})
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": information,
            "servers": servers,
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}},
            },
        }
    )


def _operation(route: Route, by_kind: dict[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "parameters": _path_parameters(route) + _query_parameters(route, by_kind, components),
        "responses": {str(route.status): {"description": "Done"}, "default": {"description": "What was wrong"}},
        "security": [] if route.public else [{"token": []}],
    }
    documented = (route.handler or route.stream).__doc__
    if documented:
        operation["summary"] = documented.strip().splitlines()[0]
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.optional_body,
            "content": {"application/json": {"schema": {"oneOf": [by_kind[route.body]]}}},
        }
    for name, value in (("x-since", route.since), ("x-until", route.until), ("x-policy", route.action)):
        if value is not None:
            operation[name] = value
    if route.key is not None:
        operation["x-actions"] = [route.key]
    return operation


def _join(operation: dict[str, Any], route: Route, by_kind: dict[Any, Any]) -> None:
    """Another action, or another window of microversions, of the same method and path."""
    if route.key is not None:
        operation.setdefault("x-actions", []).append(route.key)
    if route.body is not None:
        content = operation.setdefault("requestBody", {"required": True, "content": {}})["content"]
        choices = content.setdefault("application/json", {"schema": {"oneOf": []}})["schema"]["oneOf"]
        if by_kind[route.body] not in choices:
            choices.append(by_kind[route.body])
    operation["responses"].setdefault(str(route.status), {"description": "Done"})


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    names = [part.strip("{}") for part in route.path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(route: Route, by_kind: dict[Any, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = components[by_kind[route.query]["$ref"].rsplit("/", 1)[1]]
    required = set(schema.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in required, "schema": kind}
        for name, kind in schema["properties"].items()
    ]
