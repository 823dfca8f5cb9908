"""
What is fuzzed: readers of bytes that somebody else has sent or written.

A target takes any bytes. It may succeed or raise MalformedMessage or KafkaError: those are the answers the broker is
made for. Anything else that comes out of it is a finding, and so is whatever a target asserts.
"""

from __future__ import annotations

import contextlib
import mmap
import random
import struct
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from fastcrc import crc32
from random_messages import random_message, versions_of

from kbroker.api.handler import Handler
from kbroker.api.request import ConnectionInfo, RequestContext
from kbroker.coordinator import records
from kbroker.coordinator.replay import Replay
from kbroker.errors import KafkaError, MalformedMessage
from kbroker.ipc.event_loop import READ
from kbroker.net import connection as connection_module
from kbroker.net.connection_set import RECEIVE_BLOCK_BYTES, ConnectionSet
from kbroker.protocol.api_keys import API_VERSIONS, ApiKey
from kbroker.protocol.compression import CompressionType, compress, decompress
from kbroker.protocol.headers import (
    decode_request_header,
    decode_response_header,
    encode_request_header,
    encode_response_header,
)
from kbroker.protocol.messages.consumer_protocol import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kbroker.protocol.messages.registry import request_class, response_class
from kbroker.protocol.produce_layout import read_produce_layout
from kbroker.protocol.record_batch import (
    HEADER_BYTES,
    BatchBuilder,
    check_batch,
    iterate_batch_headers,
    iterate_records,
    read_batch_header,
    validate_records,
)
from kbroker.protocol.schema import Message
from kbroker.shared.request_arena import PAGE_BYTES, RequestArena

EXPECTED = (MalformedMessage, KafkaError)
MAX_RECORDS_BYTES = 128 * 1024


class Target(NamedTuple):
    """
    A reader of bytes.

    seeds   returns valid inputs to start from
    run     reads one input
    weight  its share of a run over all targets
    """

    name: str
    seeds: Callable[[], list[bytes]]
    run: Callable[[bytes], None]
    weight: int


# --- requests and responses -------------------------------------------------------------------------------------------


def _batch(chance: random.Random, **options: Any) -> bytes:
    builder = BatchBuilder(compression=chance.randrange(5), **options)
    for index in range(chance.choice((1, 1, 3, 20))):
        key = None if chance.random() < 0.3 else chance.randbytes(chance.choice((0, 3, 40)))
        headers = [("name", b"value"), ("größer", None)] if chance.random() < 0.3 else []
        builder.append(key, chance.randbytes(chance.choice((0, 5, 100))), 1000 + index, headers)
    return builder.build()


def request_seeds() -> list[bytes]:
    """Return a frame, without its length, of each API in each version."""
    chance = random.Random(1)
    frames = []
    for key in API_VERSIONS:
        cls = request_class(key)
        for version in versions_of(cls):
            message = random_message(cls, version, chance)
            if key == ApiKey.PRODUCE:
                for topic in message.topic_data:
                    for partition in topic.partition_data:
                        partition.records = _batch(chance)
            frames.append(encode_request_header(key, version, 7, "client") + message.encode(version))
    return frames


def _same_bytes_again(message: Message, version: int) -> None:
    """Check that what was read can be written, and reads as the same again."""
    encoded = message.encode(version)
    again, end = type(message).decode(encoded, version)
    assert end == len(encoded), f"{type(message).__name__} v{version}: {end} of {len(encoded)} bytes are read back"
    assert again.encode(version) == encoded, f"{type(message).__name__} v{version} reads back as something else"


def run_request(data: bytes) -> None:
    """Read a request as a network worker does: header, then body; Produce also by the layout reader."""
    view = memoryview(data)
    header = decode_request_header(view)
    versions = API_VERSIONS.get(header.api_key)
    if versions is None or not versions.lowest <= header.api_version <= versions.highest:
        return
    version, position = header.api_version, header.body_position
    if header.api_key == ApiKey.PRODUCE:
        layout, refusal = None, None
        try:
            layout = read_produce_layout(view, version, position, len(data))
        except MalformedMessage as error:
            refusal = error
        try:
            message, _ = request_class(header.api_key).decode(view, version, position)
        except MalformedMessage:
            assert layout is None, f"only the layout reader takes Produce v{version}: {layout}"
            return
        assert refusal is None, f"only the layout reader refuses Produce v{version}: {refusal}"
    else:
        message, end = request_class(header.api_key).decode(view, version, position)
        assert end <= len(data)
    _same_bytes_again(message, version)


