"""Nodes of sources get ids that last, and join the configuration's in one fleet."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from healthd.endpoints import Trojan, fingerprint
from healthd.fleet.joining import join, nodes
from healthd.fleet.reading import Entry, Reading
from healthd.model import Node, Role
from tests.strategies import any_endpoint, texts


def endpoint(number):
    return Trojan(address=f"192.0.2.{number}", port=443, password="secret")


def entry(number, name="n"):
    return Entry(endpoint(number), name, f"line {number}")


def taken(*entries, prefix="panel-", role=Role.FAILOVER, tags=()):
    return nodes(Reading(entries), prefix=prefix, role=role, tags=tags)


def own(number, role=Role.FAILOVER, name="own"):
    place = endpoint(number)
    return Node(
        id=f"own-{number}", name=name, endpoint=place, fingerprint=fingerprint(place), role=role
    )


class TestNodes:
    def test_one(self):
        """Id, role and tags come from the source, the rest from the entry."""
        place = endpoint(1)

        assert taken(entry(1, "DE 1"), role=Role.PRIMARY, tags=["eu", "fast"]) == (
            Node(
                id=f"panel-{fingerprint(place)[:12]}",
                name="DE 1",
                endpoint=place,
                fingerprint=fingerprint(place),
                role=Role.PRIMARY,
                tags=frozenset({"eu", "fast"}),
            ),
        )

    @given(
        st.lists(any_endpoint, max_size=5, unique_by=fingerprint),
        st.randoms(use_true_random=False),
        st.lists(texts(), min_size=5, max_size=5),
        st.sampled_from(["", "p-", "x" * 40]),
    )
    def test_ids_last(self, endpoints, random, names, prefix):
        """Neither other names nor another order nor link parameters of no meaning change an id."""
        before = [Entry(each, "before", "line 1") for each in endpoints]
        after = [
            Entry(replace(each, extra=(("new", "1"),)), name, "line 9")
            for each, name in zip(endpoints, names, strict=False)
        ]
        random.shuffle(after)

        ids = [node.id for node in taken(*before, prefix=prefix)]
        assert sorted(ids) == sorted(node.id for node in taken(*after, prefix=prefix))
        assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", each) for each in ids)

    def test_without_a_name(self):
        """A node without a name is called by its place."""
        assert [node.name for node in taken(entry(1, ""), entry(2, ""))] == [
            "192.0.2.1 443",
            "192.0.2.2 443",
        ]


class TestJoining:
    def test_order(self):
        """Primaries first; then the configuration, then the sources in their order."""
        joined = join(
            [own(1), own(2, Role.PRIMARY)],
            {
                "b": taken(entry(5), entry(4)),
                "a": taken(entry(3), prefix="a-", role=Role.PRIMARY),
            },
        )

        assert [int(node.endpoint.address.rpartition(".")[2]) for node in joined.fleet] == [
            2,
            3,
            1,
            5,
            4,
        ]
        assert joined.duplicates == {"b": 0, "a": 0}

    def test_configured_nodes_win(self):
        """What the operator configured is not taken a second time from a source."""
        joined = join([own(1)], {"panel": taken(entry(1, "theirs"), entry(2))})

        assert [node.name for node in joined.fleet] == ["own", "n"]
        assert joined.duplicates == {"panel": 1}

    def test_first_source_wins(self):
        """Of two sources with the same node, the first one keeps it."""
        first, second = taken(entry(1, "first")), taken(entry(1, "second"), entry(2), prefix="s-")

        joined = join([], {"first": first, "second": second})

        assert [node.name for node in joined.fleet] == ["first", "n"]
        assert joined.duplicates == {"first": 0, "second": 1}

    def test_same_id(self):
        """An id is taken once, whatever is behind it."""
        (found,) = taken(entry(1))
        other = replace(own(2), id=found.id)

        joined = join([other], {"panel": [found]})

        assert (other,) == joined.fleet
        assert joined.duplicates == {"panel": 1}

    def test_twins_of_the_operator(self):
        """Two configured nodes may be the same: that is the operator's business."""
        twins = [own(1), replace(own(1), id="own-again")]

        assert tuple(twins) == join(twins, {}).fleet

    @given(st.lists(st.lists(st.integers(1, 9), unique=True, max_size=5), max_size=3))
    def test_all_nodes_once(self, sources):
        """Each node is in the fleet once, and whatever is not is counted."""
        by_source = {
            f"s{number}": taken(*map(entry, found), prefix=f"s{number}-")
            for number, found in enumerate(sources)
        }

        joined = join([own(1)], by_source)

        addresses = [node.endpoint.address for node in joined.fleet]
        assert len(addresses) == len(set(addresses))
        assert {endpoint(1).address} | {
            node.endpoint.address for found in by_source.values() for node in found
        } == set(addresses)
        assert len(addresses) + sum(joined.duplicates.values()) == 1 + sum(map(len, sources))
