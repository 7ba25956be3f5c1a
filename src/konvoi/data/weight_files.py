"""Files of public weights: fetched once, verified by checksum, and kept in the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.error import URLError

from konvoi.data.locations import cache_folder
from konvoi.errors import DataError


def weight_file(url: str, sha256_prefix: str, folder: Path | None = None) -> Path:
    """The file behind a URL; one that lies in the folder already is verified and used.

    Args:
        url: where it is fetched from.
        sha256_prefix: the first digits of its SHA-256.
        folder: default: `weights` in the cache.

    Raises:
        DataError: it cannot be fetched, or is not what was published.
    """
    import torch

    folder = folder or cache_folder("weights")
    path = folder / url.rpartition("/")[2]
    if path.exists():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not found.startswith(sha256_prefix):
            raise DataError(
                f"{path} is not the file that was published: its SHA-256 begins with "
                f"{found[: len(sha256_prefix)]}, and not with {sha256_prefix}. Remove it, and it is fetched again."
            )
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Downloads aside, compares the checksum, then renames.
        torch.hub.download_url_to_file(url, str(path), sha256_prefix, progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise DataError(
            f"{url} cannot be fetched: {error}. Where there is no network, put the file by hand at {path}."
        ) from error
    return path
