"""What a destination may say of DICOMweb (PS3.18): where STOW-RS is, and how we say who we are."""

from __future__ import annotations

from pydantic import Field

from service.config.field_types import FileName, Secret, WebAddress
from service.config.section import Section


class DicomWeb(Section):
    """STOW-RS instead of C-STORE; certificates are the destination's `tls` section's."""

    url: WebAddress = Field(
        description="address of the service, to which `/studies` is added unless it ends so; "
        "without user and password"
    )
    token: Secret | None = Field(
        default=None, description="the environment variable that holds a bearer token, as ${NAME}"
    )
    token_file: FileName | None = Field(
        default=None, description="file whose first line is the bearer token; relative to this file"
    )
    user: str | None = Field(default=None, min_length=1, description="user name, for Basic authentication")
    password: Secret | None = Field(
        default=None, description="the environment variable that holds the user's password, as ${NAME}"
    )
    password_file: FileName | None = Field(
        default=None, description="file whose first line is the user's password; relative to this file"
    )

    @property
    def studies_url(self) -> str:
        """What instances are posted to (PS3.18 10.5.1)."""
        url = self.url.rstrip("/")
        return url if url.endswith("/studies") else f"{url}/studies"
