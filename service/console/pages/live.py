"""What changed, told to every open page by server-sent events: one look at the ledger for all of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from service.backlog import ledger_tables as tables
from service.backlog.records import DeliveryState
from service.console.callers import Caller, Reader, premises_of
from service.console.pages.rendering import PageRoute
from service.console.refusals import ConsoleRefused
from service.log import EventLog

if TYPE_CHECKING:
    from service.console.premises import Premises

_EVERY_SECONDS: Final = 0.5
_HEARTBEAT_SECONDS: Final = 10.0
_LATEST: Final = 200  # events looked at: numbers of a server's transactions may come out of order
_AT_MOST: Final = 60  # of the connections that the process takes at all
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_log = EventLog("console")
router = APIRouter(route_class=PageRoute, include_in_schema=False)


class Newsroom:
    """Looks at the ledger while somebody listens, and wakes those who do."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._listeners: set[asyncio.Queue[frozenset[str] | None]] = set()
        self._watch: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._listeners)

    async def news(self) -> AsyncIterator[frozenset[str] | None]:
        """Ids of jobs and ``series-N`` that changed; None at first, and when nothing has for a while.

        What a page shows that it asks for after the first None is kept up to date from there on.
        """
        queue: asyncio.Queue[frozenset[str] | None] = asyncio.Queue(maxsize=100)
        self._listeners.add(queue)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._look())
        else:
            queue.put_nowait(None)
        try:
            while not self._premises.ending.is_set():
                try:
                    yield await asyncio.wait_for(queue.get(), _HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield None
        finally:
            self._listeners.discard(queue)

    async def _look(self) -> None:
        seen: Mapping[int, str] | None = None
        running: frozenset[str] = frozenset()
        while self._listeners:
            if self._premises.ending.is_set():
                self._tell(None)
                return
            try:
                latest, now_running = await run_in_threadpool(_latest, self._premises)
            except sa.exc.SQLAlchemyError as error:
                _log.failure("console.database-unavailable", error)
                await asyncio.sleep(_HEARTBEAT_SECONDS)
                continue
            if seen is not None:
                changed = {latest[each] for each in latest.keys() - seen.keys()}
                changed |= {each.partition("/")[0] for each in now_running ^ running}
                if changed:
                    self._tell(frozenset(changed))
            else:
                self._tell(None)
            seen, running = latest, now_running
            await asyncio.sleep(_EVERY_SECONDS)

    def _tell(self, changed: frozenset[str] | None) -> None:
        for queue in self._listeners:
            if not queue.full():  # who does not read is told everything by the next page
                queue.put_nowait(changed)


def _latest(premises: Premises) -> tuple[dict[int, str], frozenset[str]]:
    """The last events by number with whom they are about, and the transfers that run (they are no event)."""
    e, d = tables.event, tables.delivery
    with premises.ledger.reading() as conn:
        rows = conn.execute(
            sa.select(e.c.id, e.c.job_id, e.c.series_id).order_by(e.c.id.desc()).limit(_LATEST)
        )
        events = {row.id: row.job_id or f"series-{row.series_id}" for row in rows}
        sending = sa.select(d.c.job_id, d.c.id, d.c.attempts).where(d.c.state == DeliveryState.SENDING.value)
        running = frozenset(f"{job}/{row}/{attempts}" for job, row, attempts in conn.execute(sending))
    return events, running


@router.get("/events")
async def events(request: Request, caller: Reader) -> StreamingResponse:
    """A stream of names of what changed; the page then asks for what it shows of them."""
    room: Newsroom = request.app.state.newsroom
    if len(room) >= _AT_MOST:
        sentence = "Too many pages are kept up to date at once. Close some."
        raise ConsoleRefused(503, "console.too-many-listeners", sentence, retry_after=10.0)
    premises = premises_of(request)

    async def stream() -> AsyncIterator[str]:
        yield "retry: 2000\n: here\n\n"
        looked_at = time.monotonic()
        async for changed in room.news():
            if time.monotonic() - looked_at > _HEARTBEAT_SECONDS / 2:
                if not await run_in_threadpool(_still_signed_in, premises, caller):
                    return
                looked_at = time.monotonic()
            if changed is None:
                yield "event: alive\ndata: {}\n\n"
            else:
                yield f"event: changed\ndata: {json.dumps({'keys': sorted(changed)})}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers=_HEADERS)


def _still_signed_in(premises: Premises, caller: Caller) -> bool:
    """A page that listens does not keep its session alive."""
    if caller.session is None:
        return True
    idle_minutes = premises.started_with.site.console.idle_minutes
    return premises.sign_ins.by_session(caller.session, idle_minutes, seen=False) is not None
