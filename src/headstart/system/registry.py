"""A registry of named objects, which other packages extend: by a call, or by an entry point in their metadata."""

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Generic, Protocol, TypeVar

from headstart.errors import InputError, did_you_mean


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Registry(Generic[T]):
    """Objects by name.

    Entry points are read only when a name is not registered, so a process that needs none of them imports none.

    Args:
        kind: what the objects are, for messages, such as ``task``.
        objects: those of headstart itself.
        group: of the entry points by which other packages name theirs.
        field: setting that names one; None without such a setting.
    """

    def __init__(self, kind: str, objects: Iterable[T], *, group: str, field: str | None = None) -> None:
        self._kind, self._group, self._field = kind, group, field
        self._objects = {item.name: item for item in objects}
        self._own_names = frozenset(self._objects)

    def register(self, item: T) -> None:
        """Add an object.

        Raises:
            InputError: there is one of this name already.
        """
        if item.name in self._objects:
            raise InputError(f"there is a {self._kind} named {item.name!r} already.", field=self._field)
        self._objects[item.name] = item

    def unregister(self, name: str) -> None:
        """Remove an object."""
        del self._objects[name]

    def is_in_every_process(self, name: str) -> bool:
        """Whether other processes find an object as well: one of headstart itself, or one with an entry point."""
        return name in self._own_names or bool(entry_points(group=self._group, name=name))

    def all(self) -> list[T]:
        """All registered objects, those of headstart first."""
        return list(self._objects.values())

    def load_installed(self) -> list[T]:
        """Register the objects that installed packages name and that are not registered yet, and return them."""
        names = [entry_point.name for entry_point in entry_points(group=self._group)]
        return [self.get(name) for name in dict.fromkeys(names) if name not in self._objects]

    def get(self, name: str) -> T:
        """The object with a name, registered or named by an entry point.

        Raises:
            InputError: no installed package has it.
        """
        if name not in self._objects:
            for entry_point in entry_points(group=self._group, name=name):
                self.register(entry_point.load()())
        if name not in self._objects:
            raise InputError(
                f"unknown {self._kind} {name!r}: expected one of {', '.join(self._objects)}."
                f"{did_you_mean(name, self._objects)} If a package adds this {self._kind}, install or import it first.",
                field=self._field,
            )
        return self._objects[name]
