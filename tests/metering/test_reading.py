"""Events, samples, statistics and resources read back, the same on both databases; everybody sees their own project."""

from typing import Any

import pytest

from pumice.caller import Caller
from pumice.clock import SECOND
from pumice.errors import BadRequest, InvalidField, NotFound
from pumice.metering import complex_queries, event_lists, resources, samples, statistics
from pumice.metering.conditions import Condition, parse
from pumice.metering.events import emit
from pumice.metering.meters import METER
from pumice.metering.samples import flat
from tests.metering.world import ADMIN, OTHER_PROJECT, PROJECT, Meters, reader

START = 1_793_491_200 * SECOND


def put(meters: Meters, event_type: str, resource: str, second: int, project: str = PROJECT, **payload: Any) -> str:
    noun = event_type.split(".")[0].replace("compute", "instance")
    with meters.database.write() as tx:
        return emit(
            tx,
            event_type,
            {f"{noun}_id": resource, "tenant_id": project, "user_id": "user", **payload},
            caller=ADMIN,
            resource_id=resource,
            generated=START + second * SECOND,
        )


@pytest.fixture
def filled(meters: Meters) -> Meters:
    """Three volumes of one project, one of another, a snapshot and a server."""
    for second, size in enumerate((1, 5, 10)):
        put(meters, "volume.create.end", f"v{size}", second, size=size, status="available", created_at="2026-11-01")
    put(meters, "volume.create.end", "w", 3, OTHER_PROJECT, size=7, status="error")
    put(meters, "volume.exists", "v1", 60, size=1, status="available", metadata={"tier": "gold"})
    put(meters, "snapshot.create.end", "s", 61, volume_size=5)
    put(meters, "compute.instance.create.end", "i", 62, memory_mb=512, vcpus=2, root_gb=0, ephemeral_gb=0)
    put(meters, "weather.rain", "cloud", 63)
    return meters


def read(meters: Meters, function: Any, *args: Any, **options: Any) -> Any:
    with meters.database.read() as tx:
        return function(tx, *args, **options)


def asked(*conditions: tuple[str, str, str, str]) -> tuple[Condition, ...]:
    names = ("q.field", "q.op", "q.type", "q.value")
    return parse([pair for condition in conditions for pair in zip(names, condition, strict=True)])


def event_resources(meters: Meters, *conditions: tuple[str, str, str, str], caller: Caller = ADMIN) -> list[str]:
    found = read(meters, event_lists.list_events, caller, asked(*conditions), 100)
    return [event.traits["resource_id"][1] for event in found if "resource_id" in event.traits]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ([("event_type", "eq", "", "volume.exists")], ["v1"]),
        ([("event_type", "", "", "volume.create.end"), ("size", "gt", "integer", "4")], ["v5", "v10", "w"]),
        ([("size", "ge", "", "5"), ("size", "lt", "float", "9.5")], ["v5", "w"]),
        ([("size", "eq", "string", "5")], []),
        ([("size", "ne", "", "1"), ("status", "eq", "", "available")], ["v5", "v10"]),
        ([("status", "eq", "string", "error")], ["w"]),
        ([("resource_id", "eq", "", "v5")], ["v5"]),
        ([("created_at", "lt", "datetime", "2026-11-02")], ["v1", "v5", "v10"]),
        ([("created_at", "le", "", "2026-10-31T23:00:00+00:00")], []),
        ([("created_at", "eq", "", "2026-11-01T02:00:00+02:00")], ["v1", "v5", "v10"]),
        ([("project_id", "eq", "", OTHER_PROJECT)], ["w"]),
        ([("start_timestamp", "eq", "", "2026-11-01T00:01:00")], ["v1", "s", "i"]),
        ([("end_timestamp", "eq", "", "2026-11-01T00:00:01")], ["v1", "v5"]),
        ([("unheard_of", "eq", "", "x")], []),
        ([("size", "eq", "boolean", "true")], []),
        ([("status", "eq", "", "'; DROP TABLE events; --")], []),
    ],
)
def test_events_are_filtered_by_traits_of_their_types(
    filled: Meters, conditions: list[tuple[str, str, str, str]], found: list[str]
) -> None:
    assert event_resources(filled, *conditions) == found


