"""``python -m stbench``."""

from __future__ import annotations

from stbench.cli import main

if __name__ == "__main__":
    main()
