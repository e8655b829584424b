"""The command line."""

from __future__ import annotations

import sys
from io import TextIOWrapper

INTERRUPTED = 130


def main() -> None:
    """Run stbench; every error that can be explained is one sentence and an exit code, never a traceback."""
    from stbench.cli.remote_store import upload_at_end

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # terminals that have no µ
    code = _run()
    try:
        uploaded = upload_at_end()
    except KeyboardInterrupt:
        uploaded = INTERRUPTED
    sys.exit(code or uploaded)


def _run() -> int | str | None:
    from stbench.cli.app import app
    from stbench.errors import StbenchError

    try:
        app()
    except SystemExit as exit_:
        # Click leaves with 2 for wrong usage; here 2 means that no pair of dataset and protocol applies
        return 1 if exit_.code == 2 else exit_.code
    except StbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
    return 0
