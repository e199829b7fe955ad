"""One page from its template: who is signed in, in which language, and errors as pages for people."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse

from service.backlog.roles import Role
from service.backlog.sign_in import csrf_token
from service.console.callers import premises_of
from service.console.pages import moments
from service.console.refusals import ConsoleRefused
from service.console.wording import LANGUAGES, wording_for
from service.errors import NodeError

if TYPE_CHECKING:
    from service.console.callers import Caller

_CONSOLE: Final = Path(__file__).parents[1]
STATIC: Final = _CONSOLE / "static"
THEME_COOKIE: Final = "delineate_theme"
_THEMES: Final = ("light", "dark")
_PLACES: Final = (
    ("worklist", "/", Role.READER),
    ("day", "/day", Role.READER),
    ("quality", "/quality", Role.READER),
    ("models", "/models", Role.READER),
    ("connections", "/connections", Role.READER),
    ("explain", "/explain", Role.READER),
    ("configuration", "/configuration", Role.ADMINISTRATOR),
)
"""What the bar at the top leads to: the page's name, its address, who may."""

_templates: Final = Environment(
    loader=FileSystemLoader(_CONSOLE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    request: Request, caller: Caller | None, template: str, *, status: int = 200, **values: object
) -> HTMLResponse:
    """The template filled in; ``values`` beside what every page has."""
    premises = premises_of(request)
    theme = request.cookies.get(THEME_COOKIE, "")
    role = None if caller is None else caller.account.role
    session = None if caller is None else caller.session
    zone = premises.started_with.site.node.timezone
    words = wording_for(request)
    everywhere = {
        "t": words,
        "languages": LANGUAGES,
        "theme": theme if theme in _THEMES else "",
        "caller": caller,
        "csrf": "" if session is None else csrf_token(session),
        "may_change": role is not None and role.may(Role.OPERATOR),
        "may_configure": role is not None and role.may(Role.ADMINISTRATOR),
        "places": [(name, at) for name, at, needs in _PLACES if role is not None and role.may(needs)],
        "node": premises.started_with.site.node.ae_title,
        "mistakes": premises.site.mistakes,
        "when": lambda at: moments.when(at, zone, words.language),
        "iso": lambda at: moments.machine_readable(at, zone),
        "moment": lambda text: moments.when_written(text, zone, words.language),
        "duration": moments.duration,
    }
    text = _templates.get_template(template).render(everywhere | values)
    return HTMLResponse(text, status_code=status)


class PageRoute(APIRoute):
    """Answers errors with a page: who is not signed in is led to the place where people sign in.

    A change is answered like one of the API: with the code and the sentence, which the page then shows.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI asks for it."""
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await inner(request)
            except NodeError as error:
                if request.method not in ("GET", "HEAD"):
                    raise
                status = error.status if isinstance(error, ConsoleRefused) else 404
                if status == 401:
                    return RedirectResponse("/sign-in", status_code=303)
                return page(request, None, "refused.html", status=status, error=error)

        return handler
