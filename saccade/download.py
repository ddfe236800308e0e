"""Fetches the four files of MNIST, and keeps nothing that is not byte for byte MNIST."""

import hashlib
import http.client
import os
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

from saccade.idx import find

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}  # of the gzip files


def cache_folder() -> Path:
    """Where this platform keeps what can be fetched again, e.g. `~/.cache/saccade`."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "saccade"


def fetch_mnist(folder: Path) -> None:
    """Fetches those of MNIST's four files that `folder` lacks; no network if it lacks none.

    Each is checked by its SHA-256, written beside and renamed.

    Args:
        folder: Made if need be.

    Raises:
        FileNotFoundError: If no mirror gives a file.
        ValueError: If what a mirror gives is not that file and no other mirror gives it, or
            the folder cannot be written.
    """
    for name, checksum in SHA256.items():
        if find(folder, name):
            continue
        content = _fetch(f"{name}.gz", checksum, folder)
        beside = folder / f"{name}.gz.{os.getpid()}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(content)
            beside.replace(folder / f"{name}.gz")
        except OSError as error:
            raise ValueError(
                f"{folder} cannot be written ({error.strerror}); "
                "set SACCADE_DATA to a folder that can, or leave it unset"
            ) from None
        finally:
            with suppress(OSError):  # it is there only if something went wrong
                beside.unlink()


def _fetch(file: str, checksum: str, folder: Path) -> bytes:
    """The file's bytes from the first mirror that has it as it should be."""
    reasons = []
    corrupt = False
    for mirror in MIRRORS:
        try:
            with urllib.request.urlopen(mirror + file, timeout=30) as response:
                content: bytes = response.read()
        except (OSError, http.client.HTTPException) as error:
            reasons.append(f"{mirror}: {getattr(error, 'reason', None) or error}")
            continue
        if hashlib.sha256(content).hexdigest() == checksum:
            return content
        corrupt = True
        reasons.append(f"{mirror}: its checksum is not MNIST's")
    message = f"{file} could not be fetched; put it into {folder} by hand ({'; '.join(reasons)})"
    raise ValueError(message) if corrupt else FileNotFoundError(message)
