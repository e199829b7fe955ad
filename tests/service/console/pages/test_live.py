"""News of the ledger: told once to everybody who listens, ended with the process and with the session."""

from __future__ import annotations

import asyncio

import pytest

from service.backlog import account_tables as tables
from service.backlog.records import JobState
from service.console.callers import REFRESH_HEADER
from service.console.pages.live import Newsroom


def test_everybody_who_listens_is_told_what_changed(desk):
    job = desk.job().id

    async def listen() -> list[frozenset[str] | None]:
        room = Newsroom(desk.premises)
        first, second = room.news(), room.news()
        begun = [await anext(first), await anext(second)]
        with desk.ledger.begin() as conn:
            desk.ledger.move_job(conn, job, JobState.CONTOURING)
        told = [await anext(first), await anext(second)]
        assert len(room) == 2
        await first.aclose()
        await second.aclose()
        assert len(room) == 0
        return begun + told

    assert asyncio.run(asyncio.wait_for(listen(), 60)) == [None, None, {job}, {job}]


def test_a_transfer_that_begins_is_news_although_it_is_no_event(desk):
    job = desk.delivered_job().id
    again = desk.premises.operations("tests").resend(job, "eclipse")

    async def listen() -> frozenset[str] | None:
        news = Newsroom(desk.premises).news()
        assert await anext(news) is None
        desk.ledger.start_attempt(again.id)
        return await anext(news)

    assert asyncio.run(asyncio.wait_for(listen(), 60)) == {job}


def test_who_listens_does_not_keep_the_process_from_ending(desk):
    async def listen() -> list[frozenset[str] | None]:
        news = Newsroom(desk.premises).news()
        begun = [await anext(news)]
        asyncio.get_running_loop().call_later(0.1, desk.premises.ending.set)  # while it waits for news
        return begun + [each async for each in news]

    assert asyncio.run(asyncio.wait_for(listen(), 5)) == [None, None]


@pytest.mark.parametrize(("headers", "stays"), [({}, True), ({REFRESH_HEADER: "1"}, False)])
def test_a_page_that_asks_by_itself_does_not_keep_its_session_alive(desk, headers, stays):
    credentials = {"name": "reader", "password": "correct horse battery"}
    assert desk.client.post("/api/v1/session", json=credentials).status_code == 200
    t = tables.sign_in_session
    with desk.ledger.begin() as conn:
        conn.execute(t.update().values(seen_at=t.c.seen_at - 3000))
    before = seen_at(desk)
    assert desk.client.get("/", headers=headers).status_code == 200
    assert (seen_at(desk) > before) is stays


def seen_at(desk) -> float:
    t = tables.sign_in_session
    with desk.ledger.reading() as conn:
        return float(conn.execute(t.select().with_only_columns(t.c.seen_at)).scalar_one())
