"""Log lines of one thread, for work on several files at a time."""

import logging
from threading import Lock, get_ident

from mne.utils import logger


class captured_log:
    """Context in which MNE's log lines of this thread go to a list, and nowhere else.

    ``mne.utils.catch_logging`` and ``mne.use_log_level`` put back what they found,
    which is wrong if threads enter and leave in another order.
    """

    _lock = Lock()
    _lines = {}
    _before = None

    def __enter__(self):
        with self._lock:
            if not self._lines:
                type(self)._before = logger.level, logger.handlers[:]
                logger.handlers[:] = [_PerThread(self._lines)]
                logger.setLevel(logging.INFO)
            return self._lines.setdefault(get_ident(), [])

    def __exit__(self, *args):
        with self._lock:
            del self._lines[get_ident()]
            if not self._lines:
                level, logger.handlers[:] = self._before
                logger.setLevel(level)


class _PerThread(logging.Handler):
    def __init__(self, lines):
        super().__init__()
        self._lines = lines

    def emit(self, record):
        lines = self._lines.get(record.thread)
        if lines is not None:
            lines.append(record.getMessage())
