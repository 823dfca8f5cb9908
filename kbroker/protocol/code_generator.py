"""
Turns a field table and a version into plain functions.

A decoder reads from local variables `b` (the buffer), `p` (the position) and `e` (the end); an encoder hands its pieces
to `w`. Nested structs are written out in place. Neighbouring fields of fixed size, and the length that follows them,
are one struct call (a "run"): that is where the speed comes from. The decoder of Heartbeat version 0 begins like this:

    def decode(b, p):
        e = len(b)
        v0 = new(HeartbeatRequest)
        v0.group_instance_id = None
        (n1,) = unpack_h(b, p)
        p += 2
        if n1 < 0: raise ValueError("may not be null")
        q = p + n1
        if q > e: raise IndexError
        v0.group_id = str(b[p:q], "utf-8")
        p = q
        v0.generation_id, n2 = unpack_ih(b, p)
        ...

Trust: each length and count is compared with the bytes left before anything is sliced, looped over or allocated. Where
a fixed run is cut off, struct raises; where a single byte is, the index does. The good path spends nothing on error
messages: the field is found from the line number of the traceback, the position from the frame (`locate`).
"""

from __future__ import annotations

from struct import Struct, calcsize
from typing import Any, Final

from kbroker.protocol.field import EMPTY_LIST, NEW_STRUCT, Field, Tabled
from kbroker.protocol.primitives import (
    SMALL_VARINTS,
    PackersByCount,
    UnpackersByCount,
    foreign_text,
    read_unsigned_varint,
    skip_tagged_fields,
    unsigned_varint,
)

_CODES: Final = {
    "boolean": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "float64": "d",
    "uuid": "16s",
}
_SIZES: Final = {kind: calcsize(">" + code) for kind, code in _CODES.items()}
_BUFFERS: Final = frozenset((bytes, bytearray, memoryview))
_LABELS: Final[dict[str, list[str]]] = {}
_UNPACKERS: Final = {kind: UnpackersByCount(code) for kind, code in _CODES.items() if len(code) == 1}
_PACKERS: Final = {
    compact: {kind: PackersByCount(code, compact=compact) for kind, code in _CODES.items()} for compact in (False, True)
}


class _Source:
    """Lines of a function being written, the values they refer to, and the run of fixed-size fields not yet written."""

    def __init__(self, cls: type[Tabled], version: int, header: str) -> None:
        self.version = version
        self.flexible = version >= cls.FLEXIBLE_SINCE
        self.lines: list[str] = [header]
        self.labels: list[str] = ["", ""]
        self.depth = 1
        self.label = cls.__name__
        self.names: dict[str, Any] = {
            "new": object.__new__,
            "uv": read_unsigned_varint,
            "skip": skip_tagged_fields,
            "vu": unsigned_varint,
            "small": SMALL_VARINTS,
            "buffers": _BUFFERS,
            "foreign": foreign_text,
        }
        self.counter = 0
        self.run: list[tuple[str, str, str]] = []

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)
        self.labels.append(self.label)

    def variable(self, letter: str) -> str:
        self.counter += 1
        return f"{letter}{self.counter}"

    def value(self, value: Any, name: str) -> str:
        """Return a name under which the function finds `value`."""
        while name in self.names and self.names[name] is not value:
            name += "_"
        self.names[name] = value
        return name

    def struct_method(self, codes: str, method: str) -> str:
        name = f"{method}_{codes.replace('?', 'o')}"
        if name not in self.names:
            self.names[name] = getattr(Struct(">" + codes), "unpack_from" if method == "unpack" else "pack")
        return name

    def add(self, code: str, expression: str) -> None:
        """Append a value of fixed size to the run."""
        self.run.append((code, expression, self.label))

    def take_run(self) -> tuple[str, list[str]]:
        """Return the run's struct codes and expressions and start a new one; the label then names its fields."""
        run, self.run = self.run, []
        first, last = run[0][2], run[-1][2]
        self.label = first if first == last else f"{first} to {last}"
        return "".join(code for code, _, _ in run), [expression for _, expression, _ in run if expression]

    def compile(self, kind: str, cls: type[Tabled]) -> Any:
        """Return the finished function, which is the one named `kind`."""
        filename = f"<{kind} of {cls.__name__} version {self.version} at {id(cls):x}>"
        _LABELS[filename] = self.labels
        exec(compile("\n".join(self.lines), filename, "exec"), self.names)  # noqa: S102 -- our own text, see above
        return self.names[kind]


