"""``python -m zraft.cli``."""

from zraft.cli import main

if __name__ == "__main__":
    main()
