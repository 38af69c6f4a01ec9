"""What is checked before the first process starts: the codec, the spool's folder and its lock."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from router.config.schema import Config
from router.errors import ConfigError, SpoolError
from router.spool.layout import DIRECTORY_MODE, SpoolLock, incoming_directory
from router.spool.recover import clean_incoming

LOCK_WAIT_S = 10.0  # a killed router's processes need a moment to end, on a slow disk or a busy machine more
LOCK_RETRY_S = 0.05
CODEC_VARIABLE = "ROUTER_CODEC"


class SharedLock(SpoolLock):
    """The spool's lock with a descriptor to hand on: it is held until every process that has it is gone."""

    def fileno(self) -> int:
        """Return the descriptor of the lock, which must be held."""
        assert self._descriptor is not None
        return self._descriptor


def check_codec(config: Config) -> None:
    """See to it that the codec asked for is the one that runs, here and in the children.

    Raises ConfigError if the compiled codec is wanted and cannot be had: the slow twin never runs unasked.
    """
    wanted = config.router.codec
    forced = os.environ.get(CODEC_VARIABLE, wanted)
    if forced != wanted:
        raise ConfigError(
            "", "router.codec", f"{CODEC_VARIABLE}={forced} contradicts codec = \"{wanted}\"",
            f'unset {CODEC_VARIABLE}, or set codec = "{forced}"',
        )  # fmt: skip
    os.environ[CODEC_VARIABLE] = wanted
    try:
        from router.wire import codec  # its import decides which codec it is
    except ImportError as error:
        raise ConfigError(
            "", "router.codec", f"the compiled codec cannot be loaded: {error}",
            'reinstall the package, or set codec = "reference" to investigate with the slow one',
        ) from None  # fmt: skip
    if wanted != codec.CODEC_NAME:
        raise ConfigError("", "router.codec", f"the codec is {codec.CODEC_NAME}, not {wanted}")


def raise_descriptor_limit() -> int:
    """Let this process and its children have as many descriptors as the system allows; return how many.

    Every association and every pair of acceptor and worker takes some; the usual soft limit of 1024 is there
    for programs that use select(2).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def open_spool(path: Path) -> SharedLock:
    """Make the spool's folder if need be, check that it can be written, and take its lock.

    Raises SpoolError if it cannot be written, or another router holds it LOCK_WAIT_S long.
    """
    try:
        for folder in (path, incoming_directory(path)):
            folder.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        # A full disk must not keep the router from delivering what fills it.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise SpoolError(f"spool {path} cannot be written: {error.strerror}") from None
    lock = SharedLock(path / "lock")
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            lock.acquire()
            break
        except SpoolError:
            if time.monotonic() >= deadline:
                raise
        except OSError as error:
            raise SpoolError(f"spool {path} cannot be locked: {error.strerror}") from None
        await asyncio.sleep(LOCK_RETRY_S)
    # Nobody else is here: what an earlier router had half received was never acknowledged.
    with suppress(OSError):
        clean_incoming(path, time.time_ns())
    return lock