class _Decoder(_Source):
    """
    Lines of a decoder.

    text  the expression that reads a string from `b[p:q]`
    """

    def __init__(self, cls: type[Tabled], version: int, header: str, text: str) -> None:
        super().__init__(cls, version, header)
        self.text = text

    def flush(self) -> None:
        if not self.run:
            return
        label = self.label
        codes, targets = self.take_run()
        if codes == "B":
            self.line(f"{targets[0]} = b[p]")
        else:
            self.line(f"{', '.join(targets)}, = {self.struct_method(codes, 'unpack')}(b, p)")
        self.line(f"p += {calcsize('>' + codes)}")
        self.label = label

    def message(self, cls: type[Tabled], target: str, also: str = "") -> None:
        """Decode one struct into the new variable `target`. Leaves a run open."""
        path = self.label
        self.line(f"{also}{target} = new({self.value(cls, cls.__name__)})")
        tagged: list[Field] = []
        for field in cls.FIELDS:
            if not field.in_version(self.version):
                self.default(field, target)
            elif field.is_tagged(self.version):
                self.default(field, target)
                tagged.append(field)
        for field in cls.FIELDS:
            if field.in_version(self.version) and not field.is_tagged(self.version):
                self.label = f"{path}.{field.name}"
                self.field(field, f"{target}.{field.name}")
        if self.flexible:
            self.label = f"{path} tagged fields"
            self.tagged_section(tagged, target, path)
        self.label = path

    def default(self, field: Field, target: str) -> None:
        if field.default is EMPTY_LIST:
            value = "[]"
        elif field.default is NEW_STRUCT:
            value = f"{self.value(field.element, field.element.__name__)}()"  # type: ignore[union-attr]
        else:
            value = self.value(field.default, f"default_{field.name}")
        self.line(f"{target}.{field.name} = {value}")

    def tagged_section(self, tagged: list[Field], target: str, path: str) -> None:
        count = self.variable("n")
        self.add("B", count)
        self.flush()
        self.line(f"if {count}:")
        self.depth += 1
        if not tagged:
            self.line("p = skip(b, p - 1)")
            self.depth -= 1
            return
        tag, size = self.variable("t"), self.variable("z")
        self.line(f"if {count} > 127: {count}, p = uv(b, p - 1)")
        self.line(f"for _ in range({count}):")
        self.depth += 1
        self.line(f"{tag}, p = uv(b, p)")
        self.line(f"{size}, p = uv(b, p)")
        self.line(f"{size} += p")
        self.line(f"if {size} > e: raise IndexError")
        branch = "if"
        for field in tagged:
            self.label = f"{path}.{field.name}"
            self.line(f"{branch} {tag} == {field.tag}:")
            self.depth += 1
            self.field(field, f"{target}.{field.name}")
            self.flush()
            self.line(f"if p != {size}: raise ValueError('does not fill its tagged field')")
            self.depth -= 1
            branch = "elif"
        self.line("else:")
        self.line(f"    p = {size}")
        self.depth -= 2

    def field(self, field: Field, target: str) -> None:
        if field.kind in _CODES:
            self.add(_CODES[field.kind], target)
        elif field.kind == "struct":
            self.struct(field, target)
        elif field.kind == "array":
            self.array(field, target)
        else:
            self.sized(field, target)

    def struct(self, field: Field, target: str) -> None:
        element = field.element
        assert isinstance(element, type)
        inner = self.variable("v")
        if not field.is_nullable(self.version):
            self.message(element, inner, f"{target} = ")
            return
        marker = self.variable("n")
        self.add("b", marker)
        self.flush()
        self.line(f"if {marker} < 0:")
        self.line(f"    {target} = None")
        self.line("else:")
        self.depth += 1
        self.message(element, inner, f"{target} = ")
        self.flush()
        self.depth -= 1

    def length(self, field: Field, code: str, target: str) -> str:
        """Read a length or count; leaves the writer inside the branch of a value that is there."""
        count = self.variable("n")
        self.add("B" if self.flexible else code, count)
        self.flush()
        if self.flexible:
            self.line(f"if {count} > 127:")
            self.line(f"    {count}, p = uv(b, p - 1)")
            if code == "h":
                # As Kafka, although the length would say more: what is read must also fit the old versions.
                self.line(f"    if {count} > 32768: raise ValueError('is a string longer than 32767 bytes')")
        self.line(f"if {count} {'== 0' if self.flexible else '< 0'}:")
        if field.is_nullable(self.version):
            self.line(f"    {target} = None")
            self.line("else:")
            self.depth += 1
        else:
            self.line("    raise ValueError('may not be null')")
        return count

    def sized(self, field: Field, target: str) -> None:
        depth = self.depth
        count = self.length(field, "h" if field.kind == "string" else "i", target)
        self.line(f"q = p + {count}{' - 1' if self.flexible else ''}")
        self.line("if q > e: raise IndexError")
        self.line(f"{target} = " + (self.text if field.kind == "string" else "b[p:q]"))
        self.line("p = q")
        self.depth = depth

    def array(self, field: Field, target: str) -> None:
        depth, element = self.depth, field.element
        count = self.length(field, "i", target)
        if self.flexible:
            self.line(f"{count} -= 1")
        least = _least_size(element, self.version, flexible=self.flexible)
        self.line(f"if {count}{f' * {least}' if least > 1 else ''} > e - p: raise IndexError")
        if isinstance(element, Field) and element.kind in _CODES:
            if element.kind == "uuid":
                self.line(f"{target} = [bytes(b[i:i + 16]) for i in range(p, p + {count} * 16, 16)]")
            else:
                unpackers = self.value(_UNPACKERS[element.kind], f"unpack_{element.kind}s")
                self.line(f"{target} = [*{unpackers}[{count}](b, p)]")
            self.line(f"p += {count}{f' * {least}' if least > 1 else ''}")
            self.depth = depth
            return
        items, item = self.variable("l"), self.variable("v")
        self.line(f"{target} = {items} = []")
        self.line(f"for _ in range({count}):")
        self.depth += 1
        if isinstance(element, Field):
            self.field(element, item)
        else:
            assert element is not None
            self.message(element, item)
        self.flush()
        self.line(f"{items}.append({item})")
        self.depth = depth


