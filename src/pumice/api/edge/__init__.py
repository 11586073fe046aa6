"""The edge: everything of HTTP that no face writes itself.

route.py       Route, Call, Answer, Await: what faces are made of
views.py       View, Field: records to answers, by microversion
bodies.py      bytes to Structs, faults to 400s that name the field
versions.py    Since, microversions             links.py    URLs of answers
envelopes.py   errors as each face says them    headers.py  the request's, a proxy's
face.py        Face: routes, envelope, versions, discovery                    router.py      paths to routes
dispatch.py    Edge: the ASGI application; find the route, one database hop, answer
reading.py     what a request says: path, body, query                         own_paths.py   /, /healthz, /metrics
hops.py        the database hop: token, policy, handler, encoding             replies.py     bytes onto the wire
openapi.py     the OpenAPI document       metrics.py    Prometheus            logs.py        the access log
"""

from pumice.api.edge.route import Answer, Await, Call, Route
from pumice.api.edge.versions import Microversion, Since
from pumice.api.edge.views import Field, View, next_link
from pumice.db.paging import Listing, Page, PageRequest

__all__ = [
    "Answer",
    "Await",
    "Call",
    "Field",
    "Listing",
    "Microversion",
    "Page",
    "PageRequest",
    "Route",
    "Since",
    "View",
    "next_link",
]
