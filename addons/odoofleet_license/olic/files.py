"""Codes that somebody mounted: the files `*.olic` of a directory."""
import os
import stat

from .code import LONGEST_TEXT

MOST_FILES = 16

_read = {}


def codes(directory):
    """The texts of the codes in a directory, by name. One that changed is read again; what cannot be read is left out."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".olic") and not name.startswith("."))
    except OSError:
        return []
    texts = [_text(os.path.join(directory, name)) for name in names[:MOST_FILES]]
    return [text for text in texts if text]


def _text(path):
    """A file's text. Kubernetes swaps a link when a Secret changes, so that the file behind it is another one."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LONGEST_TEXT:
            return None
        seen = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        if path not in _read or _read[path][0] != seen:
            with open(path, encoding="utf-8") as file:
                _read[path] = (seen, file.read(LONGEST_TEXT + 1))
        return _read[path][1]
    except (OSError, ValueError):
        return None
