"""What a mutant is: one deliberate defect, applied to a copy of the tree."""

from pathlib import Path

import msgspec


class Mutant(msgspec.Struct, frozen=True):
    """In ``file`` (below ``zraft/``) the text ``old``, which stands there once, becomes ``new``."""

    name: str
    rule: str
    """The sentence that is removed, and the number of the trap, if it is one."""
    file: str
    old: str
    new: str
    test: str = ""
    """Who must find it: a test by its name, where the rule lives in a shell; empty: the simulator."""
    covered_by: str = ""
    """Why nothing can find it: another rule says the same. Then it must not be found, or this is wrong."""

    def apply(self, tree: Path) -> None:
        """Edit the copy in ``tree``.

        Raises:
            ValueError: the text is gone, or stands there twice: the mutant must be written anew.
        """
        path = tree / "zraft" / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: the text stands {text.count(self.old)} times in {self.file}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")
