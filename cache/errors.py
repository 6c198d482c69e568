"""What can go wrong in the cache, in one tree.

    CacheError
    ├── Damaged             stored bytes are not what was written; always handled as a miss
    ├── Away                Redis or the archive did not answer in time, or refused; always handled as a miss
    ├── Unreachable         Redis did not answer where that matters: not everything could be forgotten
    │   └── Full            it has no room for what is needed to find what is to be forgotten
    ├── FlightFailed        a synthesis failed where its own exception cannot be had: `code` says how
    ├── NoArchive           the archive cannot be opened
    └── EmbeddedError       the embedded server cannot be had
        ├── NoBinary        no server binary for this platform
        ├── DataDirUnusable the directory cannot be made, locked or written
        └── DidNotStart     the server ended, or did not answer in time

Only `Unreachable`, `FlightFailed`, `NoArchive` and the `EmbeddedError`s ever leave this package.
"""


class CacheError(Exception):
    """Something of the cache's own."""


class Damaged(CacheError):
    """Bytes that are not a whole, unchanged value of this layout."""


class Away(CacheError):
    """Redis, or the archive, cannot be used at the moment."""


class Unreachable(CacheError):
    """Redis did not answer, so something may not have been forgotten; asking again finishes it."""


class Full(Unreachable):
    """Redis is out of memory and throws nothing out."""


class FlightFailed(CacheError):
    """The synthesis that was waited for failed; `code` is a short word, safe to log and to send."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NoArchive(CacheError):
    """The archive cannot be opened; the message says what to do."""


class EmbeddedError(CacheError):
    """The embedded server cannot be had; the message says what to do."""


class NoBinary(EmbeddedError):
    """No server binary for this platform."""


class DataDirUnusable(EmbeddedError):
    """The data directory cannot be made, locked or written."""


class DidNotStart(EmbeddedError):
    """The server ended, or did not answer in time."""