@pytest.mark.parametrize(
    ("condition", "named"),
    [
        (("size", "eq", "integer", "big"), "size"),
        (("size", "eq", "integer", "1.5"), "size"),
        (("size", "eq", "float", "nan"), "size"),
        (("created_at", "eq", "datetime", "yesterday"), "created_at"),
        (("start_timestamp", "eq", "", "x"), "start_timestamp"),
        (("size", "eq", "boolean", "perhaps"), "size"),
        (('x"y', "eq", "", "1"), "q.field"),
        (("", "eq", "", "1"), "q.field"),
        (("size", "like", "", "1"), "q.op"),
        (("size", "eq", "text", "1"), "q.type"),
    ],
)
def test_a_wrong_condition_names_its_field(filled: Meters, condition: tuple[str, str, str, str], named: str) -> None:
    with pytest.raises(InvalidField) as caught:
        event_resources(filled, condition)
    assert caught.value.field == named


@pytest.mark.fast
@pytest.mark.parametrize(
    "pairs",
    [
        [("q.field", "a")],
        [("q.field", "a"), ("q.value", "1"), ("q.value", "2")],
        [("q.value", "1")],
        [("q.field", "a"), ("q.op", "eq"), ("q.op", "eq"), ("q.value", "1")],
        [("q.what", "a")],
        [("q.field", "a"), ("q.value", "b")] * 51,
    ],
)
def test_conditions_that_do_not_fit_together_are_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(BadRequest):
        parse(pairs)


def test_everybody_sees_the_events_of_their_project(filled: Meters) -> None:
    assert event_resources(filled, caller=reader(OTHER_PROJECT)) == ["w"]
    assert len(event_resources(filled, caller=reader())) == 6
    unscoped = Caller(request_id="r", user_id="u", project_id=None, roles=frozenset({"reader"}))
    assert event_resources(filled, caller=unscoped) == []
    assert [
        s.resource_id for s in read(filled, samples.list_samples, reader(OTHER_PROJECT), (), 10, meter="volume")
    ] == ["w"]
    assert [r.id for r in read(filled, resources.list_resources, reader(OTHER_PROJECT), (), 10)] == ["w"]
    assert read(filled, event_lists.list_event_types, reader(OTHER_PROJECT)) == ["volume.create.end"]
    (theirs,) = read(filled, event_lists.list_events, reader(OTHER_PROJECT), (), 10)
    for function in (event_lists.get_event,):
        with pytest.raises(NotFound):
            read(filled, function, reader(), theirs.message_id)
    with pytest.raises(NotFound):
        read(filled, samples.get_sample, reader(), f"{theirs.message_id}:volume")
    (total,) = read(filled, statistics.list_statistics, reader(OTHER_PROJECT), "volume.size", ())
    assert total.values["sum"] == 7


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_events_join_without_gap(filled: Meters, order: Any) -> None:
    whole = read(filled, event_lists.list_events, ADMIN, (), 100, order=order)
    paged: list[Any] = []
    while page := read(
        filled,
        event_lists.list_events,
        ADMIN,
        (),
        3,
        order=order,
        marker=paged[-1].message_id if paged else None,
    ):
        paged += page
    assert paged == whole and len(whole) == 8
    with pytest.raises(BadRequest, match="marker"):
        read(filled, event_lists.list_events, ADMIN, (), 3, marker="nobody")


def test_event_types_and_traits(filled: Meters) -> None:
    assert read(filled, event_lists.list_event_types, ADMIN) == [
        "compute.instance.create.end",
        "snapshot.create.end",
        "volume.create.end",
        "volume.exists",
        "weather.rain",
    ]
    assert ("size", "integer") in event_lists.traits_of_type("volume.exists")
    found = read(filled, event_lists.list_trait_values, ADMIN, "volume.create.end", "size", 3)
    assert found == [("integer", 7), ("integer", 10), ("integer", 5)]
    assert read(filled, event_lists.list_trait_values, ADMIN, "volume.create.end", "weight", 3) == []


def test_samples_of_story_1(filled: Meters) -> None:
    (exists,) = read(filled, samples.list_samples, ADMIN, (), 10, meter="volume.exists")
    assert (exists.meter.type, exists.volume, exists.meter.unit, exists.resource_id) == ("delta", 1.0, "volume", "v1")
    assert exists.timestamp == START + 60 * SECOND
    assert exists.metadata["metadata.tier"] == "gold"
    sizes = read(filled, samples.list_samples, ADMIN, (), 10, meter="volume.size")
    assert [(s.resource_id, s.volume) for s in sizes] == [("v1", 1), ("w", 7), ("v10", 10), ("v5", 5), ("v1", 1)]
    assert {(s.meter.type, s.meter.unit) for s in sizes} == {("gauge", "GiB")}
    assert [s.volume for s in read(filled, samples.list_samples, ADMIN, (), 10, meter="snapshot.size")] == [5]
    assert [s.volume for s in read(filled, samples.list_samples, ADMIN, (), 10, meter="memory")] == [512]
    assert read(filled, samples.list_samples, ADMIN, (), 10, meter="cpu_util") == []


