"""How a type is called at a place of a ``.proto``: as short as the language's rules of scope allow."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet


class Names:
    """All symbols of a set of files."""

    def __init__(self, files: FileDescriptorSet) -> None:
        self._symbols: set[str] = set()
        for file in files.file:
            parts = file.package.split(".") if file.package else []
            self._symbols.update(".".join(parts[: count + 1]) for count in range(len(parts)))
            for message in file.message_type:
                self._symbols.update(_symbols(file.package, message))
            names = [one.name for one in file.enum_type]
            names += [one.name for one in file.service] + [one.name for one in file.extension]
            self._symbols.update(_joined(file.package, name) for name in names)

    def seen_from(self, scope: str, full_name: str, package: str) -> str:
        """How ``scope`` calls ``full_name``, ``.a.b.Type``: without the file's own package, or whole.

        A name is looked for from the innermost scope outwards, by its first part. Where something else has that part,
        the name begins with a dot.
        """
        target = full_name.removeprefix(".")
        is_own = bool(package) and target.startswith(f"{package}.")
        found, base = (target.removeprefix(f"{package}."), package) if is_own else (target, "")
        first = found.partition(".")[0]
        while scope != base and scope:
            if f"{scope}.{first}" in self._symbols:
                return full_name
            scope = scope.rpartition(".")[0]
        return found


def _joined(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name


def _symbols(scope: str, message: DescriptorProto) -> Iterator[str]:
    name = _joined(scope, message.name)
    yield name
    fields = [one.name for one in (*message.field, *message.extension)]
    others = [one.name for one in message.oneof_decl] + [one.name for one in message.enum_type]
    yield from (f"{name}.{inner}" for inner in fields + others)
    for nested in message.nested_type:
        yield from _symbols(name, nested)
