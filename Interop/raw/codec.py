"""Bytes of AMQP 0-9-1: field tables, methods, content headers, frames. Nothing here talks to a socket."""

import struct
from typing import Any, NamedTuple

from methods import METHODS, NAMES, PROPERTIES, WITH_CONTENT

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

_FIXED = {"octet": ">B", "u16": ">H", "u32": ">I", "u64": ">Q"}
_TAGS = {"t": ">B", "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "L": ">q",
         "f": ">f", "d": ">d", "T": ">Q"}


class Field(NamedTuple):
    """A field value whose tag matters. For tag D the value is (scale, unscaled); for F also a list of pairs."""
    tag: str
    value: Any


def short(value):
    """A short string; takes bytes too, so that a check can send what is not UTF-8."""
    data = value.encode() if isinstance(value, str) else bytes(value)
    return struct.pack(">B", len(data)) + data


def long(value):
    """A long string."""
    data = value.encode() if isinstance(value, str) else bytes(value)
    return struct.pack(">I", len(data)) + data


def _guess(value):
    """The tag that clients use for a plain Python value."""
    if isinstance(value, Field):
        return value
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int):
        return Field("I" if -2 ** 31 <= value < 2 ** 31 else "l", value)
    for kind, tag in ((float, "d"), ((str, bytes), "S"), (dict, "F"), (list, "A"), (type(None), "V")):
        if isinstance(value, kind):
            return Field(tag, value)
    raise TypeError(f"no field type for {value!r}")


def field(value):
    """A tagged field value."""
    tag, value = _guess(value)
    head = tag.encode()
    if tag in _TAGS:
        return head + struct.pack(_TAGS[tag], value)
    if tag == "D":
        return head + struct.pack(">BI", *value)
    if tag in "Sx":
        return head + long(value)
    if tag == "F":
        return head + table(value)
    if tag == "A":
        return head + long(b"".join(field(item) for item in value))
    if tag == "V":
        return head
    raise TypeError(f"no field tag {tag!r}")


def table(value):
    """A field table from a dict, from pairs (names may repeat), or from bytes that are taken as its content."""
    if isinstance(value, bytes):
        return long(value)
    pairs = value.items() if isinstance(value, dict) else value
    return long(b"".join(short(name) + field(item) for name, item in pairs))


class Reader:
    """Reads fields one after another; running out of octets is an error of the broker's."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise AssertionError(f"the broker sent {len(self.data)} octets where {self.at + count} were announced")
        self.at += count
        return self.data[self.at - count:self.at]

    def fixed(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def short(self):
        return _text(self.take(self.fixed(">B")))

    def long(self):
        return self.take(self.fixed(">I"))

    def pairs(self):
        """A table as [(name, Field)], nested tables as pairs too, so that order and tags can be compared."""
        inner, result = Reader(self.long()), []
        while inner.at < len(inner.data):
            result.append((inner.short(), inner.tagged()))
        return result

    def tagged(self):
        tag = chr(self.fixed(">B"))
        if tag in _TAGS:
            return Field(tag, self.fixed(_TAGS[tag]))
        if tag == "D":
            return Field(tag, (self.fixed(">B"), self.fixed(">I")))
        if tag in "Sx":
            return Field(tag, _text(self.long()))
        if tag == "F":
            return Field(tag, self.pairs())
        if tag == "A":
            inner, items = Reader(self.long()), []
            while inner.at < len(inner.data):
                items.append(inner.tagged())
            return Field(tag, items)
        if tag == "V":
            return Field(tag, None)
        raise AssertionError(f"the broker sent the unknown field tag {tag!r}")

    def typed(self, kind):
        if kind == "table":
            return plain(Field("F", self.pairs()))
        if kind == "short":
            return self.short()
        if kind == "long":
            return _text(self.long())
        return self.fixed(_FIXED[kind])


def _text(data):
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def plain(value):
    """A Field without its tags: dicts, lists and scalars."""
    if value.tag == "F":
        return {name: plain(item) for name, item in value.value}
    if value.tag == "A":
        return [plain(item) for item in value.value]
    return bool(value.value) if value.tag == "t" else value.value


def _typed(kind, value):
    if kind in _FIXED:
        return struct.pack(_FIXED[kind], value)
    return {"short": short, "long": long, "table": table}[kind](value)


def arguments(name, **values):
    """The arguments of a method; what is not given is zero, empty or false."""
    fields = METHODS[name][2]
    unknown = set(values) - {field for field, _ in fields}
    if unknown:
        raise TypeError(f"{name} has no {', '.join(sorted(unknown))}")
    out, bits = bytearray(), []
    for index, (key, kind) in enumerate(fields):
        if kind == "bit":
            bits.append(bool(values.get(key)))
            if index + 1 == len(fields) or fields[index + 1][1] != "bit":
                out.append(sum(bit << place for place, bit in enumerate(bits)))
                bits = []
        else:
            out += _typed(kind, values.get(key, 0 if kind in _FIXED else {} if kind == "table" else ""))
    return bytes(out)


def method(name, **values):
    """The payload of a method frame."""
    class_id, method_id, _ = METHODS[name]
    return struct.pack(">HH", class_id, method_id) + arguments(name, **values)


def properties(**values):
    """Property flags and property list. `headers` may be ready bytes, see `table`."""
    flags, out = 0, bytearray()
    unknown = set(values) - {name for name, _ in PROPERTIES}
    if unknown:
        raise TypeError(f"no property {', '.join(sorted(unknown))}")
    for place, (name, kind) in enumerate(PROPERTIES):
        if values.get(name) is not None:
            flags |= 1 << (15 - place)
            out += _typed(kind, values[name])
    return struct.pack(">H", flags) + bytes(out)


def header(size, raw=None, class_id=60, weight=0, **values):
    """The payload of a content header frame; `raw` replaces flags and properties."""
    return struct.pack(">HHQ", class_id, weight, size) + (properties(**values) if raw is None else raw)


def frame(kind, channel, payload, end=b"\xce"):
    """A whole frame."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def method_frame(channel, name, **values):
    """A method in its frame."""
    return frame(METHOD, channel, method(name, **values))


