"""A real MediaWiki from Debian's packages, on SQLite and PHP's own server, filled with pictures.

Nothing of Debian's tree is copied or changed and no web server of the system is started: all state
lies in one folder, and what is started is one process group that is killed at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

CORE = Path("/usr/share/mediawiki")
MODULES = ["sqlite3", "intl", "mbstring", "xml", "gd"]
PACKAGES = ["mediawiki", "php-cli", *(f"php-{module}" for module in MODULES)]

SETTINGS = """
$wgEnableUploads = true;
$wgUseImageMagick = false;
$wgMaxShellMemory = 0;
$wgJobRunRate = 0;
$wgUploadDirectory = '{folder}/images';
$wgUploadPath = '/images';
$wgCacheDirectory = '{folder}/cache';
$wgTmpDirectory = '{folder}/cache';
$wgArticlePath = '/wiki/$1';
$wgCategoryPagingLimit = 10;
$wgFileExtensions = [ 'png', 'jpg', 'jpeg', 'webp' ];
$wgParserEnableLegacyMediaDOM = !file_exists( '{folder}/new-markup' );
"""

# What Apache's rewrite rules would do: uploads from our folder, scaled ones made when first asked
# for, and everything that is no file of Debian's goes to MediaWiki's entry page.
ROUTER = """<?php
$core = '/usr/share/mediawiki';
$path = rawurldecode( strtok( $_SERVER['REQUEST_URI'], '?' ) );
if ( strncmp( $path, '/images/', 8 ) === 0 ) {
    $file = realpath( getenv( 'WIKI_FOLDER' ) . $path );
    if ( $file && is_file( $file ) && str_starts_with( $file, getenv( 'WIKI_FOLDER' ) ) ) {
        header( 'Content-Type: ' . mime_content_type( $file ) );
        header( 'Content-Length: ' . filesize( $file ) );
        readfile( $file );
    } elseif ( strncmp( $path, '/images/thumb/', 14 ) === 0 ) {
        chdir( $core );
        include 'thumb_handler.php';
    } else {
        http_response_code( 404 );
    }
} elseif ( $path === '/' || strncmp( $path, '/wiki/', 6 ) === 0 ) {
    $_SERVER['SCRIPT_NAME'] = '/index.php';
    $_SERVER['SCRIPT_FILENAME'] = "$core/index.php";
    chdir( $core );
    include 'index.php';
} else {
    return false;
}
"""

PAGE = """A picture of a {breed} dog, number {number}.
{{|
! id="fileinfotpl_aut" | Author
| {author}
|}}
<div class="licensetpl"><span class="licensetpl_short">{licence}</span></div>
"""


@dataclasses.dataclass(frozen=True)
class File:
    """A picture in the wiki: ``Beagle_03.jpg``, whether it is in its breed's category, its text."""

    name: str
    breed: str
    number: int
    content: bytes
    categorised: bool = True
    author: str = "Ann Lee"
    licence: str = "CC BY-SA 4.0"


def missing() -> str:
    """Why a wiki cannot be had here, "" if it can. Installs the packages where that is possible."""
    if _works():
        return ""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return f"needs {' '.join(PACKAGES)}: no apt-get, or not run as root"
    try:
        with _no_services():
            _install()
    except subprocess.TimeoutExpired:
        return f"{' '.join(PACKAGES)} could not be installed within 120 s"
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "no word").strip().splitlines()[-1]
        return f"{' '.join(PACKAGES)} could not be installed: {last}"
    return "" if _works() else "MediaWiki was installed, but PHP lacks one of its modules"


def _works() -> bool:
    if not (CORE / "index.php").is_file() or shutil.which("php") is None:
        return False
    listing = subprocess.run(["php", "-m"], capture_output=True, text=True, check=False).stdout
    return set(listing.lower().split()) >= set(MODULES)