class _Encoder(_Source):
    def __init__(self, cls: type[Tabled], version: int, header: str) -> None:
        super().__init__(cls, version, header)
        self.writer = "w"

    def flush(self) -> None:
        if not self.run:
            return
        label = self.label
        codes, expressions = self.take_run()
        if codes == "x":
            self.line(f"{self.writer}(b'\\0')")
        else:
            self.line(f"{self.writer}({self.struct_method(codes, 'pack')}({', '.join(expressions)}))")
        self.label = label

    def write_length(self, count: str, code: str) -> None:
        """Write the run and a length; a compact one is part of the run while it fits one byte."""
        if not self.flexible:
            self.add(code, count)
            self.flush()
            return
        if not self.run:
            self.line(f"{self.writer}(small[{count}] if {count} < 128 else vu({count}))")
            return
        run = list(self.run)
        self.line(f"if {count} < 128:")
        self.depth += 1
        self.add("B", count)
        self.flush()
        self.depth -= 1
        self.line("else:")
        self.depth += 1
        self.run = run
        self.flush()
        self.line(f"{self.writer}(vu({count}))")
        self.depth -= 1

    def message(self, cls: type[Tabled], source: str) -> None:
        """Encode the struct in variable `source`. Leaves a run open."""
        path = self.label
        present = [field for field in cls.FIELDS if field.in_version(self.version)]
        for field in present:
            if not field.is_tagged(self.version):
                self.label = f"{path}.{field.name}"
                self.field(field, f"{source}.{field.name}")
        if self.flexible:
            self.label = f"{path} tagged fields"
            tagged = sorted((field for field in present if field.is_tagged(self.version)), key=lambda field: field.tag)
            if tagged:
                self.tagged_section(tagged, source, path)
            else:
                self.add("x", "")
        self.label = path

    def differs(self, field: Field, expression: str) -> str:
        """Return the condition under which a tagged field is sent."""
        if field.default is None:
            return f"{expression} is not None"
        if field.default is EMPTY_LIST:
            return f"({expression} or {expression} is None)" if field.is_nullable(self.version) else expression
        return f"{expression} != {self.value(field.default, f'default_{field.name}')}"

    def tagged_section(self, tagged: list[Field], source: str, path: str) -> None:
        conditions = [self.differs(field, f"{source}.{field.name}") for field in tagged]
        run = list(self.run)
        self.line(f"if {' or '.join(conditions)}:")
        self.depth += 1
        self.flush()
        outer, count, section = self.writer, self.variable("n"), self.variable("l")
        self.line(f"{count} = 0; {section} = []")
        for field, condition in zip(tagged, conditions, strict=True):
            self.label = f"{path}.{field.name}"
            pieces = self.variable("l")
            self.line(f"if {condition}:")
            self.depth += 1
            self.writer = self.variable("w")
            self.line(f"{pieces} = []; {self.writer} = {pieces}.append")
            self.field(field, f"{source}.{field.name}")
            self.flush()
            self.line(f"{pieces} = b''.join({pieces})")
            tag = self.value(unsigned_varint(field.tag), f"tag_{field.tag}")
            self.line(f"{section} += {tag}, vu(len({pieces})), {pieces}; {count} += 1")
            self.depth -= 1
        self.writer = outer
        self.line(f"{self.writer}(vu({count})); {self.writer}(b''.join({section}))")
        self.depth -= 1
        self.line("else:")
        self.depth += 1
        self.run = run
        self.add("x", "")
        self.flush()
        self.depth -= 1

    def field(self, field: Field, expression: str) -> None:
        if field.kind in _CODES:
            self.add(_CODES[field.kind], expression)
        elif field.kind == "struct":
            self.struct(field, expression)
        elif field.kind == "array":
            self.array(field, expression)
        else:
            self.sized(field, expression)

    def struct(self, field: Field, expression: str) -> None:
        assert isinstance(field.element, type)
        inner = self.variable("v")
        self.line(f"{inner} = {expression}")
        if not field.is_nullable(self.version):
            self.message(field.element, inner)
            return
        self.flush()
        self.line(f"if {inner} is None:")
        self.line(f"    {self.writer}(b'\\xff')")
        self.line("else:")
        self.depth += 1
        self.add("x", "")
        self.run[-1] = ("b", "1", self.label)
        self.message(field.element, inner)
        self.flush()
        self.depth -= 1

    def counted(self, field: Field, expression: str, empty: str, size: str) -> tuple[str, str]:
        """Load the value and its length; None becomes `empty` with the length that means null."""
        item, count = self.variable("s"), self.variable("n")
        self.line(f"{item} = {expression}")
        step = " + 1" if self.flexible else ""
        convert = f"{item} = {item}.encode(); " if field.kind == "string" else ""
        if field.is_nullable(self.version):
            self.line(f"if {item} is None: {item} = {empty}; {count} = {0 if self.flexible else -1}")
            self.line(f"else: {convert}{count} = {size.format(item)}{step}")
        else:
            self.line(f"{convert}{count} = {size.format(item)}{step}")
        return item, count

    def sized(self, field: Field, expression: str) -> None:
        if field.kind == "string":
            item, count = self.counted(field, expression, "b''", "len({0})")
            if self.flexible:
                self.line(f"if {count} > 32768: raise ValueError('a string longer than 32767 bytes')")
            self.write_length(count, "h")
        else:
            size = "(len({0}) if type({0}) in buffers else {0}.size_bytes)"
            item, count = self.counted(field, expression, "b''", size)
            self.write_length(count, "i")
        self.line(f"{self.writer}({item})")

    def array(self, field: Field, expression: str) -> None:
        element = field.element
        items, count = self.counted(field, expression, "()", "len({0})")
        if isinstance(element, Field) and element.kind in _CODES:
            self.flush()
            packers = self.value(_PACKERS[self.flexible][element.kind], f"pack_{element.kind}s")
            self.line(f"{self.writer}({packers}[len({items})]({count}, *{items}))")
            return
        self.write_length(count, "i")
        item = self.variable("v")
        self.line(f"for {item} in {items}:")
        self.depth += 1
        start = len(self.lines)
        if isinstance(element, Field):
            self.field(element, item)
        else:
            assert element is not None
            self.message(element, item)
        self.flush()
        if len(self.lines) == start:
            self.line("pass")
        self.depth -= 1


