"""The embedded store keeps ZooKeeper's semantics, and what it acknowledged, whatever happens to its process."""

from __future__ import annotations

import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kbroker.clock import ManualClock
from kbroker.cluster.embedded import EmbeddedStore
from kbroker.cluster.store import (
    BadVersion,
    Check,
    Create,
    Delete,
    EventKind,
    NoChildrenForEphemerals,
    NodeExists,
    NoNode,
    NotEmpty,
    SetData,
    StoreError,
    StoreUnavailable,
    WatchEvent,
)
from kbroker.errors import StartupError


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "metadata" / "store.sqlite")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(path, clock):
    store = EmbeddedStore(path, clock=clock)
    yield store
    store.close()


def readable(store):
    return bool(select.select([store.fileno()], [], [], 0)[0])


# ---- nodes


def test_a_node_is_created_read_set_and_deleted(store, clock):
    assert store.create("/a", b"1") == "/a"
    data, stat = store.get("/a")
    assert (data, stat.version, stat.cversion, stat.ephemeral_owner) == (b"1", 0, 0, 0)
    assert stat.czxid == stat.mzxid
    assert stat.ctime == stat.mtime == clock.wall_ms()
    clock.advance(5)
    after = store.set("/a", b"2", 0)
    assert (after.version, after.czxid, after.mzxid) == (1, stat.czxid, stat.mzxid + 1)
    assert (after.ctime, after.mtime) == (stat.ctime, clock.wall_ms())
    assert store.get("/a") == (b"2", after)
    assert store.exists("/a") == after
    store.delete("/a", 1)
    assert store.exists("/a") is None


def test_children_are_sorted_names(store):
    store.ensure("/a/b/c")
    store.create("/a/a")
    store.create("/a-x")
    assert store.children("/a") == ["a", "b"]
    assert store.children("/") == ["a", "a-x"]
    assert store.children("/a/a") == []
    assert store.exists("/a").cversion == 2


def test_many_nodes_are_read_at_once(store):
    store.create("/a", b"1")
    assert store.get_many(["/b", "/a"]) == [None, store.get("/a")]


def test_what_cannot_be_is_refused(store):
    store.ensure("/a/b")
    with pytest.raises(NodeExists, match="/a: the node exists already"):
        store.create("/a")
    with pytest.raises(NodeExists):
        store.create("/")
    with pytest.raises(NoNode, match="/x: no such node, so /x/y cannot be created"):
        store.create("/x/y")
    for call in (store.get, store.children, store.delete, lambda path: store.set(path, b"")):
        with pytest.raises(NoNode):
            call("/x")
    with pytest.raises(NotEmpty):
        store.delete("/a")
    with pytest.raises(BadVersion, match="version 3 expected, but it is 0"):
        store.set("/a", b"", 3)
    with pytest.raises(BadVersion):
        store.delete("/a/b", 1)


def test_what_is_no_path_is_refused(store):
    for path in ("", "a", "/a/", "//a", "/a//b", "/./a", "/a/..", "/a\0"):
        for call in (store.create, store.get, store.children, store.delete, store.exists, store.ensure):
            with pytest.raises(ValueError, match=r"a path starts with|is no name"):
                call(path)


def test_sequential_nodes_never_get_the_same_number(store):
    store.create("/q")
    first = store.create("/q/n-", sequential=True)
    store.delete(first)
    second = store.create("/q/n-", sequential=True)
    assert (first, second) == ("/q/n-0000000000", "/q/n-0000000002")


def test_ephemeral_nodes_have_no_children(store):
    store.create("/e", ephemeral=True)
    assert store.exists("/e").ephemeral_owner == store.session_id
    with pytest.raises(NoChildrenForEphemerals):
        store.create("/e/x")


def test_ephemeral_nodes_end_with_the_session(path, clock):
    store = EmbeddedStore(path, clock=clock)
    store.create("/e", ephemeral=True)
    store.create("/p")
    store.close()
    store.close()
    again = EmbeddedStore(path, clock=clock)
    assert again.children("/") == ["p"]
    again.close()
    with pytest.raises(StoreUnavailable):
        again.get("/p")


def test_transaction_numbers_grow_across_sessions(path, clock):
    store = EmbeddedStore(path, clock=clock)
    store.create("/a")
    before = store.exists("/a").czxid
    store.close()
    store = EmbeddedStore(path, clock=clock)
    store.create("/b")
    assert store.exists("/b").czxid > before
    store.close()


# ---- transactions


