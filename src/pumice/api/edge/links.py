"""URLs in answers: the configured public URL, else what the request's Host (or a trusted proxy) says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Links:
    """Builds absolute URLs of this cloud."""

    root: str
    """`http://127.0.0.1:8776`, without a slash at its end; all faces are below it."""
    face: str
    """`/volume`"""
    version: str
    """`/v3`; empty where the face's paths have none."""
    project: str
    """`/<project id>` where the URL of the request has one, else empty."""

    path: str = ""
    """The path of the request below the project."""

    @property
    def here(self) -> str:
        """The URL of this request, without its query."""
        return self.url(self.path)

    def url(self, path: str) -> str:
        """`links.url("/volumes/1")` is `http://host/volume/v3/<project>/volumes/1`, as the request was addressed."""
        return f"{self.root}{self.face}{self.version}{self.project}{path}"

    def bookmark(self, path: str) -> str:
        """The same without the version, as `bookmark` links have it."""
        return f"{self.root}{self.face}{self.project}{path}"

    def to(self, face_path: str) -> str:
        """Another face: `links.to("/image/v2/images/1")`."""
        return f"{self.root}{face_path}"

    def pair(self, path: str) -> list[dict[str, str]]:
        """The `links` of most resources: self and bookmark."""
        return [{"rel": "self", "href": self.url(path)}, {"rel": "bookmark", "href": self.bookmark(path)}]