def _least_size(element: Field | type[Tabled] | None, version: int, *, flexible: bool) -> int:
    """Return the fewest bytes an element can take, at least 1."""
    if isinstance(element, Field):
        return _least_field_size(element, version, flexible=flexible)
    assert element is not None
    sizes = [
        _least_field_size(field, version, flexible=flexible)
        for field in element.FIELDS
        if field.in_version(version) and not field.is_tagged(version)
    ]
    return max(1, sum(sizes) + flexible)


def _least_field_size(field: Field, version: int, *, flexible: bool) -> int:
    if field.kind in _SIZES:
        return _SIZES[field.kind]
    if field.kind == "struct":
        return 1 if field.is_nullable(version) else _least_size(field.element, version, flexible=flexible)
    if flexible:
        return 1
    return 2 if field.kind == "string" else 4


def compile_decoder(cls: type[Tabled], version: int, *, foreign_bytes: bool = False) -> Any:
    """
    Return decode(buffer, position) -> (message, end) for one version of `cls`.

    foreign_bytes  take strings that are no UTF-8, see `foreign_text`; else they raise UnicodeDecodeError
    """
    text = "foreign(b[p:q])" if foreign_bytes else "str(b[p:q], 'utf-8')"
    source = _Decoder(cls, version, "def decode(b, p):", text)
    source.line("e = len(b)")
    source.message(cls, "m")
    source.flush()
    source.line("return m, p")
    return source.compile("decode", cls)


