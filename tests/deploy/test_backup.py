"""The script of the hourly backup, with a stand-in for ``zraft``."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.deploy.documents import DEPLOY, documents

DAY = 86_400


@pytest.fixture
def script(tmp_path: Path) -> str:
    [job] = [one for one in documents(DEPLOY / "backup.yaml") if one["kind"] == "CronJob"]
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-euc"]
    [text] = container["args"]
    return str(text).replace("/backup", str(tmp_path / "backup"))


def run(script: str, home: Path, zraft: str) -> int:
    (home / "bin").mkdir(exist_ok=True)
    stand_in = home / "bin" / "zraft"
    stand_in.write_text(f"#!/bin/sh\n{zraft}\n")
    stand_in.chmod(0o755)
    environment = {"PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(["sh", "-euc", script], env=environment, timeout=60, check=False).returncode


def put(backup: Path, name: str, age: float) -> Path:
    backup.mkdir(exist_ok=True)
    (backup / name).touch()
    os.utime(backup / name, times=(time.time() - age,) * 2)
    return backup / name


def test_backups_of_seven_days_stay(script: str, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    old, killed = put(backup, "zraft-1.snapshot", 7 * DAY + 60), put(backup, ".zraft-1.snapshot.01234567", DAY)
    young, busy = put(backup, "zraft-2.snapshot", 7 * DAY - 60), put(backup, ".zraft-2.snapshot.01234567", 60)
    other = put(backup, "lost+found", 30 * DAY)
    assert run(script, tmp_path, 'test "$2" = status || : > "$3"') == 0
    assert not old.exists()
    assert not killed.exists()
    left = set(backup.iterdir())
    assert left > {young, busy, other}
    [new] = left - {young, busy, other}
    assert new.name.startswith("zraft-20")


def test_room_is_made_before_a_backup_and_the_newest_stays_whatever_its_age(script: str, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    older, newest = put(backup, "zraft-1.snapshot", 30 * DAY), put(backup, "zraft-2.snapshot", 20 * DAY)
    assert run(script, tmp_path, "exit 71") == 71
    assert not older.exists()
    assert newest.exists()
