"""
The configuration reference, docs/configuration.md, made from the tables of keys:

    python -m kbroker.config.reference > docs/configuration.md

scripts/fix does it; a test holds the page to the tables.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping

from kbroker.config.client_metrics_keys import CLIENT_METRICS_KEYS
from kbroker.config.group_keys import GROUP_CONFIG_KEYS
from kbroker.config.key import MAX_INT, MAX_LONG, Key, Update, ValueType, text_of
from kbroker.config.keys import BROKER_SECTIONS, RUNNING_KEYS
from kbroker.config.topic_keys import TOPIC_KEYS

_INTRODUCTION = """\
# Configuration reference

<!-- Made by kbroker.config.reference from the tables of keys: change those, and run scripts/fix. -->

`kbroker start server.properties` reads a file of Apache Kafka's form; `--override key=value`, given as often as
needed, wins over it. Without a file, everything has its default. A value that cannot be used ends the start with one
line that names key, value, file and line. A key that nobody knows is a warning with the nearest known one, and a key
that does nothing here is a warning with the reason, unless it is set to its default.

What a broker has in force, and where each value comes from, any Kafka client can ask (DescribeConfigs), for example:

    kafka-configs.sh --bootstrap-server localhost:9092 --describe --all --entity-type brokers --entity-name 0

## Changes while the broker runs

Keys marked *per broker* or *cluster* can be set while the broker runs, as in Kafka (KIP-226): with `kafka-configs.sh
--alter`, or with the admin client of any library. They hold at once, in all workers, and after a restart. *Per broker*
keys are set on one broker; *cluster* keys on one, or for all (`--entity-default`). This broker's wins over what is set
for all, which wins over the file, which wins over the default. Topics inherit what they do not set themselves.

    kafka-configs.sh --bootstrap-server localhost:9092 --alter --entity-type brokers --entity-default \\
        --add-config log.retention.ms=86400000

The levels of kbroker's loggers change in the same way (`--entity-type broker-loggers`), in all workers, until the
broker ends.
"""

_ELSEWHERE = "The keys that do nothing in this version stand [at the end](#keys-without-effect), with the reason."

_UPDATES: Mapping[Update, str] = {
    Update.READ_ONLY: "",
    Update.PER_BROKER: "per broker",
    Update.CLUSTER_WIDE: "cluster",
}


def reference() -> str:
    """Return the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _INTRODUCTION
    yield "## Keys of a broker"
    yield ""
    yield _ELSEWHERE
    for title, keys in BROKER_SECTIONS.items():
        used = [key for key in keys if not key.no_effect and not key.refused]
        if used:
            yield ""
            yield f"### {title}"
            yield ""
            yield from _table(used, changes=True)
    yield ""
    yield "## Keys of a topic"
    yield ""
    yield "Given with `kbroker topics --create --config`, or altered later. A topic that does not set a key has the"
    yield "broker's value of the key it inherits."
    yield ""
    yield from _table([key for key in TOPIC_KEYS.values() if not key.no_effect], changes=False)
    yield ""
    yield "## Keys without effect"
    yield ""
    yield "These are Kafka's, too: they are accepted, so that files and tools which set them work, kept where they are"
    yield "set while the broker runs, and told to clients. Setting one to anything but its default is worth a warning."
    for reason, idle in sorted(_by_reason().items(), key=lambda entry: (-len(entry[1]), entry[0])):
        yield ""
        yield f"### {reason[0].upper()}{reason[1:]}"
        yield ""
        yield "| key | default | what it is in Kafka |"
        yield "|---|---|---|"
        for name, key in sorted(idle.items()):
            yield f"| {_code(name)} | {_default(key)} | {_cell(key.doc)} |"
    yield ""
    yield "## Keys that are refused"
    yield ""
    yield "A broker whose file sets one of these does not start."
    yield ""
    yield "| key | why |"
    yield "|---|---|"
    for key in _broker_keys():
        if key.refused:
            yield f"| {_code(key.name)} | {_cell(key.refused)} |"


def _broker_keys() -> Iterator[Key]:
    for keys in BROKER_SECTIONS.values():
        yield from keys


def _by_reason() -> dict[str, dict[str, Key]]:
    """Return the keys without effect by reason, each once, though it may be a broker's and a topic's."""
    found: dict[str, dict[str, Key]] = {}
    kinds: Iterable[tuple[str, Iterable[Key]]] = (
        ("", _broker_keys()),
        ("", RUNNING_KEYS.values()),
        ("topic: ", TOPIC_KEYS.values()),
        ("group: ", GROUP_CONFIG_KEYS.values()),
        ("subscription: ", CLIENT_METRICS_KEYS.values()),
    )
    for kind, keys in kinds:
        for key in keys:
            if key.no_effect:
                found.setdefault(key.no_effect, {}).setdefault(kind + key.name, key)
    return found


def _table(keys: Iterable[Key], *, changes: bool) -> Iterator[str]:
    yield f"| key | type | default | values | {'changes' if changes else 'inherits'} | meaning |"
    yield "|---|---|---|---|---|---|"
    for key in sorted(keys, key=lambda key: key.name):
        last = _changes(key) if changes else ", ".join(map(_code, list(key.synonyms)[:1]))
        type_name = key.type.name.lower()
        yield f"| {_code(key.name)} | {type_name} | {_default(key)} | {_values(key)} | {last} | {_cell(key.doc)} |"


def _changes(key: Key) -> str:
    return f"no: {_cell(key.fixed)}" if key.fixed else _UPDATES[key.update]


def _default(key: Key) -> str:
    default = text_of(key.default)
    shown = _code(default) if default else "" if default is None else "(empty)"
    if key.kafka_default is None:
        return shown
    return f"{shown or 'unset'} (Kafka: {_code(key.kafka_default) if key.kafka_default else 'empty'})"


def _values(key: Key) -> str:
    """Return what may be given, in as few words as it takes."""
    if key.choices:
        return ", ".join(map(_code, key.choices))
    if key.form[1]:
        return _cell(key.form[1])
    if key.type not in {ValueType.INT, ValueType.SHORT, ValueType.LONG, ValueType.DOUBLE}:
        return ""
    low, high = key.minimum, key.maximum
    largest: float = {ValueType.INT: MAX_INT, ValueType.LONG: MAX_LONG}.get(key.type, math.inf)
    if low is not None and high is not None and high < largest:
        return f"{low} to {high}"
    return "" if low is None else f"{low} or more"


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _cell(text: str) -> str:
    """Return a text for a cell of a table, in which names that look like mark-up stay what they are."""
    for character in "\\|*_<>[]$":
        text = text.replace(character, "\\" + character)
    return text


if __name__ == "__main__":
    sys.stdout.write(reference())
