"""
Field tables: a message is a class whose body lists its fields, with the versions that carry them.

    class ProduceRequest(Message, api_key=0, versions=(0, 13), flexible=9):
        transactional_id: str | None = string(since=3, nullable_since=3, default=None)
        acks: int = int16()
        topic_data: list[TopicProduceData] = array(TopicProduceData)

The order of the table is the order on the wire. A class without `versions` is a part of others and takes their
version. From version `flexible` on, lengths are compact and each struct ends in a tagged section.

Nothing is compiled when the class is made (a broker has some hundred tables); the constructor is compiled when the
first message is built, the codec of a version when it is first used, see code_generator. A server that must not stall
later calls `Class.prepare(version)` before it forks.

Choices a user of messages should know:

- All arguments of the constructor are keywords and optional: a field not named has Kafka's default, else 0, "" or an
  empty list. So do fields that the decoded version does not carry.
- A value for a field that the encoded version does not carry is dropped without complaint. Handlers fill in everything
  they know and need not look at the version; where dropping would change the meaning, the handler has to.
- A struct in a tagged field is None when it was not sent, and is sent unless it is None.
- `bytes` and `records` fields decode to memoryviews into the buffer; whoever keeps one longer copies it.
"""

from __future__ import annotations

from struct import error as struct_error
from typing import Any, ClassVar, Protocol, Self, TypeVar, dataclass_transform

from kbroker.errors import KafkaError, MalformedMessage
from kbroker.protocol.code_generator import compile_constructor, compile_decoder, compile_encoder, locate
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.field import EMPTY_LIST, LATEST, NEVER, NEW_STRUCT, Field, Tabled
from kbroker.types import ZERO_UUID, Buffer


class SizedPayload(Protocol):
    """Bytes that are somewhere else, for example a slice of a file: encode_parts passes it on as it is."""

    @property
    def size_bytes(self) -> int:
        """Return how many bytes will stand in its place on the wire."""


Payload = Buffer | SizedPayload
"""What a records field may hold when it is encoded."""


def _fixed(kind: str) -> Any:
    zero: Any = {"boolean": False, "float64": 0.0, "uuid": ZERO_UUID}.get(kind, 0)

    def field(
        *, since: int = 0, until: int = LATEST, default: Any = zero, tag: int = -1, tagged_since: int | None = None
    ) -> Any:
        return Field(kind, since, until, NEVER, default, tag, since if tagged_since is None else tagged_since)

    return field


# The arguments, all keywords: since and until, the versions that carry the field (both included); default; tag and
# tagged_since, for a field of the tagged section. Those below also take nullable_since, first version that allows None.
boolean = _fixed("boolean")
int8 = _fixed("int8")
int16 = _fixed("int16")
uint16 = _fixed("uint16")
int32 = _fixed("int32")
uint32 = _fixed("uint32")
int64 = _fixed("int64")
float64 = _fixed("float64")
uuid = _fixed("uuid")
"""16 bytes; all zero by default."""


def _sized(kind: str, empty: Any) -> Any:
    def field(
        *,
        since: int = 0,
        until: int = LATEST,
        nullable_since: int = NEVER,
        default: Any = empty,
        tag: int = -1,
        tagged_since: int | None = None,
    ) -> Any:
        return Field(kind, since, until, nullable_since, default, tag, since if tagged_since is None else tagged_since)

    return field


string = _sized("string", "")
bytes_ = _sized("bytes", b"")
records = _sized("bytes", None)
"""A run of record batches; None where the wire says null or nothing was set."""


def array(
    element: Any,
    *,
    since: int = 0,
    until: int = LATEST,
    nullable_since: int = NEVER,
    default: Any = EMPTY_LIST,
    tag: int = -1,
    tagged_since: int | None = None,
) -> Any:
    """Return a field that is a list; `element` is a struct class or a field such as int32()."""
    return Field(
        "array", since, until, nullable_since, default, tag, since if tagged_since is None else tagged_since, element
    )


def struct(
    element: type[Message],
    *,
    since: int = 0,
    until: int = LATEST,
    nullable_since: int = NEVER,
    tag: int = -1,
    tagged_since: int | None = None,
) -> Any:
    """Return a field that is one struct; by default None when it is tagged or may be null, else one of defaults."""
    default = None if tag >= 0 or nullable_since != NEVER else NEW_STRUCT
    return Field(
        "struct", since, until, nullable_since, default, tag, since if tagged_since is None else tagged_since, element
    )


@dataclass_transform(kw_only_default=True, eq_default=True)
class MessageType(type):
    """Makes a message class from its table: takes the fields out of the body and gives the instances slots."""

    def __new__(
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        api_key: int | None = None,
        versions: tuple[int, int] | None = None,
        flexible: int = NEVER,
    ) -> MessageType:
        """Make the class; costs some 20 microseconds, compiles nothing."""
        fields = {key: value for key, value in namespace.items() if type(value) is Field}
        for key, field in fields.items():
            field.name = key
            del namespace[key]
        namespace.setdefault("__slots__", tuple(fields))
        namespace["FIELDS"] = tuple(fields.values())
        namespace["API_KEY"] = api_key
        namespace["VERSIONS"] = versions
        namespace["FLEXIBLE_SINCE"] = flexible
        namespace["_decoders"] = {}
        namespace["_foreign_decoders"] = {}
        namespace["_encoders"] = {}
        return super().__new__(cls, name, bases, namespace)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **_options: Any) -> None:
        super().__init__(name, bases, namespace)


MessageT = TypeVar("MessageT", bound="Message")


