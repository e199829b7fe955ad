"""What the API answers about the node's surroundings."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class DiskOut(BaseModel):
    """The storage folder."""

    used_gb: float
    free_gb: float
    reserve_gb: float
    budget_gb: float | None


class Status(BaseModel):
    """What `delineate status` says."""

    series: dict[str, int]
    jobs: dict[str, int]
    deliveries: dict[str, int]
    longest_wait_seconds: float
    engine: dict[str, dict[str, int]]
    stuck: list[dict[str, Any]]
    disk: DiskOut
    config_version: str
    config_mistakes: list[str]
    restart_needed: list[str]


class DestinationOut(BaseModel):
    """A destination of the configuration and how it went there last."""

    name: str
    ae_title: str | None
    host: str | None
    port: int | None
    address: str
    objects: list[str]
    profile: str
    deliveries: dict[str, int]
    last_success: str | None
    last_attempt: str | None
    last_code: str | None
    last_sentence: str | None


class EchoOut(BaseModel):
    """Whether a destination answers C-ECHO."""

    destination: str
    answers: bool
    code: str
    sentence: str


class SenderOut(BaseModel):
    """One that may call, or that has called, and what became of what it sent."""

    ae_title: str
    configured: bool
    addresses: list[str]
    series: dict[str, int]
    refused: dict[str, int]
    last: str | None


class ConfigurationOut(BaseModel):
    """The configuration in force, and what is wrong with the file if it is another."""

    version: str
    text: str
    mistakes: list[str]
    warnings: list[str]
    restart_needed: list[str]


class ConfigurationText(BaseModel):
    """A text to check."""

    text: str = Field(max_length=1_000_000)


class Checked(BaseModel):
    """What a text would do as configuration; nothing is changed."""

    good: bool
    mistakes: list[str]
    warnings: list[str]
