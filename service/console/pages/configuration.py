"""The configuration: what is in force, what is wrong with the file, an editor that checks before it saves."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse

from service.config.advice import warnings_of
from service.config.reader import parse
from service.config.schema import json_schema
from service.console.callers import Administrator, premises_of
from service.console.pages.configuration_history import history, kept_text, save, version_of
from service.console.pages.rendering import PageRoute, page
from service.console.site_models import ConfigurationText
from service.errors import ConfigInvalid

_LINE: Final = re.compile(r"[^:]+:(\d+): (.*)", re.S)

router = APIRouter(prefix="/configuration", route_class=PageRoute, include_in_schema=False)


class Edit(ConfigurationText):
    """A text to save; ``base`` is the version of the text that the edit began with."""

    base: str = Field(pattern="^[0-9a-f]{12}$")


class Saved(BaseModel):
    """What the file is now."""

    version: str


@router.get("")
def configuration_page(request: Request, caller: Administrator) -> HTMLResponse:
    """The file as it is, beside what is wrong with it."""
    premises = premises_of(request)
    loaded = premises.loaded()
    text = loaded.path.read_text(encoding="utf-8", errors="replace")
    return page(
        request,
        caller,
        "configuration.html",
        place="configuration",
        text=text,
        base=version_of(text),
        in_force=loaded.version,
        wrong=list(_placed(premises.site.mistakes)),
        restart_needed=premises.site.restart_needed,
        history=history(premises.storage),
    )


@router.get("/schema")
def schema(_: Administrator) -> JSONResponse:
    """What the editor completes by: the schema that ``delineate schema`` prints."""
    return JSONResponse(json_schema())


@router.post("/preview")
def preview(request: Request, caller: Administrator, posted: ConfigurationText) -> HTMLResponse:
    """What the text would change, and every mistake of it with its line; nothing is saved."""
    loaded = premises_of(request).loaded()
    before = loaded.path.read_text(encoding="utf-8", errors="replace")
    text = posted.text.replace("\r\n", "\n")
    wrong: list[tuple[int, str]] = []
    warnings: list[tuple[int, str]] = []
    try:
        checked = parse(text, loaded.path)
        warnings = [(each.line, each.said_of("").partition(": ")[2]) for each in warnings_of(checked)]
    except ConfigInvalid as error:
        wrong = list(_placed(error.mistakes))
    changes = list(difflib.unified_diff(before.splitlines(), text.splitlines(), n=2, lineterm=""))[2:]
    values: dict[str, Any] = {"wrong": wrong, "warnings": warnings, "changes": changes}
    return page(request, caller, "configuration_checked.html", **values)


@router.post("/save")
def save_text(request: Request, caller: Administrator, edit: Edit) -> Saved:
    """Check once more, and write the file; the node takes it up within seconds."""
    premises = premises_of(request)
    version = save(premises.loaded(), edit.text, edit.base, caller.account.name)
    facts = {"version": version, "before": edit.base}
    premises.audit.record("config.edited", who=caller.who, address=caller.address, facts=facts)
    return Saved(version=version)


@router.get("/history/{name}")
def earlier(
    request: Request, _: Administrator, name: Annotated[str, Path(max_length=120)]
) -> PlainTextResponse:
    """An earlier text, to be put into the editor."""
    return PlainTextResponse(kept_text(premises_of(request).storage, name))


def _placed(mistakes: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and sentence of mistakes as the reader says them."""
    for mistake in mistakes:
        found = _LINE.fullmatch(mistake)
        yield (int(found[1]), found[2]) if found else (1, mistake)
