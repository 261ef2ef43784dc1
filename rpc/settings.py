"""One TOML file, read once into a frozen struct; unknown keys are refused with their place (DESIGN, 3)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from core.language import Text
from core.reasons import MalformedError, Reason

MAX_SETTINGS_BYTES: Final = 1024 * 1024

_T = TypeVar("_T", bound=msgspec.Struct)

# What msgspec says, taken apart so that it can be told in two languages, with the key's full place.
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `(?P<place>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<key>.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<key>.*)`", re.DOTALL)
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>.*)`, got `(?P<got>.*)`", re.DOTALL)


class SettingsError(MalformedError):
    """A configuration file that cannot be used.

    Attributes:
        path: The file.
        place: The key in it, ``adapter[0].address``; empty if the file as a whole is at fault.
        text: What is wrong, in both languages.
    """

    def __init__(self, path: Path, place: str, text: Text) -> None:
        self.path = path
        self.place = place
        self.text = text
        super().__init__(Reason.CONFIG_FILE_INVALID, self.in_("en"))

    def __reduce__(self) -> tuple[type[MalformedError], tuple[Reason, str]]:
        return (MalformedError, (self.reason, str(self)))

    def in_(self, language: str) -> str:
        """The sentence in one language, ``gateway.toml: adapter[0].address: …``."""
        where = f"{self.path}: {self.place}" if self.place else f"{self.path}"
        sentence = self.text.in_("fr" if language == "fr" else "en")
        return f"{where} : {sentence}" if language == "fr" else f"{where}: {sentence}"


def load_settings(path: Path, kind: type[_T]) -> _T:
    """Read ``path`` as ``kind``.

    A field may be a ``Path``; it is relative to the file's own directory.

    Args:
        path: The TOML file.
        kind: A frozen struct that, with all structs inside, forbids unknown fields.

    Raises:
        SettingsError: The file is missing, malformed, or does not say exactly what ``kind`` asks for.
    """
    require_strict(kind)
    values = parse_toml(path)
    try:
        return msgspec.convert(values, kind, strict=True, dec_hook=_decoder(path.parent))
    except msgspec.ValidationError as error:
        place, text = _explain(str(error))
        raise SettingsError(path, place, text) from None


def require_strict(kind: type[msgspec.Struct]) -> None:
    """Refuse a settings type that would accept a misspelt key: a mistake of ours, found by any test.

    Raises:
        TypeError: ``kind``, or a struct in it, is not frozen or lets unknown fields pass.
    """
    config = kind.__struct_config__
    if not (config.frozen and config.forbid_unknown_fields):
        raise TypeError(f"{kind.__name__} must be frozen and forbid unknown fields")


def parse_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file, unchecked; raises ``SettingsError``."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SETTINGS_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            path, "", Text(f"illisible ({error.strerror})", f"cannot be read ({error.strerror})")
        ) from None
    if len(data) > MAX_SETTINGS_BYTES:
        raise SettingsError(path, "", Text("trop long", "too long"))
    try:
        return tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        # tomllib names line and column; UnicodeDecodeError is a ValueError too.
        raise SettingsError(
            path, "", Text(f"n'est pas du TOML ({error})", f"is not TOML ({error})")
        ) from None
    except RecursionError:
        raise SettingsError(path, "", Text("trop imbriqué", "nested too deeply")) from None


def _decoder(base: Path) -> Callable[[type, Any], Any]:
    def decode(kind: type, value: Any) -> Any:
        if kind is not Path:
            raise TypeError(f"settings cannot hold a {kind.__name__}")
        if not isinstance(value, str):
            raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
        return base / value

    return decode


def _explain(message: str) -> tuple[str, Text]:
    found = _PLACE.match(message)
    what, place = (found["what"], found["place"] or "$") if found else (message, "$")
    place = place.removeprefix("$").removeprefix(".")
    if unknown := _UNKNOWN.fullmatch(what):
        return _join(place, unknown["key"]), Text("clé inconnue", "unknown key")
    if missing := _MISSING.fullmatch(what):
        return _join(place, missing["key"]), Text("clé manquante", "missing key")
    if wrong := _WRONG_TYPE.fullmatch(what):
        expected, got = wrong["expected"], wrong["got"]
        return place, Text(f"attendu {expected}, trouvé {got}", f"expected {expected}, found {got}")
    return place, Text(f"valeur refusée ({what})", f"value refused ({what})")


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