class Message(Tabled, metaclass=MessageType):
    """
    A message or a part of one. See the module for what its table means.

    API_KEY         Kafka's number of the API; None for parts and for what travels inside records
    VERSIONS        lowest and highest version; None for parts
    FLEXIBLE_SINCE  first flexible version, or NEVER
    FIELDS          the table
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]

    API_KEY: ClassVar[int | None]
    VERSIONS: ClassVar[tuple[int, int] | None]
    _decoders: ClassVar[dict[int, Any]]
    _foreign_decoders: ClassVar[dict[int, Any]]
    _encoders: ClassVar[dict[int, Any]]

    def __init__(self, **values: Any) -> None:
        cls = type(self)
        constructor = compile_constructor(cls)
        cls.__init__ = constructor  # type: ignore[method-assign]
        constructor(self, **values)

    @classmethod
    def prepare(cls, version: int) -> None:
        """Compile all that `version` needs now, so that no request has to wait for it: about a millisecond."""
        if version not in cls._decoders:
            cls._compile(version)
        cls._compile_constructors()

    @classmethod
    def _compile_constructors(cls) -> None:
        if cls.__init__ is Message.__init__:
            cls.__init__ = compile_constructor(cls)  # type: ignore[method-assign]
        for field in cls.FIELDS:
            if isinstance(field.element, type) and issubclass(field.element, Message):
                field.element._compile_constructors()

    @classmethod
    def _compile(cls, version: int) -> None:
        if cls.VERSIONS is None:
            raise TypeError(f"{cls.__name__} is a part of messages and has no versions of its own")
        lowest, highest = cls.VERSIONS
        if not lowest <= version <= highest:
            raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, f"{cls.__name__} has no version {version}")
        cls._encoders[version] = compile_encoder(cls, version)
        cls._decoders[version] = compile_decoder(cls, version)

    @classmethod
    def decode(cls, buffer: Buffer, version: int, position: int = 0) -> tuple[Self, int]:
        """
        Return the message at `position` and the position after it.

        buffer    ends where the message's frame ends; `bytes` and `records` fields will point into it

        Strings that are no UTF-8 are read as Kafka reads them, with U+FFFD for what is none; that takes a second look.

        Raises MalformedMessage, with the field and the place, for whatever is no such message; KafkaError
        (UNSUPPORTED_VERSION) for a version that the table does not have.
        """
        decoder = cls._decoders.get(version)
        if decoder is None:
            cls._compile(version)
            decoder = cls._decoders[version]
        try:
            return decoder(  # type: ignore[no-any-return]
                buffer if type(buffer) is memoryview else memoryview(buffer), position
            )
        except UnicodeDecodeError:
            return cls._decode_foreign(buffer, version, position)
        except (struct_error, IndexError, ValueError) as error:
            raise _malformed(cls, version, error) from None

    @classmethod
    def _decode_foreign(cls, buffer: Buffer, version: int, position: int) -> tuple[Self, int]:
        decoder = cls._foreign_decoders.get(version)
        if decoder is None:
            decoder = cls._foreign_decoders[version] = compile_decoder(cls, version, foreign_bytes=True)
        try:
            return decoder(memoryview(buffer), position)  # type: ignore[no-any-return]
        except (struct_error, IndexError, ValueError) as error:
            raise _malformed(cls, version, error) from None

    def encode(self, version: int) -> bytes:
        """
        Return the message as it stands on the wire in `version`.

        Raises ValueError, with the field's name, for a value the field cannot hold; KafkaError (UNSUPPORTED_VERSION).
        """
        return b"".join(self._encoded_pieces(version))

    def encode_parts(self, version: int) -> list[Payload]:
        """
        Return the message in pieces, to be sent one after the other.

        Contents of `bytes` and `records` fields are pieces of their own when they are large or lie elsewhere, and are
        not copied; small ones are copied into their neighbours, which costs less than a piece.
        """
        parts: list[Payload] = []
        small: list[Buffer] = []
        for piece in self._encoded_pieces(version):
            if isinstance(piece, (bytes, bytearray, memoryview)) and len(piece) < _OWN_PART_BYTES:
                small.append(piece)
            else:
                if small:
                    parts.append(b"".join(small))
                    small = []
                parts.append(piece)
        if small:
            parts.append(b"".join(small))
        return parts

    def _encoded_pieces(self, version: int) -> list[Any]:
        encoder = self._encoders.get(version)
        if encoder is None:
            self._compile(version)
            encoder = self._encoders[version]
        pieces: list[Any] = []
        try:
            encoder(self, pieces.append)
        except (struct_error, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise _not_encodable(type(self), version, error) from error
        return pieces

    def __eq__(self, other: object) -> bool:
        """Compare class and all fields."""
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, field.name) == getattr(other, field.name) for field in self.FIELDS)

    def __repr__(self) -> str:
        values = (f"{field.name}={_short(getattr(self, field.name))}" for field in self.FIELDS)
        return f"{type(self).__name__}({', '.join(values)})"


_OWN_PART_BYTES = 4096


def _short(value: object) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value) > 64:
        return f"<{len(value)} bytes>"
    return repr(bytes(value)) if isinstance(value, memoryview) else repr(value)


def _malformed(cls: type[Message], version: int, error: Exception) -> MalformedMessage:
    field, position = locate(error)
    if isinstance(error, (struct_error, IndexError)):
        reason = "is cut off"
    else:
        reason = str(error)
    return MalformedMessage(f"{cls.__name__} version {version}: {field} at byte {position} {reason}")


def _not_encodable(cls: type[Message], version: int, error: Exception) -> ValueError:
    field, _ = locate(error)
    return ValueError(f"{cls.__name__} version {version}: {field} cannot be encoded: {error}")