@pytest.mark.parametrize(
    ("meter", "conditions", "found"),
    [
        ("volume.size", [("resource_id", "eq", "", "v1")], [1, 1]),
        ("volume.size", [("timestamp", "lt", "", "2026-11-01T00:00:02")], [5, 1]),
        ("volume.size", [("project", "ne", "", PROJECT)], [7]),
        ("volume.size", [("volume", "ge", "", "7")], [7, 10]),
        ("volume.size", [("metadata.status", "eq", "", "error")], [7]),
        ("volume.size", [("metadata.size", "gt", "integer", "5")], [7, 10]),
        ("volume.size", [("source", "eq", "", "openstack"), ("user", "eq", "", "nobody")], []),
        ("volume.size", [("source", "eq", "", "elsewhere")], []),
        (None, [("meter", "eq", "", "volume.exists")], [1]),
        (None, [("timestamp", "ge", "", "2026-11-01T00:01:02")], [1, 0, 0, 1, 512, 2]),
    ],
)
def test_samples_are_filtered(
    filled: Meters, meter: str | None, conditions: list[tuple[str, str, str, str]], found: list[float]
) -> None:
    listed = read(filled, samples.list_samples, ADMIN, asked(*conditions), 100, meter=meter)
    if meter is not None:
        assert [sample.volume for sample in listed] == found
    else:
        assert sorted(sample.volume for sample in listed) == sorted(found)


def test_the_two_ways_to_list_one_meter_agree(filled: Meters) -> None:
    for name in METER:
        short = read(filled, samples.list_samples, ADMIN, (), 100, meter=name)
        narrowed = read(filled, samples.list_samples, ADMIN, asked(("project", "ne", "", "x")), 100, meter=name)
        assert short == narrowed


@pytest.mark.parametrize("meter", ["volume.size", "volume", None])
def test_pages_of_samples_join_without_gap(filled: Meters, meter: str | None) -> None:
    whole = read(filled, samples.list_samples, ADMIN, (), 100, meter=meter)
    paged: list[Any] = []
    while page := read(filled, samples.list_samples, ADMIN, (), 2, meter=meter, marker=paged[-1].id if paged else None):
        paged += page
    assert [s.id for s in paged] == [s.id for s in whole]
    assert read(filled, samples.get_sample, ADMIN, whole[0].id) == whole[0]