def test_a_transaction_does_all_in_order(store):
    results = store.commit(
        [
            Create("/a"),
            Create("/a/n-", sequential=True),
            SetData("/a", b"x", 0),
            Check("/a", 1),
            Create("/b"),
            Delete("/b"),
        ]
    )
    assert results[:2] == ["/a", "/a/n-0000000000"]
    assert results[2] == store.get("/a")[1]
    assert results[3:] == [None, "/b", None]
    assert store.exists("/a").czxid == store.exists("/a/n-0000000000").czxid


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (Check("/old", 9), BadVersion),
        (Check("/none"), NoNode),
        (Create("/old"), NodeExists),
        (SetData("/old", b"", 7), BadVersion),
        (Delete("/parent"), NotEmpty),
        (Create("/none/x"), NoNode),
        (Create("no path"), ValueError),
    ],
)
def test_a_transaction_that_fails_does_nothing(store, last, error):
    store.ensure("/parent/child")
    store.create("/old", b"1")
    fired = []
    store.watch_data("/new", fired.append, persistent=True)
    before = dump(store)
    with pytest.raises(error):
        store.commit([Create("/new"), SetData("/old", b"2"), Delete("/parent/child"), Create("/parent/x"), last])
    assert dump(store) == before
    assert store.deliver_events() == 0
    assert fired == []
    assert store.create("/next") == "/next"


# ---- watches


def test_a_watch_is_told_on_its_own_turn(store):
    events = []
    store.watch_data("/a", events.append, persistent=True)
    assert not readable(store)
    store.create("/a")
    store.set("/a", b"")
    store.delete("/a")
    assert events == []
    assert readable(store)
    assert store.deliver_events() == 3
    assert events == [WatchEvent(kind, "/a") for kind in (EventKind.CREATED, EventKind.CHANGED, EventKind.DELETED)]
    assert not readable(store)
    assert store.deliver_events() == 0


def test_a_one_shot_watch_fires_once(store):
    events = []
    store.watch_data("/a", events.append)
    store.create("/a")
    store.set("/a", b"")
    store.deliver_events()
    assert [event.kind for event in events] == [EventKind.CREATED]


def test_a_child_watch_sees_children_and_the_end_but_not_data(store):
    store.create("/a")
    events = []
    store.watch_children("/a", events.append, persistent=True)
    store.create("/a/b")
    store.set("/a/b", b"")
    store.set("/a", b"")
    store.delete("/a/b")
    store.delete("/a")
    store.deliver_events()
    assert events == [
        WatchEvent(EventKind.CHILDREN, "/a"),
        WatchEvent(EventKind.CHILDREN, "/a"),
        WatchEvent(EventKind.DELETED, "/a"),
    ]


def test_a_cancelled_watch_is_silent_even_for_what_waits(store):
    events = []
    watch = store.watch_data("/a", events.append, persistent=True)
    other = store.watch_data("/a", events.append, persistent=True)
    store.create("/a")
    watch.cancel()
    watch.cancel()
    assert store.deliver_events() == 1
    store.set("/a", b"")
    other.cancel()
    assert store.deliver_events() == 0


def test_what_a_callback_changes_is_told_the_next_time(store):
    events = []

    def again(event):
        events.append(event)
        store.set("/a", b"")

    store.watch_data("/a", again, persistent=True)
    store.create("/a")
    assert store.deliver_events() == 1
    assert readable(store)
    assert store.deliver_events() == 1


# ---- the file


def test_a_second_process_is_refused(store, path):
    with pytest.raises(StartupError, match=r"store\.sqlite: in use by another process"):
        EmbeddedStore(path, clock=ManualClock())


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to be taken for one" * 20, b"SQLite format 3\0" + bytes(4080)]
)
def test_a_file_that_is_no_store_is_explained(tmp_path, content):
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with pytest.raises(StartupError, match=r"store\.sqlite: .*move the file away"):
        EmbeddedStore(str(path), clock=ManualClock())


def test_a_foreign_database_is_left_alone(tmp_path):
    path = str(tmp_path / "store.sqlite")
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    with pytest.raises(StartupError, match="no metadata store of kbroker"):
        EmbeddedStore(path, clock=ManualClock())


def test_a_damaged_store_is_explained(path, clock):
    store = EmbeddedStore(path, clock=clock)
    for number in range(200):
        store.create(f"/node-{number}", b"x" * 500)
    store.close()
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(os.path.getsize(path) - 8192))
    with pytest.raises(StartupError, match=r"store\.sqlite.*move the file away"):
        EmbeddedStore(path, clock=clock)


