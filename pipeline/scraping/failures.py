"""Why there is no answer: one short word for each of the many exceptions of the HTTP client."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import aiohttp

from pipeline.scraping.guard import REFUSED


class Failure(Exception):
    """An attempt that failed. ``tries`` bounds the attempts for this cause (0: as configured).

    ``passing`` failures are worth another attempt, after ``wait`` seconds if that is given.
    """

    def __init__(
        self,
        reason: str,
        *,
        passing: bool = False,
        status: int | None = None,
        wait: float | None = None,
        tries: int = 0,
    ) -> None:
        super().__init__(reason)
        self.reason, self.passing, self.status = reason, passing, status
        self.wait, self.tries = wait, tries


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Turn what the client raises into ``Failure``. Errors of the disk pass as they are."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError:  # by its ancestors a ValueError as well
        raise Failure("bad_certificate", passing=True, tries=1) from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError, ValueError):
        raise Failure("bad_address") from None
    except aiohttp.ConnectionTimeoutError:
        raise Failure("unreachable", passing=True) from None
    except TimeoutError:
        raise Failure("timeout", passing=True) from None
    except aiohttp.ClientPayloadError:  # fewer bytes than Content-Length announced
        raise Failure("cut_short", passing=True) from None
    except aiohttp.ClientConnectorError as error:
        if REFUSED in str(error.os_error):
            raise Failure("private_address") from None
        raise Failure("unreachable", passing=True) from None
    except (aiohttp.ClientError, ConnectionError):
        raise Failure("connection_lost", passing=True) from None