def test_statistics_by_period_and_group(filled: Meters) -> None:
    (total,) = read(filled, statistics.list_statistics, ADMIN, "volume.size", ())
    assert total.values == {"avg": 4.8, "count": 5, "max": 10, "min": 1, "sum": 24}
    assert (total.duration_start, total.duration_end) == (START, START + 60 * SECOND)
    periods = read(
        filled,
        statistics.list_statistics,
        ADMIN,
        "volume.size",
        asked(("timestamp", "ge", "", "2026-11-01")),
        period=60,
        groupby=["project_id", "source"],
        aggregates=[statistics.checked("sum", None), statistics.checked("cardinality", "resource_id")],
    )
    assert [(p.period_start - START) // SECOND for p in periods] == [0, 0, 60]
    assert [p.groupby["project_id"] for p in periods] == [PROJECT, OTHER_PROJECT, PROJECT]
    assert [p.values for p in periods] == [
        {"sum": 16, "cardinality/resource_id": 3},
        {"sum": 7, "cardinality/resource_id": 1},
        {"sum": 1, "cardinality/resource_id": 1},
    ]
    (spread,) = read(
        filled,
        statistics.list_statistics,
        ADMIN,
        "volume.size",
        (),
        aggregates=[statistics.checked("stddev", None)],
    )
    assert spread.values["stddev"] == pytest.approx(3.4871, abs=1e-4)
    assert read(filled, statistics.list_statistics, ADMIN, "backup.size", (), period=60) == []
    assert read(filled, statistics.list_statistics, ADMIN, "backup.size", ()) == []
    with pytest.raises(InvalidField):
        read(filled, statistics.list_statistics, ADMIN, "volume.size", (), groupby=["colour"])


def test_resources_and_their_meters(filled: Meters) -> None:
    found = read(filled, resources.list_resources, ADMIN, (), 100)
    assert [one.id for one in found] == ["i", "s", "v1", "v10", "v5", "w"]
    first = read(filled, resources.get_resource, ADMIN, "v1")
    assert (first.first, first.last) == (START, START + 60 * SECOND)
    assert first.metadata["event_type"] == "volume.exists"
    assert first.meters == ("volume", "volume.create.end", "volume.exists", "volume.size")
    after = read(filled, resources.list_resources, ADMIN, (), 2, marker="v1")
    assert [one.id for one in after] == ["v10", "v5"]
    with pytest.raises(NotFound):
        read(filled, resources.get_resource, ADMIN, "nobody")
    listed = read(filled, resources.list_meters, ADMIN, asked(("resource_id", "eq", "", "v1")), 100)
    assert sorted(one.meter.name for one in listed) == list(first.meters)
    sizes = read(filled, resources.list_meters, ADMIN, asked(("meter", "eq", "", "volume.size")), 3)
    assert [one.resource_id for one in sizes] == ["v1", "v10", "v5"]
    unique = read(filled, resources.list_meters, ADMIN, (), 100, unique=True)
    assert {one.meter.name for one in unique} >= {"volume.size", "snapshot.size", "memory"}
    assert all(one.resource_id is None for one in unique)


@pytest.mark.parametrize(
    ("tree", "orderby", "found"),
    [
        ({"=": {"meter": "volume.size"}}, [{"volume": "asc"}], [1, 1, 5, 7, 10]),
        ({"and": [{"=": {"meter": "volume.size"}}, {">": {"volume": 4}}]}, [{"timestamp": "desc"}], [7, 10, 5]),
        ({"and": [{"=": {"meter": "volume.size"}}, {"not": {"in": {"resource_id": ["v1", "w"]}}}]}, None, [10, 5]),
        ({"or": [{"=": {"counter_name": "memory"}}, {"=": {"meter": "vcpus"}}]}, [{"volume": "DESC"}], [512, 2]),
        ({"and": [{"=": {"meter": "volume"}}, {"=": {"metadata.status": "error"}}]}, None, [1]),
    ],
)
def test_complex_queries(filled: Meters, tree: Any, orderby: Any, found: list[float]) -> None:
    listed = read(filled, complex_queries.query_samples, ADMIN, tree, orderby, 100)
    assert [sample.volume for sample in listed] == found


@pytest.mark.parametrize(
    ("tree", "orderby", "named"),
    [
        ({"and": {}}, None, "filter.and"),
        ({"and": []}, None, "filter.and"),
        ([], [{"colour": "asc"}], "orderby[0]"),
        ([1], None, "filter"),
        ({"like": {"meter": "x"}}, None, "filter"),
        ({"=": {"meter": ["x"]}}, None, "filter.=.meter"),
        ({"=": {"colour": "x"}}, None, "q.field"),
        ({"or": [{"=": {"timestamp": "x"}}]}, None, "timestamp"),
        ([], {"timestamp": "asc"}, "orderby"),
        ([], [{"timestamp": "up"}], "orderby[0].timestamp"),
    ],
)
def test_a_wrong_complex_query_names_its_place(filled: Meters, tree: Any, orderby: Any, named: str) -> None:
    with pytest.raises(InvalidField) as caught:
        read(filled, complex_queries.query_samples, ADMIN, tree, orderby, 100)
    assert caught.value.field == named


def test_a_query_nested_without_end_is_refused(filled: Meters) -> None:
    tree: Any = {"=": {"meter": "x"}}
    for _ in range(20):
        tree = {"not": tree}
    with pytest.raises(InvalidField):
        read(filled, complex_queries.query_samples, ADMIN, tree, None, 100)


def test_lists_cost_a_fixed_number_of_statements(filled: Meters) -> None:
    def cost(function: Any, *args: Any, **options: Any) -> int:
        with filled.counted() as seen:
            read(filled, function, ADMIN, *args, **options)
        return len([one for one in seen if not one.startswith(("BEGIN", "PRAGMA"))])

    assert cost(event_lists.list_events, (), 100) == 1
    assert cost(event_lists.list_event_types) == 1
    assert cost(samples.list_samples, (), 100) == 1
    assert cost(samples.list_samples, (), 100, meter="volume") == 1
    assert cost(statistics.list_statistics, "volume.size", (), period=60) == 2
    assert cost(resources.list_resources, (), 100) == 3
    assert cost(resources.list_meters, (), 100) == 1


@pytest.mark.fast
def test_payloads_become_flat_texts() -> None:
    payload = {"a": None, "b": 1, "c": {"d": True}, "e": [{"f": "g"}, 2], "h": "i"}
    assert flat(payload) == {"b": "1", "c.d": "true", "e[0].f": "g", "e[1]": "2", "h": "i"}