def response_seeds() -> list[bytes]:
    """Return [api key, version, response header, response] of each API in each version."""
    chance = random.Random(2)
    return [
        struct.pack(">hh", key, version)
        + encode_response_header(key, version, 7)
        + random_message(response_class(key), version, chance).encode(version)
        for key in API_VERSIONS
        for version in versions_of(response_class(key))
    ]


def run_response(data: bytes) -> None:
    """Read an answer, as a broker reads another broker's."""
    if len(data) < 4:
        return
    key, version = struct.unpack_from(">hh", data)
    versions = API_VERSIONS.get(key)
    if versions is None or not versions.lowest <= version <= versions.highest:
        return
    _, position = decode_response_header(memoryview(data), 4, key, version)
    message, end = response_class(key).decode(memoryview(data), version, position)
    assert end <= len(data)
    _same_bytes_again(message, version)


# --- record batches ---------------------------------------------------------------------------------------------------

_KEEP_CRC = 1
_KEEP_LENGTH = 2


def batch_seeds() -> list[bytes]:
    """Return [flags, api version] and a batch, of each codec and kind."""
    chance = random.Random(3)
    seeds = []
    for flags in (0, _KEEP_CRC, _KEEP_LENGTH, _KEEP_CRC | _KEEP_LENGTH):
        for _ in range(10):
            seeds.append(bytes((flags, 9)) + _batch(chance))
        seeds.append(bytes((flags, 9)) + _batch(chance, producer_id=5, producer_epoch=0, base_sequence=3))
        seeds.append(bytes((flags, 9)) + _batch(chance, is_transactional=True, producer_id=5, base_sequence=0))
        seeds.append(bytes((flags, 9)) + _batch(chance, base_offset=100) + _batch(chance, log_append_time=True))
    return seeds


def run_batch(data: bytes) -> None:
    """
    Check a produced batch as the network worker does, and read batches as the log and the coordinator do.

    Length and checksum are put right first unless a flag says not to: few inputs would get past them otherwise.
    """
    if len(data) < 2:
        return
    flags, version = data[0], data[1] % 14
    content = bytearray(data[2:])
    if len(content) >= HEADER_BYTES:
        if not flags & _KEEP_LENGTH:
            struct.pack_into(">i", content, 8, len(content) - 12)
            content[16] = 2
        if not flags & _KEEP_CRC:
            struct.pack_into(">I", content, 17, crc32.iscsi(bytes(content[21:])))
    view = memoryview(content).toreadonly()
    with contextlib.suppress(KafkaError):
        check_batch(view, 0, len(view), version, 1 << 20, 1 << 30, 2**62)
        header = read_batch_header(view, 0)
        validate_records(view, header, keys_required=bool(flags & 4), earliest_timestamp=0, max_bytes=MAX_RECORDS_BYTES)
    for header in iterate_batch_headers(view):
        assert header.size_bytes > 0
        with contextlib.suppress(KafkaError):
            for record in iterate_records(view, header, MAX_RECORDS_BYTES):
                assert record.value is None or len(record.value) <= MAX_RECORDS_BYTES


def compression_seeds() -> list[bytes]:
    """Return [codec] and something compressed by it."""
    contents = (b"", b"hello", bytes(100_000), random.Random(4).randbytes(5_000), b"abc" * 30_000)
    return [bytes((codec,)) + bytes(compress(codec, content)) for codec in CompressionType for content in contents]


def run_compression(data: bytes) -> None:
    """Decompress, within the bound."""
    if data:
        assert len(decompress(data[0] % 6, data[1:], MAX_RECORDS_BYTES)) <= MAX_RECORDS_BYTES


# --- coordinator ------------------------------------------------------------------------------------------------------


