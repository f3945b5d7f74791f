"""The log on standard error: warnings always, more with --verbose; foreign names in it made visible."""

from __future__ import annotations

import logging

from dhtshare.cli.display import visible


class VisibleFormatter(logging.Formatter):
    """One line a record, nothing in it can steer a terminal; a traceback only when asked for."""

    def __init__(self, *, verbose: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s" if verbose else "%(message)s")
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        record.asctime = self.formatTime(record) if self.usesTime() else ""
        lines = [visible(self.formatMessage(record))]
        if self._verbose and record.exc_info:
            lines += map(visible, self.formatException(record.exc_info).splitlines())
        return "\n".join(lines)


def show_log(*, verbose: bool) -> None:
    """Send the log to standard error, once per process."""
    handler = logging.StreamHandler()
    handler.setFormatter(VisibleFormatter(verbose=verbose))
    logger = logging.getLogger()
    logger.handlers = [handler]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