def _install() -> None:
    """At most 120 s for all of it; the group is killed with what it started."""
    install = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    deadline = time.monotonic() + 120
    for command in (install, ["apt-get", "update"], install):  # the lists may be old, or none
        left = max(deadline - time.monotonic(), 1)
        done = subprocess.run(
            ["timeout", "--kill-after=5", f"{left:.0f}", *command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode in (124, 137):
            raise subprocess.TimeoutExpired(command, 120)
        if command is install and done.returncode == 0:
            return
    raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Debian's way to say that packages may not start what they bring (here: apache2)."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():  # somebody else's word stands
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink(missing_ok=True)


class Wiki:
    """A wiki that is being served; ``url`` is its address."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url

    def new_markup(self, on: bool) -> None:
        """Switch the markup of media, from the next request on."""
        switch = self.folder / "new-markup"
        switch.touch() if on else switch.unlink(missing_ok=True)


@contextlib.contextmanager
def running(folder: Path, files: list[File]) -> Iterator[Wiki]:
    """A wiki in the empty ``folder`` with ``files``, for as long as the context lasts.

    Raises:
        RuntimeError: it does not answer, or has not all files; its logs lie in ``folder``.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    _build(folder, url, files)
    with _served(folder, port):
        _wait(url, len(files), folder)
        yield Wiki(folder, url)


def _build(folder: Path, url: str, files: list[File]) -> None:
    for name in ("db", "images", "cache", "pictures"):
        (folder / name).mkdir()
    for file in files:
        path = folder / "pictures" / file.name
        path.write_bytes(file.content)
        facts = {"breed": file.breed.lower(), "number": file.number}
        text = PAGE.format(author=file.author, licence=file.licence, **facts)
        text += f"[[Category:{file.breed}]]\n" if file.categorised else ""
        path.with_suffix(".txt").write_text(text)
    _maintain(
        folder,
        "install",
        *(f"--confpath={folder}", "--dbtype=sqlite", f"--dbpath={folder / 'db'}", "--dbname=wiki"),
        *("--scriptpath=", f"--server={url}", f"--pass={secrets.token_urlsafe(18)}"),
        *("Wiki", "Admin"),
    )
    with (folder / "LocalSettings.php").open("a") as settings:
        settings.write(SETTINGS.replace("{folder}", str(folder)))
    extensions = "--extensions=jpg,jpeg,png,webp"
    pictures = str(folder / "pictures")
    _maintain(folder, "importImages", "--user=Admin", "--comment-ext=txt", extensions, pictures)
    _maintain(folder, "rebuildtextindex")
    _maintain(folder, "runJobs")


def _maintain(folder: Path, script: str, *arguments: str) -> None:
    with (folder / f"{script}.log").open("wb") as log:
        subprocess.run(
            ["php", str(CORE / "maintenance" / f"{script}.php"), *arguments],
            env=_environment(folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            check=True,
            timeout=120,
        )


def _environment(folder: Path) -> dict[str, str]:
    settings = folder / "LocalSettings.php"
    known = {"MW_CONFIG_FILE": str(settings)} if settings.is_file() else {}
    return {**os.environ, **known, "WIKI_FOLDER": str(folder), "PHP_CLI_SERVER_WORKERS": "4"}


@contextlib.contextmanager
def _served(folder: Path, port: int) -> Iterator[None]:
    router = folder / "router.php"
    router.write_text(ROUTER)
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            ["php", "-S", f"127.0.0.1:{port}", "-t", str(CORE), str(router)],
            env=_environment(folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its workers outlive it, so the group is killed
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait(10)


def _wait(url: str, files: int, folder: Path) -> None:
    question = "action=query&meta=siteinfo&siprop=statistics&format=json"
    deadline, said = time.monotonic() + 30, ""
    while time.monotonic() < deadline:
        try:
            with build_opener(ProxyHandler({})).open(f"{url}/api.php?{question}", timeout=20) as it:
                answer = json.load(it)
            said = f"it has {answer['query']['statistics']['images']} of {files} files"
            if answer["query"]["statistics"]["images"] == files:
                return
            break
        except (OSError, ValueError) as error:
            said = str(error)
            time.sleep(0.1)
    raise RuntimeError(f"the wiki at {url} is not ready: {said}; its logs lie in {folder}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
