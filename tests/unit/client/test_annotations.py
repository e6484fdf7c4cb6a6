"""The types of the public surface: a program names in its annotations what it passes, and what it gets."""

import inspect
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest

import zraft
from zraft import Client, Listing, Manifest, Pipeline, ZraftError

METHODS = [
    pytest.param(found.fget if isinstance(found, property) else found, id=f"{surface.__name__}.{name}")
    for surface in (Client, Pipeline, Listing)
    for name, found in vars(surface).items()
    if isinstance(found, property) or (inspect.isfunction(found) and not name.startswith("_"))
]


def classes_in(hint: Any) -> Iterator[type]:
    """The classes of zraft that an annotation names, and those that their fields hold."""
    for part in get_args(hint):
        yield from classes_in(part)
    if isinstance(hint, type) and hint.__module__.partition(".")[0] == "zraft":
        yield hint
        # A manifest's record says itself where it is to be found; errors have no fields.
        if not issubclass(hint, Manifest | ZraftError | Pipeline | Listing):
            for held in get_type_hints(hint).values():
                yield from classes_in(held)


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_takes_and_returns_can_be_imported_from_the_package(method: Any) -> None:
    named = {found.__name__ for hint in get_type_hints(method).values() for found in classes_in(hint)}
    assert named <= set(zraft.__all__)


def test_the_package_has_what_it_says() -> None:
    assert len(METHODS) > 20
    assert len(set(zraft.__all__)) == len(zraft.__all__)
    assert all(hasattr(zraft, name) for name in zraft.__all__)
