"""
The tools' own connection to one broker: requests from kbroker's message tables, answered one after the other.

Everything has a deadline, and whatever is at the other end of the address (nothing, silence, TLS, HTTP, a broker that
ends) is told in words. A client library would go on trying in silence, and it ends the process on bytes in a group's
members that it does not understand.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from kbroker.cli.command_error import CommandError
from kbroker.cli.sasl import Exchange, exchange_of
from kbroker.errors import MalformedMessage
from kbroker.protocol.api_keys import ApiKey
from kbroker.protocol.error_codes import ErrorCode
from kbroker.protocol.headers import decode_response_header, encode_request_header
from kbroker.protocol.messages.api_versions import ApiVersionsRequest
from kbroker.protocol.messages.registry import response_class

if TYPE_CHECKING:
    import ssl

    from kbroker.protocol.schema import Message

CONNECT_TIMEOUT_S = 5.0
"""For the way to the broker and its first answer: who has not said a word by then is not a broker."""

_MAX_ANSWER_BYTES = 100 << 20
_CLIENT_ID = "kbroker"
_TLS_ALERT = b"\x15\x03"
_TLS_HINT = "speaks TLS, say so: security.protocol=SSL in the file of --command-config"


@dataclass(frozen=True, slots=True)
class Security:
    """
    How the broker wants to be spoken to: the client library's settings of that name.

    protocol  PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
    settings  those of the library that begin with "ssl." or "sasl."
    """

    protocol: str = "PLAINTEXT"
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_settings(cls, settings: Mapping[str, str]) -> Security:
        """Return what a client's settings say; raises CommandError for a protocol that does not exist."""
        protocol = settings.get("security.protocol", "PLAINTEXT").strip().upper()
        if protocol not in {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}:
            raise CommandError(f"security.protocol={protocol}: expected PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
        chosen = {name: value for name, value in settings.items() if name.startswith(("ssl.", "sasl.", "enable.ssl."))}
        return cls(protocol, chosen)

    def of_transport(self) -> Security:
        """Return the same without SASL: enough to be greeted by a broker."""
        return Security(self.protocol.removeprefix("SASL_"), self.settings)

    @property
    def encrypted(self) -> bool:
        """Return whether TLS is spoken."""
        return self.protocol.endswith("SSL")

    def exchange(self) -> Exchange | None:
        """Return the SASL exchange to go through, None without SASL; raises CommandError for one we lack."""
        if not self.protocol.startswith("SASL"):
            return None
        mechanism = self.settings.get("sasl.mechanism") or self.settings.get("sasl.mechanisms") or "GSSAPI"
        try:
            return exchange_of(
                mechanism, self.settings.get("sasl.username", ""), self.settings.get("sasl.password", "")
            )
        except KeyError:
            raise CommandError(f"sasl.mechanism={mechanism} is not one that this command speaks") from None

    def context(self) -> ssl.SSLContext:
        """Return TLS as the settings describe it; raises CommandError for files that cannot be used."""
        import ssl  # noqa: PLC0415 - most brokers of these tools speak plain text

        settings = self.settings
        try:
            context = ssl.create_default_context(cafile=settings.get("ssl.ca.location"))
            if settings.get("ssl.certificate.location"):
                context.load_cert_chain(
                    settings["ssl.certificate.location"],
                    settings.get("ssl.key.location"),
                    settings.get("ssl.key.password"),
                )
        except OSError as error:
            raise CommandError(f"cannot use the TLS settings (ssl.*): {error}") from None
        if settings.get("ssl.endpoint.identification.algorithm", "https").lower() in {"none", ""}:
            context.check_hostname = False
        if settings.get("enable.ssl.certificate.verification", "true").lower() == "false":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class Unreachable(CommandError):
    """An address where no broker answers; the message is the reason, without the address."""


class BrokerConnection:
    """
    A connection that has been greeted: which versions the broker speaks is known, and who we are has been told.

    address  host:port, as it was asked for
    """

    def __init__(self, address: str, stream: socket.socket) -> None:
        self.address = address
        self._socket = stream
        self._versions: dict[int, tuple[int, int]] = {}
        self._correlation_id = 0

    @classmethod
    def open(cls, host: str, port: int, security: Security) -> Self:
        """
        Return a connection to the broker at an address.

        Raises Unreachable with the reason when none answers there within CONNECT_TIMEOUT_S.
        """
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        stream = _connect(host, port, deadline_s)
        connection = cls(f"{host}:{port}", stream)
        try:
            if security.encrypted:
                connection._socket = _with_tls(stream, host, security)
            connection._greet(deadline_s, security.encrypted)
            exchange = security.exchange()
            if exchange is not None:
                connection._authenticate(exchange, deadline_s)
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def speaks(self, api_key: int) -> bool:
        """Return whether the broker serves an API."""
        return api_key in self._versions

    def call(self, request: Message, timeout_s: float, *, highest: int | None = None) -> Any:
        """
        Return the broker's answer to a request, in the highest version that both speak.

        highest  version at most, for requests whose later versions ask in another way

        Raises CommandError when the broker lacks the API, answers nonsense, ends the connection or takes too long.
        """
        key = _key(request)
        ours = type(request).VERSIONS
        theirs = self._versions.get(key)
        name = ApiKey(key).name
        if ours is None or theirs is None:
            raise CommandError(f"the broker at {self.address} does not serve {name}")
        version = min(ours[1], theirs[1], ours[1] if highest is None else highest)
        if version < max(ours[0], theirs[0]):
            raise CommandError(f"the broker at {self.address} and this command share no version of {name}")
        try:
            return self._exchange(request, version, time.monotonic() + timeout_s)
        except Unreachable as error:
            raise CommandError(f"the broker at {self.address} {error}") from None

    def _greet(self, deadline_s: float, encrypted: bool) -> None:
        """Ask which versions the broker speaks; the plainest request there is, and allowed before SASL."""
        try:
            answer = self._exchange(ApiVersionsRequest(), 0, deadline_s)
        except _NotKafka as error:
            raise Unreachable(_explain(error.first_bytes)) from None
        except _Closed:
            hint = "" if encrypted else f"; if it {_TLS_HINT}"
            raise Unreachable(f"ended the connection instead of answering{hint}") from None
        if answer.error_code:
            raise Unreachable(f"refused to talk: {error_text(answer.error_code)}")
        self._versions = {one.api_key: (one.min_version, one.max_version) for one in answer.api_keys}

    def _authenticate(self, exchange: Exchange, deadline_s: float) -> None:
        from kbroker.protocol.messages.sasl_authenticate import SaslAuthenticateRequest  # noqa: PLC0415 - rare
        from kbroker.protocol.messages.sasl_handshake import SaslHandshakeRequest  # noqa: PLC0415

        try:
            answer = self._exchange(SaslHandshakeRequest(mechanism=exchange.mechanism), 1, deadline_s)
            if answer.error_code:
                raise Unreachable(f"takes no SASL {exchange.mechanism}, only {', '.join(answer.mechanisms)}")
            said = b""
            while (text := exchange.answer(said)) is not None:
                answer = self._exchange(SaslAuthenticateRequest(auth_bytes=text), 1, deadline_s)
                if answer.error_code:
                    raise Unreachable(f"refused us: {answer.error_message or error_text(answer.error_code)}")
                said = bytes(answer.auth_bytes)
        except ValueError as error:
            raise Unreachable(f"does not prove that it knows us: {error}") from None

    def _exchange(self, request: Message, version: int, deadline_s: float) -> Any:
        key = _key(request)
        self._correlation_id += 1
        try:
            body = encode_request_header(key, version, self._correlation_id, _CLIENT_ID) + request.encode(version)
        except ValueError as error:
            raise CommandError(f"cannot be sent: {error.__cause__ or error}") from None
        try:
            self._socket.settimeout(_left(deadline_s))
            self._socket.sendall(struct.pack(">i", len(body)) + body)
            head = self._receive(4, deadline_s)
            size = int.from_bytes(head, "big", signed=True)
            if not 4 <= size <= _MAX_ANSWER_BYTES:
                raise _NotKafka(head)
            answer = self._receive(size, deadline_s)
        except TimeoutError:
            raise Unreachable("takes connections but does not answer") from None
        except ConnectionError:
            raise _Closed from None
        except OSError as error:
            raise Unreachable(f"cannot be read from: {_reason(error)}") from None
        try:
            correlation_id, position = decode_response_header(answer, 0, key, version)
            if correlation_id != self._correlation_id:
                raise _NotKafka(head + answer[:8])
            return response_class(key).decode(answer, version, position)[0]
        except MalformedMessage as error:
            raise Unreachable(f"gave an answer that cannot be read: {error}") from None

    def _receive(self, size: int, deadline_s: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._socket.settimeout(_left(deadline_s))
            part = self._socket.recv(min(size - len(data), 1 << 20))
            if not part:
                raise ConnectionResetError
            data += part
        return bytes(data)


class _NotKafka(Unreachable):
    """What came cannot be a broker's answer."""

    def __init__(self, first_bytes: bytes) -> None:
        super().__init__("does not speak Kafka's protocol")
        self.first_bytes = first_bytes


class _Closed(Unreachable):
    """The other side ended the connection."""

    def __init__(self) -> None:
        super().__init__("ended the connection")


def _key(request: Message) -> int:
    key = type(request).API_KEY
    if key is None:
        raise TypeError(f"{type(request).__name__} is no request")
    return key


def _explain(first_bytes: bytes) -> str:
    if first_bytes.startswith(_TLS_ALERT):
        return _TLS_HINT
    if first_bytes.startswith(b"HTTP"):
        return "speaks HTTP, not Kafka's protocol"
    return "does not speak Kafka's protocol"


def _left(deadline_s: float) -> float:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _connect(host: str, port: int, deadline_s: float) -> socket.socket:
    """Return a socket connected to one of the addresses of a host; the deadline is for all of them."""
    problem = "the name has no address"
    for family, kind, protocol, _, place in _addresses(host, port, deadline_s):
        try:
            stream = socket.socket(family, kind, protocol)
        except OSError as error:
            problem = _reason(error)
            continue
        try:
            stream.settimeout(_left(deadline_s))
            stream.connect(place)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            stream.close()
            problem = _reason(error)
        else:
            return stream
    raise Unreachable(problem)


def _addresses(host: str, port: int, deadline_s: float) -> list[Any]:
    """Return what a name resolves to. Resolvers know no deadline, so it is asked in a thread that is left behind."""
    found: list[Any] = []

    def resolve() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(max(0.0, deadline_s - time.monotonic()))
    if not found:
        raise Unreachable(f"the name cannot be resolved in {CONNECT_TIMEOUT_S:g} s")
    if isinstance(found[0], UnicodeError):
        raise Unreachable("is no name of a host")
    if isinstance(found[0], OSError):
        raise Unreachable(_reason(found[0]))
    addresses: list[Any] = found[0]
    return addresses


def _with_tls(stream: socket.socket, host: str, security: Security) -> socket.socket:
    import ssl  # noqa: PLC0415 - as above

    try:
        return security.context().wrap_socket(stream, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"has a certificate that is not trusted: {error.verify_message} (ssl.ca.location)") from None
    except TimeoutError:
        raise Unreachable("takes connections but does not answer") from None
    except OSError as error:
        reason = getattr(error, "reason", None) or _reason(error)
        raise Unreachable(f"speaks no TLS that fits ours: {reason}. Is it a PLAINTEXT listener?") from None


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return f"no answer in {CONNECT_TIMEOUT_S:g} s"
    return (error.strerror or str(error)).lower()


def error_text(code: int, message: str | None = None) -> str:
    """Return the words for an error of the broker: its own, else those of the code."""
    if message:
        return message
    try:
        return ErrorCode(code).default_message
    except (KeyError, ValueError):
        return f"Kafka error {code}"