def _coordinator_messages() -> Iterable[bytes]:
    chance = random.Random(5)
    for kind, cls in enumerate(_COORDINATOR_CLASSES):
        for version in versions_of(cls):
            for _ in range(3):
                yield bytes((kind,)) + struct.pack(">h", version) + random_message(cls, version, chance).encode(version)


def coordinator_seeds() -> list[bytes]:
    """Return [kind] and a key, a value, a member's metadata, or a batch of a __consumer_offsets partition."""
    seeds = list(_coordinator_messages())
    batch = BatchBuilder()
    offset = records.OffsetCommitValue(offset=5, metadata="note", commit_timestamp=1000)
    batch.append(records.offset_key("group", "topic", 0), records.offset_value(offset), 1000)
    member = records.MemberMetadata(member_id="m", client_id="c", client_host="/h", session_timeout=6000)
    group = records.GroupMetadataValue(protocol_type="consumer", generation=1, protocol="range", members=[member])
    batch.append(records.group_key("group"), records.group_value(group), 1000)
    batch.append(records.group_key("gone"), None, 1000)
    return [*seeds, bytes((_REPLAY,)) + batch.build()]


_COORDINATOR_CLASSES: tuple[type[Message], ...] = (
    records.OffsetCommitKey,
    records.GroupMetadataKey,
    records.OffsetCommitValue,
    records.GroupMetadataValue,
    ConsumerProtocolSubscription,
    ConsumerProtocolAssignment,
)
_REPLAY = len(_COORDINATOR_CLASSES)


def run_coordinator(data: bytes) -> None:
    """Read what groups and their log are made of."""
    if not data:
        return
    kind, content = data[0] % (_REPLAY + 1), data[1:]
    if kind == _REPLAY:
        replay = Replay()
        replay.add(content)
        replay.groups(0)
    elif kind <= 1:
        records.read_key(content)
    elif kind == 2:
        records.read_offset_value(content)
    elif kind == 3:
        # The same in a log: what can be read must also become a group.
        batch = BatchBuilder()
        batch.append(records.group_key("group"), content, 1000)
        replay = Replay()
        replay.add(batch.build())
        replay.groups(0)
    elif len(content) >= 2:
        cls = _COORDINATOR_CLASSES[kind]
        cls.decode(content, struct.unpack_from(">h", content)[0], 2)


# --- frames -----------------------------------------------------------------------------------------------------------


class _Stream:
    """A socket whose bytes come in the pieces that the input says, and which takes what is sent."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def fileno(self) -> int:
        return 99

    def close(self) -> None:
        pass

    def send(self, data: bytes, _flags: int = 0) -> int:
        return len(data)

    def recv_into(self, view: memoryview) -> int:
        data, position = self._data, self._position
        if position >= len(data):
            return 0
        size = min(1 + data[position] ** 2, len(data) - position - 1, len(view))
        view[:size] = data[position + 1 : position + 1 + size]
        self._position = position + 1 + size
        if size == 0:
            raise BlockingIOError
        return size


class _Loop:
    """The loop of a worker, turned by hand."""

    now_ms = 0

    def __init__(self) -> None:
        self._hooks: list[Callable[[], None]] = []

    def at_turn_end(self, hook: Callable[[], None]) -> None:
        self._hooks.append(hook)

    def end_turn(self) -> None:
        for hook in self._hooks:
            hook()

    def add(self, _fd: int, _events: int, handler: Callable[[int], None]) -> None:
        self.handler = handler
        self.events = READ

    def modify(self, _fd: int, events: int) -> None:
        self.events = events

    def remove(self, _fd: int) -> None:
        self.events = 0


class _Handlers:
    """Handlers, some of which answer later, and the request channel that is full when eight wait."""

    def __init__(self) -> None:
        self.by_key = {
            int(key): Handler(versions.lowest, versions.highest, self._handle)
            for key, versions in API_VERSIONS.items()
            if key % 7 != 3
        }
        self._later: list[RequestContext] = []

    @property
    def in_flight(self) -> int:
        return len(self._later)

    appends_in_flight = in_flight

    def flush(self) -> None:
        """Do as the request channel does at the end of a turn: nothing here."""

    def answer(self) -> None:
        later, self._later = self._later, []
        for context in later:
            context.block.release()
            context.respond_parts([b"answer"])

    def _handle(self, context: RequestContext) -> None:
        assert 0 <= context.position <= context.end <= len(context.buffer)
        handler = self.by_key[context.api_key]
        # ApiVersions comes in whatever version the client knows.
        if handler.min_version <= context.api_version <= handler.max_version:
            context.decode(request_class(context.api_key))
        if context.api_key == ApiKey.PRODUCE or context.api_version & 1:
            context.block.retain()
            self._later.append(context)
        else:
            context.respond_parts([b"answer"])


class _StrictLog:
    """In place of the connection's logger: a warning is an answer, an exception is a finding."""

    def warning(self, _text: str, *_arguments: object) -> None:
        pass

    error = warning

    def exception(self, _text: str, *_arguments: object) -> None:
        raise  # noqa: PLE0704 - called while the exception is handled


