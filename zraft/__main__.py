"""``python -m zraft``: the ``zraft`` command, where it is not on the path."""

from zraft.cli import main

if __name__ == "__main__":
    main()
