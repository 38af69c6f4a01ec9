"""Send many instances over one association on the event loop, as many at once as the peer allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from router.api.exchange import status_of
from router.api.store_many import refused, window_of
from router.services.message_ids import MessageIds
from router.standard.dimse_fields import C_STORE_RQ

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from router.aio.composite_services import CompositeServices


async def store_many(
    assoc: CompositeServices,
    instances: Iterable[Dataset | str | Path] | AsyncIterable[Dataset | str | Path],
    priority: int,
) -> AsyncGenerator[tuple[Any, Dataset], None]:
    """Yield (item, status) of each instance, in the order they are answered."""
    window, ids = window_of(assoc), MessageIds()
    source = _iterate(instances)
    running: dict[asyncio.Task[Dataset], Any] = {}
    is_exhausted = False
    try:
        while running or not is_exhausted:
            while len(running) < window and not is_exhausted:
                try:
                    item = await anext(source)
                except StopAsyncIteration:
                    is_exhausted = True
                else:
                    running[asyncio.ensure_future(_store(assoc, item, priority, ids.take()))] = item
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task in done]:
                yield running.pop(task), task.result()
    finally:
        for task in running:
            task.cancel()


async def _store(
    assoc: CompositeServices, item: Dataset | str | Path, priority: int, message_id: int
) -> Dataset:
    if not assoc.is_established:
        return status_of(None, C_STORE_RQ)
    try:
        return await assoc.send_c_store(item, message_id, priority)
    except (ValueError, AttributeError, OSError, TypeError) as error:
        return refused(error)


async def _iterate(
    instances: Iterable[Dataset | str | Path] | AsyncIterable[Dataset | str | Path],
) -> AsyncIterator[Dataset | str | Path]:
    if isinstance(instances, AsyncIterable):
        async for item in instances:
            yield item
    else:
        for item in instances:
            yield item
