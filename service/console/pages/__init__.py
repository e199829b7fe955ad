"""The pages that people open: rendered here, kept up to date by events, every change made through the API.

Nothing of a patient ever stands in an address or a title: what is typed into a search goes into a body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.staticfiles import StaticFiles

from service.console.pages import case, configuration, day, live, quality, sign_in, surroundings, worklist
from service.console.pages.rendering import STATIC

if TYPE_CHECKING:
    from fastapi import FastAPI

    from service.console.premises import Premises


def install(app: FastAPI, premises: Premises) -> None:
    """Every page, and the files that they load."""
    app.state.newsroom = live.Newsroom(premises)
    for part in (sign_in, worklist, case, live, day, quality, surroundings, configuration):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=STATIC))