def test_a_directory_in_the_way_is_explained(tmp_path):
    (tmp_path / "store.sqlite").mkdir()
    with pytest.raises(StartupError, match=r"store\.sqlite: the metadata store cannot be opened"):
        EmbeddedStore(str(tmp_path / "store.sqlite"), clock=ManualClock())


def test_a_full_disk_changes_nothing_and_may_pass(store):
    store.create("/a", b"1")
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    before = dump(store)
    with pytest.raises(StoreUnavailable, match="full"):
        store.commit([SetData("/a", b"2"), Create("/b", bytes(100_000))])
    assert dump(store) == before
    store._connection.execute("PRAGMA max_page_count = 1000000")
    store.create("/b", bytes(100_000))


WRITER = """
    import sys
    from kbroker.clock import ManualClock
    from kbroker.cluster.embedded import EmbeddedStore
    from kbroker.cluster.store import Create, SetData

    store = EmbeddedStore(sys.argv[1], clock=ManualClock())
    if store.exists("/left") is None:
        store.commit([Create("/left", b"0"), Create("/right", b"0")])
    number = int(store.get("/left")[0])
    store.create("/alive", ephemeral=True)
    print("open", flush=True)
    while True:
        number += 1
        text = str(number).encode()
        store.commit([SetData("/left", text), Create(f"/left/{number}"), SetData("/right", text)])
        print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_acknowledged(path, clock):
    chance = random.Random(1)
    acknowledged = 0
    for _ in range(12):
        # Not through a test fixture: the child must die with its writes under way.
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), path], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout.readline() == "open\n"
            for _ in range(chance.randrange(0, 40)):
                acknowledged = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *(int(line) for line in child.stdout if line.endswith("\n"))])
        store = EmbeddedStore(path, clock=clock)
        left, right = int(store.get("/left")[0]), int(store.get("/right")[0])
        assert left == right >= acknowledged
        assert len(store.children("/left")) == left
        assert store.exists("/left").version == left
        assert store.exists("/alive") is None
        store.close()


# ---- against a plain model


def dump(store, path="/"):
    """Return everything below a node."""
    found = {path: (*store.get(path),)}
    for name in store.children(path):
        found |= dump(store, f"{path.rstrip('/')}/{name}")
    return found


class Model:
    """ZooKeeper's rules over a dictionary: path → (data, version)."""

    def __init__(self):
        self.nodes = {"/": (b"", 0)}

    def apply(self, operation):
        path = operation.path
        parent = path.rsplit("/", 1)[0] or "/"
        children = [node for node in self.nodes if node != "/" and (node.rsplit("/", 1)[0] or "/") == path]
        if isinstance(operation, Create):
            if parent not in self.nodes:
                raise NoNode(parent)
            if path in self.nodes:
                raise NodeExists(path)
            self.nodes[path] = (operation.data, 0)
            return
        if path not in self.nodes:
            raise NoNode(path)
        _data, version = self.nodes[path]
        if operation.version not in (-1, version):
            raise BadVersion(path)
        if isinstance(operation, SetData):
            self.nodes[path] = (operation.data, version + 1)
        elif isinstance(operation, Delete):
            if children:
                raise NotEmpty(path)
            del self.nodes[path]

    def commit(self, operations):
        before = dict(self.nodes)
        try:
            for operation in operations:
                self.apply(operation)
        except StoreError as error:
            self.nodes = before
            return type(error)
        return None


paths = st.sampled_from(["/a", "/b", "/a/a", "/a/b", "/a/b/c"])
versions = st.sampled_from([-1, -1, 0, 1])
operations = (
    st.builds(Create, paths, st.binary(max_size=2))
    | st.builds(SetData, paths, st.binary(max_size=2), versions)
    | st.builds(Delete, paths, versions)
    | st.builds(Check, paths, versions)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(operations, min_size=1, max_size=4), max_size=15))
def test_any_sequence_of_transactions_gives_what_a_plain_model_says(tmp_path_factory, sequence):
    path = str(tmp_path_factory.mktemp("model") / "store.sqlite")
    model = Model()
    store = EmbeddedStore(path, clock=ManualClock())
    for number, transaction in enumerate(sequence):
        try:
            store.commit(transaction)
            outcome = None
        except StoreError as error:
            outcome = type(error)
        assert outcome is model.commit(transaction)
        if number % 5 == 4:
            store.close()
            store = EmbeddedStore(path, clock=ManualClock())
        assert {node: (data, stat.version) for node, (data, stat) in dump(store).items()} == model.nodes
    store.close()
