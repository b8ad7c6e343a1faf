"""scripts/setup.sh on pretended machines: the programs it calls are stand-ins that write a log."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
TOOLS = ["bash", "env", "cat", "mkdir", "rm", "id", "flock", "sha256sum", "dirname", "tail"]
TOOLS += ["touch", "chmod", "basename"]

PYTHON = """#!/bin/bash
echo "$(basename "$0") $*" >> "$LOG"
case "$*" in
    *version_info*'<'*) exit ${TOO_OLD:-0} ;;
    *ensurepip*) [ -z "$NO_VENV" ] || [ -e "$BIN/venv-is-there" ] ;;
    *'"%d.%d"'*) echo 3.11 ;;
    *'-m venv'*) mkdir -p .venv/bin; cat "$0" > .venv/bin/python; chmod +x .venv/bin/python ;;
    *'pip install'*) [ -z "$NO_NETWORK" ] || { echo 'no route to host'; exit 1; } ;;
esac
"""

APT = """#!/bin/bash
echo "apt-get $*" >> "$LOG"
case "$*" in
    *chromium*) touch "$BIN/chromium" "$BIN/chromedriver"; chmod +x "$BIN"/chrom* ;;
    *venv*) touch "$BIN/venv-is-there" ;;
esac
"""


class Machine:
    """A folder with a copy of the script, and a PATH of stand-ins alone."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.log = root / "clone", root / "bin", root / "log"
        (self.root / "scripts").mkdir(parents=True)
        shutil.copy(REPOSITORY / "scripts" / "setup.sh", self.root / "scripts")
        for name in ("requirements.lock", "pyproject.toml"):
            (self.root / name).write_text("one\n")
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or "/nowhere")
        self.program("python3", PYTHON)
        self.program("apt-get", APT)
        self.program("sudo", '#!/bin/bash\necho "sudo" >> "$LOG"\n"$@"\n')

    def program(self, name: str, text: str = "#!/bin/bash\n") -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def setup(self, code: int = 0, **env: str) -> tuple[str, str]:
        """What the script said, and what it called."""
        self.log.write_text("")
        done = subprocess.run(
            ["bash", "scripts/setup.sh"],
            cwd=self.root,
            env={"PATH": str(self.bin), "LOG": str(self.log), "BIN": str(self.bin), **env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stderr
        return done.stderr, self.log.read_text()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_bare_machine_gets_environment_packages_and_browser(machine: Machine) -> None:
    said, called = machine.setup()
    assert "python3 -m venv .venv" in called
    assert "pip install -r requirements.lock" in called
    assert "pip install --no-deps -e ." in called
    assert "install -y --no-install-recommends chromium chromium-driver" in called
    assert "making .venv" in said and "installing the locked packages" in said


def test_a_second_time_nothing_is_done_and_nothing_said(machine: Machine) -> None:
    machine.setup()
    assert machine.setup() == ("", "")


def test_a_browser_that_is_there_is_kept(machine: Machine) -> None:
    for name in ("google-chrome", "chromedriver"):
        machine.program(name)
    assert "apt-get" not in machine.setup()[1]


def test_a_changed_lock_is_installed_into_the_same_environment(machine: Machine) -> None:
    machine.setup()
    (machine.root / "requirements.lock").write_text("two\n")
    _, called = machine.setup()
    assert "pip install -r requirements.lock" in called and "-m venv" not in called


def test_a_moved_clone_gets_a_new_environment(machine: Machine) -> None:
    machine.setup()
    machine.root = machine.root.rename(machine.root.parent / "moved")
    assert "-m venv" in machine.setup()[1]


def test_debians_missing_venv_is_installed(machine: Machine) -> None:
    assert "install -y --no-install-recommends python3.11-venv" in machine.setup(NO_VENV="1")[1]


def test_without_root_apt_runs_by_sudo(machine: Machine) -> None:
    (machine.bin / "id").unlink()
    machine.program("id", "#!/bin/bash\necho 1000\n")
    assert "sudo" in machine.setup()[1].splitlines()
    for name in ("chromium", "chromedriver", "sudo"):
        (machine.bin / name).unlink()
    said, _ = machine.setup(code=1)
    assert said.startswith("error: please install as root: chromium chromium-driver")


def test_a_failed_installation_shows_why_and_is_tried_again(machine: Machine) -> None:
    said, _ = machine.setup(code=1, NO_NETWORK="1")
    assert "no route to host" in said and "error: " in said.splitlines()[-1]
    assert "pip install -r requirements.lock" in machine.setup()[1]


def test_two_at_once_install_once(machine: Machine) -> None:
    machine.log.write_text("")
    env = {"PATH": str(machine.bin), "LOG": str(machine.log), "BIN": str(machine.bin)}
    started = [
        subprocess.Popen(["bash", "scripts/setup.sh"], cwd=machine.root, env=env) for _ in range(3)
    ]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    assert machine.log.read_text().count("pip install -r") == 1


def test_a_machine_with_too_old_a_python_says_so(machine: Machine) -> None:
    said, called = machine.setup(code=1, TOO_OLD="1")
    assert "Python 3.11 or newer is needed" in said and "-m venv" not in called


def test_make_offers_the_two_commands_of_the_readme() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    targets = [line.split()[1] for line in done.stdout.splitlines()]
    assert targets == ["help", "demo", "test", "chaos", "lint", "bench", "setup", "clean"]
