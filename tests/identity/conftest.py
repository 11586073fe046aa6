"""The toy cloud of the edge's tests."""

from tests.api.conftest import admin, cloud, demo

__all__ = ["admin", "cloud", "demo"]
