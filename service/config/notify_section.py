"""What ``node.notify`` may say: whom the node tells, and by which servers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from service.config.field_types import Email, Host, PeerPort, WebAddress
from service.config.section import Section


class Notify(Section):
    """Who is told of refusals and dead letters; the messages carry job ids and reasons, no patient data."""

    webhook: WebAddress | None = Field(default=None, description="URL that gets a JSON document by POST")
    email_to: list[Email] = Field(default_factory=list, description="addresses that get a plain-text message")
    email_from: Email = Field(default="delineate@localhost", description="sender address")
    smtp_host: Host = Field(default="127.0.0.1", description="mail server")
    smtp_port: PeerPort = Field(default=25, description="mail server's port")
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        default="none", description="how the mail server is reached; its certificate is verified"
    )
    smtp_user: str | None = Field(default=None, min_length=1, description="user name at the mail server")
    smtp_password_file: str | None = Field(
        default=None,
        min_length=1,
        description="file whose first line is the password, relative to this file; "
        "else it comes from DELINEATE_SMTP_PASSWORD",
    )
    webhook_token_file: str | None = Field(
        default=None,
        min_length=1,
        description="file whose first line goes with the webhook as a bearer token, relative to this file; "
        "else it comes from DELINEATE_WEBHOOK_TOKEN",
    )
    again_minutes: float = Field(
        default=240.0, gt=0, description="minutes after which what still waits too long is told again"
    )
    waiting_minutes: float = Field(
        default=15.0, gt=0, description="minutes that a job, a delivery or a stage may stand still untold"
    )
