"""ENVI's text headers: a line "key = value" each, lists in braces. What they mean for pixels is in `sources.envi`.

The format is described in "ENVI Header Files", NV5 Geospatial Software documentation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from konvoi.errors import DataError

_DATA_SUFFIXES = ("", ".img", ".dat", ".raw", ".bsq", ".bil", ".bip", ".bin", ".cub", ".envi")


@dataclass(frozen=True)
class EnviHeader:
    """A header, read.

    Attributes:
        path: of the header.
        fields: values as text, by key in lower case; of a list, what stands within its braces.
    """

    path: Path
    fields: dict[str, str]

    def whole_number(self, key: str, default: int | None = None, least: int = 0) -> int:
        """A field's whole number.

        Raises:
            DataError: the field is missing, or no such number.
        """
        text = self.fields.get(key)
        if text is None and default is not None:
            return default
        if text is None or not re.fullmatch(r"[+]?\d+", text) or int(text) < least:
            found = "has none" if text is None else f"says {text!r}"
            raise DataError(f"{self.path}: expected is a whole number of {least} or more for {key!r}; it {found}.")
        return int(text)

    def number(self, key: str) -> float | None:
        """A field's number; None where there is none.

        Raises:
            DataError: the field is no number.
        """
        numbers = self.numbers(key)
        return numbers[0] if numbers else None

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list's numbers; () where there is no such list.

        Raises:
            DataError: an entry is no number.
        """
        try:
            return tuple(float(entry) for entry in self.entries(key))
        except ValueError as error:
            raise DataError(f"{self.path}: {key!r} has an entry that is no number ({error}).") from None

    def entries(self, key: str) -> tuple[str, ...]:
        """A list's entries as text; () where there is no such list."""
        text = self.fields.get(key, "")
        return tuple(entry.strip() for entry in text.split(",")) if text.strip() else ()


def is_envi(path: Path) -> bool:
    """Whether a file is an ENVI header, or data with a header beside it."""
    return _header_path(path) is not None


def read_envi_header(path: Path) -> tuple[EnviHeader, Path]:
    """The header of an ENVI file, and the file with the data.

    Args:
        path: the header, or the data.

    Raises:
        DataError: one of the two is missing, or the header is none.
    """
    header = _header_path(path)
    if header is None:
        raise DataError(f"{path} has no ENVI header beside it ({path.name}.hdr or {path.stem}.hdr).")
    try:
        text = header.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{header} cannot be read: {error.strerror}.") from error
    if not text.lstrip("\ufeff").startswith("ENVI"):
        raise DataError(f"{header} is no ENVI header: its first line has to be ENVI.")
    without_comments = "\n".join(line for line in text.splitlines()[1:] if not line.lstrip().startswith(";"))
    fields = {
        " ".join(match[1].lower().split()): (match[2] if match[2] is not None else match[3]).strip()
        for match in re.finditer(
            r"^[ \t]*([^={}\n]+?)[ \t]*=[ \t]*(?:\{([^}]*)\}|([^\n]*))", without_comments, re.MULTILINE
        )
    }
    return EnviHeader(header, fields), _data_path(path, header)


def _header_path(path: Path) -> Path | None:
    if path.suffix.lower() == ".hdr":
        return path if path.is_file() else None
    beside = (path.with_name(f"{path.name}{suffix}") for suffix in (".hdr", ".HDR"))
    instead = (path.with_suffix(suffix) for suffix in (".hdr", ".HDR") if path.suffix)
    return next((header for header in (*beside, *instead) if header.is_file()), None)


def _data_path(path: Path, header: Path) -> Path:
    if path != header:
        if not path.is_file():
            raise DataError(f"{path} does not exist; its header {header} does.")
        return path
    stem = header.with_suffix("")
    for suffix in _DATA_SUFFIXES:
        for spelling in (suffix, suffix.upper()):
            candidate = stem.with_name(stem.name + spelling)
            if candidate.is_file() and candidate != header:
                return candidate
    raise DataError(
        f"{header} has no data beside it. Looked for {stem.name} without an ending and with "
        f"{', '.join(_DATA_SUFFIXES[1:])}. Name the file with the data; its header is then found."
    )
