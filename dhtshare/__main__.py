"""The program, as `dhtshare` and as `python -m dhtshare`: Ctrl-C is no traceback, from its first line to its last."""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing's own would have to be loaded, in which time nothing here could catch a Ctrl-C
if TYPE_CHECKING:
    from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    try:
        from dhtshare.cli.main import main as run  # loading takes a moment, in which people change their minds

        run()
    except KeyboardInterrupt:
        print("dhtshare: Interrupted.", file=sys.stderr)  # noqa: T201
        sys.exit(INTERRUPTED)
    finally:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is left to wind down but Python itself


if __name__ == "__main__":
    main()