def compile_encoder(cls: type[Tabled], version: int) -> Any:
    """Return encode(message, write) for one version of `cls`; `write` is called with each piece in order."""
    source = _Encoder(cls, version, "def encode(m, w):")
    source.message(cls, "m")
    source.flush()
    source.line("return")
    return source.compile("encode", cls)


def compile_constructor(cls: type[Tabled]) -> Any:
    """Return the constructor of `cls`: keywords only, each with its field's default."""
    names: dict[str, Any] = {"EMPTY_LIST": EMPTY_LIST, "NEW_STRUCT": NEW_STRUCT}
    parameters, lines = [], []
    for number, field in enumerate(cls.FIELDS):
        value = field.name
        if field.default is EMPTY_LIST:
            names[f"d{number}"] = EMPTY_LIST
            value = f"[] if {field.name} is EMPTY_LIST else {field.name}"
        elif field.default is NEW_STRUCT:
            names[f"d{number}"] = NEW_STRUCT
            names[f"c{number}"] = field.element
            value = f"c{number}() if {field.name} is NEW_STRUCT else {field.name}"
        else:
            names[f"d{number}"] = field.default
        parameters.append(f"{field.name}=d{number}")
        lines.append(f"    self.{field.name} = {value}")
    star = "*, " if parameters else ""
    text = f"def __init__(self, {star}{', '.join(parameters)}):\n" + "\n".join(lines or ["    pass"])
    exec(compile(text, f"<constructor of {cls.__name__}>", "exec"), names)  # noqa: S102 -- our own text, see above
    return names["__init__"]


def locate(error: Exception) -> tuple[str, int]:
    """Return the field at which a generated function raised, and its position in the buffer (-1 for encoders)."""
    found, position = "message", -1
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        labels = _LABELS.get(frame.f_code.co_filename)
        if labels is not None:
            found = labels[traceback.tb_lineno]
            position = frame.f_locals.get("p", -1)
        traceback = traceback.tb_next
    return found, position
