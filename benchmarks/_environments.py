"""An environment for each peer, made when it is first needed, in a folder that git ignores."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["PEERS", "PeerError", "last_words", "python_of"]

PEERS = Path(__file__).with_name("peers")
_KEPT = Path(__file__).with_name(".peers")
_CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
_LAST_WORDS = 400


class PeerError(Exception):
    """A peer cannot be measured here; the message says why."""


def python_of(name: str) -> Path:
    """Give the interpreter that a peer runs in: this one, unless ``peers/NAME.txt`` says what else is to be installed.

    Raises
    ------
    PeerError
        If it cannot be installed.
    """
    requirements = PEERS / f"{name}.txt"
    if not requirements.exists():
        return Path(sys.executable)
    content = sys.version.encode() + requirements.read_bytes() + _CONSTRAINTS.read_bytes()
    folder = _KEPT / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
    python = folder / "bin" / "python"
    if not folder.exists():
        _KEPT.mkdir(exist_ok=True)
        (_KEPT / ".gitignore").write_text("*\n")
        try:
            _run([sys.executable, "-m", "venv", str(folder)])
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run([*pip, "--constraint", str(_CONSTRAINTS), "--requirement", str(requirements)])
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return python


def last_words(output: str) -> str:
    """Shorten what a process said to its end, where the reason is."""
    text = " ".join(output.split())
    return text if len(text) <= _LAST_WORDS else f"… {text[-_LAST_WORDS:]}"


def _run(command: list[str]) -> None:
    print(f"peers: {' '.join(command)}", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise PeerError(f"cannot be installed: {last_words(done.stderr)}")