def content_frames(channel, body=b"", frame_max=131072, raw=None, **values):
    """Content header and bodies in their frames."""
    out = frame(HEADER, channel, header(len(body), raw=raw, **values))
    step = frame_max - 8
    return out + b"".join(frame(BODY, channel, body[at:at + step]) for at in range(0, len(body), step))


def publish_frames(channel, body=b"", exchange="", key="", mandatory=False, immediate=False, raw=None, **values):
    """A whole basic.publish with properties and body."""
    head = method_frame(channel, "basic.publish", exchange=exchange, routing_key=key, mandatory=mandatory,
                        immediate=immediate)
    return head + content_frames(channel, body, raw=raw, **values)


class Event:
    """A method the broker sent, its fields as attributes, with `properties`, `raw` and `body` if it has content."""

    def __init__(self, payload):
        reader = Reader(payload)
        self.ids = reader.fixed(">H"), reader.fixed(">H")
        self.name = NAMES.get(self.ids)
        if self.name is None:
            raise AssertionError(f"the broker sent the unknown method {self.ids}")
        self.fields, self.properties, self.raw, self.body, self.frames = {}, {}, b"", b"", []
        place = 0
        for key, kind in METHODS[self.name][2]:
            if kind == "bit":
                if place == 0:
                    octet = reader.fixed(">B")
                self.fields[key] = bool(octet >> place & 1)
                place += 1
            else:
                self.fields[key], place = reader.typed(kind), 0
        if reader.at != len(payload):
            raise AssertionError(f"{self.name} is {len(payload) - reader.at} octets too long")

    has_content = property(lambda self: self.name in WITH_CONTENT)
    headers = property(lambda self: self.properties.get("headers", {}))

    def __getattr__(self, key):
        try:
            return self.__dict__["fields"][key]
        except KeyError:
            raise AttributeError(key) from None

    def __repr__(self):
        values = ", ".join(f"{key}={value!r}" for key, value in self.fields.items())
        return f"{self.name}({values})" + (f" body {self.body[:40]!r}" if self.has_content else "")

    def set_header(self, payload):
        """Takes the content header; answers the length of the body."""
        reader = Reader(payload)
        class_id, weight, size, flags = (reader.fixed(form) for form in (">H", ">H", ">Q", ">H"))
        if (class_id, weight) != (60, 0):
            raise AssertionError(f"content header of class {class_id}, weight {weight}")
        self.raw = payload[12:]
        for place, (name, kind) in enumerate(PROPERTIES):
            if flags >> (15 - place) & 1:
                if name == "headers":
                    self.header_pairs = reader.pairs()
                    self.properties[name] = plain(Field("F", self.header_pairs))
                else:
                    self.properties[name] = reader.typed(kind)
        if reader.at != len(payload):
            raise AssertionError("content header with octets left over")
        return size


def erlang(data, plain_list=False):
    """Octets as RabbitMQ's error texts print them: as a string where all are printable, else as a list of numbers.

    Frames are printed this way; arguments always as a list."""
    printable = {*range(32, 127), *range(160, 256), *b"\b\t\n\v\f\r\x1b"}
    if data and not plain_list and printable.issuperset(data):
        escapes = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 27: "\\e", 34: '\\"', 92: "\\\\"}
        return '<<"' + "".join(escapes.get(octet, chr(octet)) for octet in data) + '">>'
    return "<<" + ",".join(str(octet) for octet in data) + ">>"
