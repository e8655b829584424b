"""The command line."""

from __future__ import annotations

import sys
from io import TextIOWrapper


def main() -> None:
    """Run stbench; every error that can be explained is one sentence and an exit code, never a traceback."""
    from stbench.cli.app import app
    from stbench.errors import StbenchError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # terminals that have no µ
    try:
        app()
    except SystemExit as exit_:
        # Click leaves with 2 for wrong usage; here 2 means that no pair of dataset and protocol applies
        sys.exit(1 if exit_.code == 2 else exit_.code)
    except StbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
