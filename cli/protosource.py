"""A ``.proto`` file from its descriptor: what ``protoc`` makes of the text is the descriptor again, comments included."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    Edition,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    OneofDescriptorProto,
    ServiceDescriptorProto,
    SourceCodeInfo,
)
from google.protobuf.message import Message

from cli.protonames import Names
from cli.protooptions import Options, quoted
from core.reasons import ExchangeError, Reason

Path = tuple[int, ...]

_LINE: Final = 110
_MAX_FIELD: Final = 536_870_911
_MAX_ENUM: Final = 2_147_483_647
_EDITIONS: Final = "editions"
# Declarations in a descriptor by the number of their list (descriptor.proto), in files and in messages.
_FILE_LISTS: Final = {4: "message_type", 5: "enum_type", 6: "service"}
_MESSAGE_LISTS: Final = {3: "nested_type", 4: "enum_type"}
_FILE_EXTENSIONS: Final = 7
_MESSAGE_EXTENSIONS: Final = 6


def proto_source(file: FileDescriptorProto, files: FileDescriptorSet, heading: Iterable[str] = ()) -> str:
    """The text of one file.

    Declarations stand in the order of the source where its comments tell it, else by kind.

    Args:
        file: What is written.
        files: The set that it is of, which has its imports.
        heading: Lines of a comment above all.

    Raises:
        ExchangeError: ``DOCUMENT_INVALID``: it has what this writer does not know: groups, options of nobody.
    """
    return _Writer(file, Names(files), Options(files)).text(heading)


class _Writer:
    def __init__(self, file: FileDescriptorProto, names: Names, options: Options) -> None:
        self._file = file
        self._names = names
        self._options = options
        self._lines: list[str] = []
        self._depth = 0
        self._written: set[Path] = set()
        self._scopes = [file.package]
        places = file.source_code_info.location
        # A path may stand several times, as each ``extend`` of a file has the same: the first with a comment counts.
        self._places = {tuple(place.path): place for place in reversed(places) if _has_comment(place)}
        self._order = {tuple(place.path): number for number, place in reversed(list(enumerate(places)))}
        self._is_editions = file.syntax == _EDITIONS

    def text(self, heading: Iterable[str]) -> str:
        file = self._file
        self._lines += [f"// {line}" for line in heading]
        self._blank()
        syntax = file.syntax or "proto2"
        if self._is_editions:
            edition = Edition.Name(file.edition).removeprefix("EDITION_")
            self._statement((14,), f'edition = "{edition}"')
        else:
            self._statement((12,), f'syntax = "{syntax}"')
        if file.package:
            self._blank()
            self._statement((2,), f"package {file.package}")
        self._blank()
        for index, name in enumerate(file.dependency):
            how = "public " if index in file.public_dependency else ""
            how = "weak " if index in file.weak_dependency else how
            self._statement((3, index), f'import {how}"{name}"')
        self._blank()
        self._option_statements(file.options, (8,))
        self._declarations(file, (), _FILE_LISTS)
        self._extensions(file.extension, (_FILE_EXTENSIONS,), file.package)
        while self._lines and not self._lines[-1]:
            self._lines.pop()
        return "\n".join(self._lines) + "\n"

    # --- declarations ---

    def _declarations(self, holder: Message, path: Path, lists: dict[int, str]) -> None:
        """Messages, enums and services of a file or message."""
        found = [
            (*path, number, index)
            for number, name in lists.items()
            for index in range(len(getattr(holder, name)))
        ]
        # Without a comment of its own a declaration tells no place: behind those that have one.
        for one in sorted(found, key=lambda one: (self._order.get(one, len(self._order)), one)):
            self._declaration(getattr(holder, lists[one[-2]])[one[-1]], one)

    def _declaration(
        self, declared: DescriptorProto | EnumDescriptorProto | ServiceDescriptorProto, path: Path
    ) -> None:
        is_map = isinstance(declared, DescriptorProto) and declared.options.map_entry
        if is_map or path in self._written:
            return
        self._written.add(path)
        self._blank()
        with self._inside(f"{self._scope}.{declared.name}" if self._scope else declared.name):
            if isinstance(declared, DescriptorProto):
                self._message(declared, path)
            elif isinstance(declared, EnumDescriptorProto):
                self._enum(declared, path)
            else:
                self._service(declared, path)

    def _message(self, message: DescriptorProto, path: Path) -> None:
        with self._block(path, f"message {message.name}"):
            self._option_statements(message.options, (*path, 7))
            self._blank()
            self._fields(message, path)
            spared = [_range(one.start, one.end - 1, _MAX_FIELD) for one in message.reserved_range]
            self._reserved((*path, 9), spared)
            self._reserved((*path, 10), self._names_reserved(message.reserved_name))
            for index, opened in enumerate(message.extension_range):
                where = f"extensions {_range(opened.start, opened.end - 1, _MAX_FIELD)}"
                self._statement((*path, 5) if index == 0 else (), where, self._bracketed(opened.options))
            self._declarations(message, path, _MESSAGE_LISTS)
            self._extensions(message.extension, (*path, _MESSAGE_EXTENSIONS), self._scope)

    def _fields(self, message: DescriptorProto, path: Path) -> None:
        nested = message.nested_type
        maps = {
            f".{self._scope}.{one.name}": index for index, one in enumerate(nested) if one.options.map_entry
        }
        numbered = list(enumerate(message.field))
        for oneof, group in groupby(numbered, key=lambda one: _oneof_of(one[1])):
            if oneof is None:
                for index, field in group:
                    # A map has its entries' type among the nested ones, at its own place: those before it come first.
                    entry = maps.get(field.type_name, 0)
                    for before in range(entry):
                        self._declaration(nested[before], (*path, 3, before))
                    is_map = field.type_name in maps
                    self._field(field, (*path, 2, index), nested[entry] if is_map else None)
                continue
            declared: OneofDescriptorProto = message.oneof_decl[oneof]
            with self._block((*path, 8, oneof), f"oneof {declared.name}"):
                self._option_statements(declared.options, (*path, 8, oneof, 2))
                for index, field in group:
                    self._field(field, (*path, 2, index), None, label="")

    def _field(
        self,
        field: FieldDescriptorProto,
        path: Path,
        entry: DescriptorProto | None,
        *,
        label: str | None = None,
    ) -> None:
        if field.type == FieldDescriptorProto.TYPE_GROUP:
            raise ExchangeError(
                Reason.DOCUMENT_INVALID, f"{self._scope}.{field.name} is a group, which cannot be written"
            )
        kind, label = self._type(field), self._label(field) if label is None else label
        if entry is not None:
            key, value = entry.field
            kind, label = f"map<{self._type(key)}, {self._type(value)}>", ""
        self._statement(path, f"{label}{kind} {field.name} = {field.number}", self._field_options(field))

    def _label(self, field: FieldDescriptorProto) -> str:
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return "repeated "
        if field.label == FieldDescriptorProto.LABEL_REQUIRED and not self._is_editions:
            return "required "
        is_plain = self._is_editions or (self._file.syntax == "proto3" and not field.proto3_optional)
        return "" if is_plain else "optional "

    def _type(self, field: FieldDescriptorProto) -> str:
        if field.type_name:
            return self._names.seen_from(self._scope, field.type_name, self._file.package)
        return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()

    def _field_options(self, field: FieldDescriptorProto) -> list[str]:
        found = []
        if field.HasField("default_value"):
            is_text = field.type in (FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES)
            # Of bytes the descriptor has the escaped form.
            is_escaped = field.type == FieldDescriptorProto.TYPE_BYTES
            text = field.default_value
            shown = quoted(text, is_escaped=is_escaped) if is_text else text
            found.append(f"default = {shown}")
        if field.HasField("json_name") and field.json_name != json_name(field.name):
            found.append(f"json_name = {quoted(field.json_name)}")
        return found + self._bracketed(field.options)

    def _extensions(self, fields: Iterable[FieldDescriptorProto], path: Path, scope: str) -> None:
        above = path
        for extendee, group in groupby(enumerate(fields), key=lambda one: one[1].extendee):
            self._blank()
            with self._block(above, f"extend {self._names.seen_from(scope, extendee, self._file.package)}"):
                above = ()
                for index, field in group:
                    self._field(field, (*path, index), None)

    def _enum(self, enum: EnumDescriptorProto, path: Path) -> None:
        with self._block(path, f"enum {enum.name}"):
            self._option_statements(enum.options, (*path, 3))
            for index, value in enumerate(enum.value):
                self._statement(
                    (*path, 2, index), f"{value.name} = {value.number}", self._bracketed(value.options)
                )
            spared = [_range(one.start, one.end, _MAX_ENUM) for one in enum.reserved_range]
            self._reserved((*path, 4), spared)
            self._reserved((*path, 5), self._names_reserved(enum.reserved_name))

    def _service(self, service: ServiceDescriptorProto, path: Path) -> None:
        with self._block(path, f"service {service.name}"):
            self._option_statements(service.options, (*path, 3))
            for index, method in enumerate(service.method):
                self._method(method, (*path, 2, index))

    def _method(self, method: MethodDescriptorProto, path: Path) -> None:
        taken = self._names.seen_from(self._scope, method.input_type, self._file.package)
        given = self._names.seen_from(self._scope, method.output_type, self._file.package)
        self._blank()
        takes = f"stream {taken}" if method.client_streaming else taken
        gives = f"stream {given}" if method.server_streaming else given
        head = f"rpc {method.name}({takes}) returns ({gives})"
        if not self._options.assignments(method.options, self._called):
            self._statement(path, head)
            return
        with self._block(path, head):
            self._option_statements(method.options, (*path, 4))

    # --- statements ---

    def _option_statements(self, options: Message, path: Path) -> None:
        for number, name, value in self._options.assignments(options, self._called):
            self._statement((*path, number), f"option {name} = {value}")

    def _bracketed(self, options: Message) -> list[str]:
        return [f"{name} = {value}" for _, name, value in self._options.assignments(options, self._called)]

    def _called(self, extension: str) -> str:
        return self._names.seen_from(self._scope, f".{extension}", "")

    def _reserved(self, path: Path, spared: list[str]) -> None:
        if spared:
            self._statement(path, f"reserved {', '.join(spared)}")

    def _names_reserved(self, names: Iterable[str]) -> list[str]:
        return [name if self._is_editions else quoted(name) for name in names]

    def _statement(self, path: Path, text: str, options: list[str] | None = None) -> None:
        """One declaration that ends with ``;``, between its comments."""
        self._comments_before(path)
        line = f"{text} [{', '.join(options)}];" if options else f"{text};"
        if options and (len(line) > _LINE - 2 * self._depth or "\n" in line):
            inside = ",\n".join(options).replace("\n", "\n  ")
            line = f"{text} [\n  {inside}\n];"
        self._write(line)
        self._comment_behind(path)

    @contextmanager
    def _block(self, path: Path, head: str) -> Iterator[None]:
        self._comments_before(path)
        begin = len(self._lines)
        self._write(f"{head} {{")
        self._depth += 1
        self._comment_behind(path)
        yield
        while not self._lines[-1]:
            self._lines.pop()
        self._depth -= 1
        if len(self._lines) == begin + 1:
            self._lines[-1] += "}"
        else:
            self._write("}")

    @property
    def _scope(self) -> str:
        return self._scopes[-1]

    @contextmanager
    def _inside(self, scope: str) -> Iterator[None]:
        self._scopes.append(scope)
        yield
        self._scopes.pop()

    def _comments_before(self, path: Path) -> None:
        place = self._places.get(path) if path else None
        if place is None:
            return
        for comment in place.leading_detached_comments:
            self._blank()
            self._comment(comment)
            self._blank()
        if place.HasField("leading_comments"):
            self._comment(place.leading_comments)

    def _comment_behind(self, path: Path) -> None:
        place = self._places.get(path) if path else None
        if place is not None and place.HasField("trailing_comments"):
            self._comment(place.trailing_comments)
            self._blank()

    def _comment(self, text: str) -> None:
        for line in text.removesuffix("\n").split("\n"):
            self._write(f"//{line}")

    def _write(self, text: str) -> None:
        margin = "  " * self._depth
        self._lines += [f"{margin}{line}" for line in text.split("\n")]

    def _blank(self) -> None:
        if self._lines and self._lines[-1] and not self._lines[-1].endswith("{"):
            self._lines.append("")


def json_name(name: str) -> str:
    """The JSON name that a field has if its proto gives none (descriptor.proto, ``json_name``)."""
    return re.sub(r"_+([a-zA-Z0-9]?)", lambda found: found[1].upper(), name)


def _has_comment(place: SourceCodeInfo.Location) -> bool:
    return bool(place.leading_comments or place.trailing_comments or place.leading_detached_comments)


def _oneof_of(field: FieldDescriptorProto) -> int | None:
    return field.oneof_index if field.HasField("oneof_index") and not field.proto3_optional else None


def _range(first: int, last: int, highest: int) -> str:
    if first == last:
        return str(first)
    return f"{first} to {'max' if last >= highest else last}"
