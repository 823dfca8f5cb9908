"""The table of keys is sound: each key is documented, its default is a value it would accept, its references exist."""

import pytest

from kbroker.config.client_keys import CLIENT_KEYS
from kbroker.config.key import Key, ValueType, text_of
from kbroker.config.keys import BROKER_KEYS, GROUP_KEYS
from kbroker.config.topic_keys import TOPIC_KEYS
from kbroker.errors import ConfigError

ALL_KEYS = [*BROKER_KEYS.values(), *TOPIC_KEYS.values()]


@pytest.mark.parametrize("key", ALL_KEYS, ids=lambda key: key.name)
def test_key_is_sound(key: Key) -> None:
    assert key.doc.endswith(".")
    assert key.doc[0].isupper()
    assert key.name == key.name.strip()
    assert not (key.no_effect and key.refused)
    if key.default is not None:
        assert key.parse(text_of(key.default) or "") == key.default
    for synonym in key.synonyms:
        assert synonym in BROKER_KEYS


def test_no_key_is_both_a_brokers_and_only_a_clients() -> None:
    """The warning about client keys would be wrong for it."""
    assert not CLIENT_KEYS & BROKER_KEYS.keys()


def test_every_default_kafka_users_rely_on() -> None:
    """A few defaults by number, so that a slip in the table is seen."""
    defaults = {
        "num.partitions": 1,
        "message.max.bytes": 1048588,
        "log.segment.bytes": 1073741824,
        "log.retention.hours": 168,
        "socket.request.max.bytes": 104857600,
        "offsets.topic.num.partitions": 50,
        "group.initial.rebalance.delay.ms": 0,
        "group.max.session.timeout.ms": 1800000,
        "offset.metadata.max.bytes": 4096,
        "fetch.max.bytes": 57671680,
        "connections.max.idle.ms": 600000,
        "auto.create.topics.enable": True,
        "delete.topic.enable": True,
    }
    assert {name: BROKER_KEYS[name].default for name in defaults} == defaults


def test_secrets_are_the_passwords() -> None:
    assert {key.name for key in ALL_KEYS if key.sensitive} >= {
        "ssl.keystore.password",
        "sasl.jaas.config",
        "password.encoder.secret",
    }


def test_the_coordinators_keys_are_honoured() -> None:
    assert GROUP_KEYS
    assert not any(key.no_effect for key in GROUP_KEYS)


@pytest.mark.parametrize(
    ("kind", "limits", "text", "message"),
    [
        pytest.param(ValueType.INT, {}, "abc", "a whole number", id="no number"),
        pytest.param(ValueType.INT, {}, "", "a whole number", id="empty"),
        pytest.param(ValueType.INT, {}, "2147483648", "2147483647", id="more than 32 bits"),
        pytest.param(ValueType.SHORT, {}, "32768", "32767", id="more than 16 bits"),
        pytest.param(ValueType.LONG, {}, "9223372036854775808", "a whole number", id="more than 64 bits"),
        pytest.param(ValueType.INT, {}, "1_000", "a whole number", id="Python's underscores"),
        pytest.param(ValueType.INT, {}, "٣", "a whole number", id="digits of other scripts"),
        pytest.param(ValueType.INT, {"minimum": 1}, "0", "from 1 to", id="below the range"),
        pytest.param(ValueType.INT, {"maximum": 9}, "10", "to 9", id="above the range"),
        pytest.param(ValueType.LONG, {"minimum": 0}, "-1", "at least 0", id="below, open above"),
        pytest.param(ValueType.LONG, {}, "24*7", "write 168", id="arithmetic: the product is told"),
        pytest.param(ValueType.LONG, {}, "10 * 1024 * 1024", "write 10485760", id="arithmetic with blanks"),
        pytest.param(ValueType.LONG, {}, "1 day", "units are not understood", id="a unit"),
        pytest.param(ValueType.INT, {}, "0   # the id", "line of its own", id="a comment behind a number"),
        pytest.param(ValueType.LIST, {}, "/data  # logs", "line of its own", id="a comment behind a path"),
        pytest.param(ValueType.BOOLEAN, {}, "yes", "true or false", id="no boolean"),
        pytest.param(ValueType.DOUBLE, {}, "half", "a number", id="no fraction"),
        pytest.param(ValueType.DOUBLE, {}, "nan", "a number", id="not a number"),
        pytest.param(ValueType.DOUBLE, {"minimum": 0, "maximum": 1}, "1.5", "from 0 to 1", id="fraction above"),
        pytest.param(ValueType.STRING, {"choices": ("a", "b")}, "c", "one of a, b", id="no choice"),
        pytest.param(ValueType.LIST, {"choices": ("a", "b")}, "a,c", "list of a, b", id="a choice of a list"),
        pytest.param(ValueType.LIST, {"form": ("[0-9]+", "numbers")}, "1,c", "expected numbers", id="form of a list"),
        pytest.param(ValueType.INT, {"form": ("-1|[1-9]", "1 to 9")}, "0", "expected 1 to 9", id="form of a number"),
    ],
)
def test_bad_values_say_what_is_expected(kind: ValueType, limits: dict, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Key("x", kind, None, "X.", **limits).parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (ValueType.INT, " +5 ", 5),
        (ValueType.LONG, "-1", -1),
        (ValueType.BOOLEAN, "TRUE", True),
        (ValueType.DOUBLE, "1e-3", 0.001),
        (ValueType.LIST, "a , b,c", ("a", "b", "c")),
        (ValueType.LIST, "a,a", ("a", "a")),
        (ValueType.LIST, "", ()),
        (ValueType.STRING, " a b ", "a b"),
        (ValueType.PASSWORD, "x #y", "x #y"),
    ],
)
def test_good_values(kind: ValueType, text: str, value: object) -> None:
    assert Key("x", kind, None, "X.").parse(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (True, "true"),
        (False, "false"),
        (("a", "b"), "a,b"),
        (7, "7"),
        (0.5, "0.5"),
        (1.7976931348623157e308, "1.7976931348623157E308"),
        (1e7, "1.0E7"),
    ],
)
def test_values_are_told_as_kafka_writes_them(value: object, text: str | None) -> None:
    assert text_of(value) == text
