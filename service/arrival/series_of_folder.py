"""The DICOM series of a folder or of single files, headers only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import Dataset, FileDataset, dcmread
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from service.arrival.routing import keywords_to_read
from service.config.reader import LoadedSite
from service.dicom.library_errors import LIBRARY_ERRORS

_SHOWN: Final = ("SOPClassUID", "SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription")


@dataclass(repr=False)
class FolderSeries:
    """One series; its AE titles stand in the files' header (PS3.10 Table 7.1-1) or are empty."""

    title: str
    is_ct: bool
    calling_ae: str
    called_ae: str
    headers: list[Dataset] = field(default_factory=list)


def series_of(folder: Path, loaded: LoadedSite) -> list[FolderSeries]:
    """Every series below ``folder``; files that are not DICOM are passed over."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "DICOMDIR")
    return series_among(files, loaded)


def series_among(sources: Iterable[Path | bytes], loaded: LoadedSite) -> list[FolderSeries]:
    """Every series among files, or beginnings of files; what is not DICOM is passed over."""
    keywords = [*_SHOWN, *keywords_to_read(loaded)]
    by_uid: dict[tuple[str, str], FolderSeries] = {}
    for header in _headers(sources, keywords):
        try:
            key = (str(header.get("SeriesInstanceUID", "")), str(header.get("SOPClassUID", "")))
            begun = _begun(header)
        except LIBRARY_ERRORS:  # pydicom reads the values only now
            continue
        by_uid.setdefault(key, begun).headers.append(header)
    for series in by_uid.values():
        series.title += f", {len(series.headers)} images"
    return sorted(by_uid.values(), key=lambda series: series.title)


def _headers(sources: Iterable[Path | bytes], keywords: list[str]) -> Iterator[FileDataset]:
    for each in sources:
        try:
            file = BytesIO(each) if isinstance(each, bytes) else each
            yield dcmread(file, stop_before_pixels=True, specific_tags=list(keywords))
        except LIBRARY_ERRORS:
            continue


def _begun(header: FileDataset) -> FolderSeries:
    meta = header.file_meta
    return FolderSeries(
        title=f"series {header.get('SeriesNumber') or '?'}, {header.get('Modality') or '?'}, "
        f"'{header.get('SeriesDescription') or ''}'",
        is_ct=header.get("SOPClassUID") in (CTImageStorage, EnhancedCTImageStorage),
        calling_ae=str(meta.get("SourceApplicationEntityTitle", "") or "").strip(),
        called_ae=str(meta.get("ReceivingApplicationEntityTitle", "") or "").strip(),
    )