_STRICT_LOG: Any = _StrictLog()
_INFO = ConnectionInfo("PLAINTEXT", "127.0.0.1", 9092, "/127.0.0.1")


class _AnonymousRegion:
    """Memory of an arena that no other process needs to see."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._mapping = mmap.mmap(-1, size_bytes)
        self.memory = memoryview(self._mapping)

    def discard(self, position: int, size_bytes: int) -> None:
        """Keep the pages."""


_REGION: Any = _AnonymousRegion(16 * PAGE_BYTES)


def connection_seeds() -> list[bytes]:
    """Return streams of frames, cut into pieces."""
    chance = random.Random(6)
    frames = [struct.pack(">i", len(frame)) + frame for frame in request_seeds()]
    seeds = []
    for _ in range(60):
        stream = b"".join(chance.choices(frames, k=chance.choice((1, 2, 5))))
        pieces = bytearray()
        while stream:
            root = chance.choice((0, 1, 3, 20, 255))
            pieces.append(root)
            pieces += stream[: 1 + root**2]
            stream = stream[1 + root**2 :]
        seeds.append(bytes(pieces))
    large = struct.pack(">ihhih", 150_000, 0, 3, 1, -1)
    seeds.append(b"\xff" + large + bytes(60_000) + b"\xff" + bytes(65_026) + b"\xff" + bytes(40_000))
    return seeds


def run_connection(data: bytes) -> None:
    """Feed a connection piece by piece; whatever came, its memory is the arena's again once it is closed."""
    arena = RequestArena(_REGION)
    all_bytes = arena.free_bytes
    loop: Any = _Loop()
    handlers: Any = _Handlers()
    stream: Any = _Stream(data)
    connections = ConnectionSet(
        loop,
        arena,
        handlers.by_key,
        handlers,
        max_request_bytes=200_000,
        max_in_flight=8,
        count_host=lambda _host, _change: None,
    )
    connections.open(stream, _INFO)
    log, connection_module.logger = connection_module.logger, _STRICT_LOG
    try:
        for turn in range(4 * len(data) + 8):
            if not len(connections):
                break
            if loop.events & READ:
                loop.handler(READ)
            if turn % 4 == 3:
                handlers.answer()
            loop.end_turn()
        assert not len(connections), "the connection does not read on"
        handlers.answer()
        loop.end_turn()
    finally:
        connection_module.logger = log
    # The set keeps the block that all connections receive into.
    lost = all_bytes - arena.free_bytes - RECEIVE_BLOCK_BYTES
    assert lost in {0, -RECEIVE_BLOCK_BYTES}, f"{lost} bytes of the arena are lost"


TARGETS = {
    target.name: target
    for target in (
        Target("requests", request_seeds, run_request, 40),
        Target("responses", response_seeds, run_response, 15),
        Target("batches", batch_seeds, run_batch, 20),
        Target("compression", compression_seeds, run_compression, 12),
        Target("coordinator", coordinator_seeds, run_coordinator, 10),
        Target("connection", connection_seeds, run_connection, 3),
    )
}
