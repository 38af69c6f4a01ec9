"""Types of gathering.pyx."""

from types import TracebackType

class Gathering:
    def __enter__(self) -> None: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

class Parcel:
    @property
    def size(self) -> int: ...
