"""A Darknet cfg as a list of sections, ``[kind]`` with options ``name=value``; read as Darknet itself reads it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from headstart.errors import InputError, did_you_mean

MAX_BYTES = 1 << 20
"""The largest published cfg has 50 kB."""

MAX_SECTIONS = 2_000

_ALIASES = {
    "network": "net", "conv": "convolutional", "conn": "connected", "max": "maxpool", "avg": "avgpool",
    "soft": "softmax",
}  # fmt: skip


@dataclass(frozen=True)
class Section:
    """One section of a cfg.

    Args:
        path: of the cfg, for messages.
        line: number of the line with its kind, counted from 1.
        kind: the name in brackets; of two names for one kind, the longer one.
        options: values as text, by name.
    """

    path: Path
    line: int
    kind: str
    options: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}, [{self.kind}]"

    def error(self, problem: str) -> InputError:
        """An error that names the section."""
        return InputError(f"{self}: {problem}")

    def text(self, name: str, default: str) -> str:
        """The value of an option, or its default."""
        return self.options.get(name, default)

    def numbers(self, name: str) -> tuple[float, ...]:
        """The numbers in a list with commas; empty if there is no such option.

        Raises:
            InputError: a value is not a number.
        """
        parts = [part for part in self.text(name, "").split(",") if part]
        try:
            return tuple(map(float, parts))
        except ValueError:
            raise self.error(f"{name}={self.options[name]}: expected numbers with commas.") from None

    def integers(self, name: str) -> tuple[int, ...]:
        """The whole numbers in a list with commas; empty if there is no such option.

        Raises:
            InputError: a value is not a whole number.
        """
        values = self.numbers(name)
        if not all(abs(value) < 1 << 31 and value == int(value) for value in values):
            raise self.error(f"{name}={self.options[name]}: expected whole numbers with commas.")
        return tuple(map(int, values))

    def number(self, name: str, default: float) -> float:
        """The value of an option that is one number.

        Raises:
            InputError: it is not one number.
        """
        values = self.numbers(name)
        if name in self.options and len(values) != 1:
            raise self.error(f"{name}={self.options[name]}: expected one number.")
        return values[0] if values else default

    def integer(self, name: str, default: int, low: int = 0, high: int = 1 << 16) -> int:
        """The value of an option that is one whole number.

        Raises:
            InputError: it is not one whole number between ``low`` and ``high``.
        """
        value = self.number(name, default)
        if value != value or not low <= value <= high or value != int(value):
            raise self.error(f"{name}={self.text(name, str(default))}: expected a whole number from {low} to {high}.")
        return int(value)

    def refuse_others(self, known_options: Collection[str]) -> None:
        """Refuse options that are not known: they could change what the layer computes.

        Raises:
            InputError: there is one.
        """
        for name, value in self.options.items():
            if name not in known_options:
                raise self.error(
                    f"headstart does not know the option {name}={value}.{did_you_mean(name, known_options)}"
                )


def read_sections(path: Path) -> list[Section]:
    """Read a cfg.

    Raises:
        InputError: no such file, not a cfg, or too large.
    """
    if not path.is_file():
        raise InputError(f"no file at {path}: expected the .cfg of a Darknet model.")
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{path} has {path.stat().st_size:,} bytes: expected a .cfg of at most {MAX_BYTES:,} bytes.")
    sections: list[Section] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        stripped = "".join(line.split())  # Darknet, too, removes spaces inside a line
        if not stripped or stripped[0] in "#;":
            continue
        if stripped[0] == "[":
            kind = stripped[1:].partition("]")[0]
            sections.append(Section(path, number, _ALIASES.get(kind, kind)))
            continue
        name, separator, value = stripped.partition("=")
        if not separator or not sections:
            raise InputError(f"{path}, line {number}: expected [kind], name=value or a comment, found {line[:60]!r}.")
        sections[-1].options.setdefault(name, value.partition("#")[0])  # of two values, Darknet takes the first
    if not sections or sections[0].kind != "net":
        beginning = f"[{sections[0].kind}]" if sections else "nothing"
        raise InputError(f"{path} is not the cfg of a Darknet model: expected [net] first, found {beginning}.")
    if not 2 <= len(sections) <= MAX_SECTIONS:
        raise InputError(f"{path} has {len(sections)} sections: expected [net] and 1 to {MAX_SECTIONS} layers.")
    return sections
