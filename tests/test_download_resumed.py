"""A download goes on where an earlier one was broken off, at whatever moment."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import faulty_server as faulty
import pytest
from downloads import CONTENT, MIB, fetch, names, published
from faulty_server import Site

from bigearth_xr.download import RetryPolicy, download
from bigearth_xr.download.transfer import read_journal
from bigearth_xr.errors import DownloadError
from bigearth_xr.releases import PublishedFile


def begun(site: Site, folder: Path) -> int:
    """Leave a download unfinished; the bytes that it has noted."""
    site.faults = [faulty.limited(9999, faulty.answers(500), after=4)]
    with pytest.raises(DownloadError, match="HTTP 500"):
        download(
            "v2", folder, files=[published(site)], parallel=1, retry=RetryPolicy(retries=0, timeout_s=5), strict=True
        )
    site.faults = []
    site.served.clear()
    journal = read_journal(folder / "a.tar.part.ranges")
    assert journal is not None
    held = sum(stop - start for start, stop in journal.held)
    assert 0 < held < len(CONTENT)
    return held


def test_what_is_there_is_not_fetched_again(site: Site, tmp_path: Path) -> None:
    held = begun(site, tmp_path)
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert site.served["a.tar"] == len(CONTENT) - held + 1


def test_another_mirror_goes_on_with_it(site: Site, tmp_path: Path) -> None:
    held = begun(site, tmp_path)
    with faulty.serving({"a.tar": CONTENT}) as mirror:
        mirror.etags = False
        mirror.headers["Last-Modified"] = "Wed, 21 Oct 2015 07:28:00 GMT"
        fetch(mirror, tmp_path)
        assert mirror.served["a.tar"] == len(CONTENT) - held + 1


def test_a_file_that_changed_between_runs_starts_over(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(site, tmp_path)
    new = CONTENT[::-1]
    site.files["a.tar"] = new
    fetch(site, tmp_path, published(site, content=new))
    assert (tmp_path / "a.tar").read_bytes() == new
    assert "a.tar: what an earlier run left is of another version; starting over" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["cut", "torn", "garbage", "beyond", "shorter part"])
def test_a_damaged_journal_costs_bytes_at_most(site: Site, tmp_path: Path, damage: str) -> None:
    begun(site, tmp_path)
    journal, part = tmp_path / "a.tar.part.ranges", tmp_path / "a.tar.part"
    text = journal.read_text()
    if damage == "shorter part":
        os.truncate(part, 100)
    else:
        texts = {"cut": text[:30], "torn": text[:-3], "garbage": "\0" * 50, "beyond": f"{text}[0, 99999999]\n"}
        journal.write_text(texts[damage])
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_a_line_behind_a_torn_one_is_not_believed(site: Site, tmp_path: Path) -> None:
    begun(site, tmp_path)
    journal = tmp_path / "a.tar.part.ranges"
    journal.write_text(f"{journal.read_text()}[0, 52[1, 2]\n")
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def downloading(file: PublishedFile, folder: Path) -> subprocess.Popen[bytes]:
    """Download in a process that can be killed."""
    script = (
        "from bigearth_xr.download import download\n"
        "from bigearth_xr.releases import PublishedFile\n"
        f"download('v2', {str(folder)!r}, files=[{file!r}])\n"
    )
    return subprocess.Popen([sys.executable, "-c", script])


def test_a_killed_process_fetched_nothing_in_vain(site: Site, tmp_path: Path) -> None:
    enough = threading.Event()

    def wait(handler: faulty.Handler) -> bool:
        enough.wait(60)
        handler.hang_up()
        return True

    site.faults = [faulty.limited(9999, wait, after=3)]
    with downloading(published(site), tmp_path) as run:
        # The probe, two pieces, and four connections that wait: what came is noted before more is asked for.
        assert eventually(lambda: len(site.requests) == 7)
        run.kill()
    enough.set()
    assert names(tmp_path) == {"a.tar.part", "a.tar.part.ranges"}
    site.faults = []
    site.served.clear()
    fetch(site, tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert site.served["a.tar"] == len(CONTENT) - 2 * MIB + 1


def test_processes_killed_at_any_moment(site: Site, tmp_path: Path) -> None:
    site.pause_s = 0.01
    site.files["a.tar"] = content = CONTENT * 4
    file, random_, part = published(site, content=content), random.Random(7), tmp_path / "a.tar.part"
    for _ in range(4):
        with downloading(file, tmp_path) as run:
            assert eventually(lambda run=run: part.exists() or run.poll() is not None)  # type: ignore[misc]  # a lambda
            time.sleep(0.2 * random_.random())
            run.kill()
    site.pause_s = 0
    fetch(site, tmp_path, file)
    assert (tmp_path / "a.tar").read_bytes() == content


def eventually(happened: Callable[[], bool]) -> bool:
    """Wait until it happened, a minute at most."""
    deadline = time.monotonic() + 60
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.005)
    return happened()
