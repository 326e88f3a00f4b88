"""Building the C kernels once, and finding them again in a folder that nobody else can write to.

A library is loaded into the process, so a file that another user could have put there must not be. A built library is
called kernels-<key>-<checksum>.so: the key is of everything it depends on, the checksum of its content.
"""

import functools
import hashlib
import logging
import os
import platform
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

log = logging.getLogger(__name__)
SOURCE = Path(__file__).with_name("c") / "kernels.c"
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
BUILD_SECONDS = 60


def shared_library(compiler: str, flags: tuple[str, ...], *, anew: bool = False) -> Path:
    """The kernels compiled with these flags, from the cache or built now.

    Processes that build at once each put a whole file in place.

    Args:
        compiler: path of a C compiler.
        flags: of the compilation.
        anew: build although there is one: what was found cannot be loaded.

    Raises:
        OSError: if the compiler cannot be started, or there is no folder to build in.
        subprocess.SubprocessError: if it fails.
    """
    key, folders = _key(compiler, flags), cache_folders()
    found = None if anew else next((path for folder in folders for path in _sound(folder, key)), None)
    if found is not None:
        return found
    folder = next((folder for folder in folders if os.access(folder, os.W_OK)), None) or new_folder()
    started = time.perf_counter()
    target = _compile(compiler, flags, folder, key)
    log.info(f"built the recurrent kernels once, in {time.perf_counter() - started:.1f} s: {target}")
    return target


def _compile(compiler: str, flags: tuple[str, ...], folder: Path, key: str) -> Path:
    """Builds in the folder and removes what was there under the same key."""
    with tempfile.TemporaryDirectory(dir=folder) as working:
        built = Path(working) / "kernels.so"
        object_file = built.with_suffix(".o")
        for command in (
            [compiler, *flags, "-c", str(SOURCE), "-o", str(object_file)],
            [compiler, "-shared", str(object_file), "-o", str(built), "-lm"],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=BUILD_SECONDS)
        built.chmod(0o644)
        target = folder / f"kernels-{key}-{_checksum(built)}.so"
        built.replace(target)
    for other in folder.glob(f"kernels-{key}-*.so"):
        if other != target:
            other.unlink(missing_ok=True)
    return target


def _sound(folder: Path, key: str) -> list[Path]:
    """Libraries with this key whose content is what their name says and which nobody else could have written."""
    found = []
    for path in sorted(folder.glob(f"kernels-{key}-*.so")):
        try:
            sound = _is_own(path, stat.S_ISREG) and path.stem.endswith(f"-{_checksum(path)}")
        except OSError:  # it cannot be read, or another process has just replaced it
            continue
        if sound:
            found.append(path)
        else:
            log.warning("%s is damaged or another user's: the recurrent kernels are built anew.", path)
    return found


def _key(compiler: str, flags: tuple[str, ...]) -> str:
    sources = (path.read_text(encoding="utf-8") for path in sorted(SOURCE.parent.glob("[a-z]*.[ch]")))
    parts = "\n".join((*sources, compiler, _processor(), torch.__version__, *flags))
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


@functools.cache
def cache_folders() -> tuple[Path, ...]:
    """Where libraries are looked for and, in the first one that can be written, built.

    sluice/kernels in the user's cache, and a folder of this user's in the system's temporary one. Each belongs to the
    user or to root and can be written by nobody else; others are left out.
    """
    folders = []
    for folder, parents in ((_in_cache(), True), (_in_temporary(), False)):
        if folder is not None and _made(folder, parents) and _is_own(folder, stat.S_ISDIR):
            folders.append(folder)
        elif folder is not None and folder.exists():
            log.warning(
                "%s belongs to another user or can be written by others: it is not used; delete it, or chmod go-w it.",
                folder,
            )
    return tuple(folders)


def new_folder() -> Path:
    """A new temporary folder of this process, where there is no other to build in."""
    return Path(tempfile.mkdtemp(prefix="sluice-"))


def _in_cache() -> Path | None:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice" / "kernels"
    except RuntimeError:  # a user without a home
        return None


def _in_temporary() -> Path | None:
    return Path(tempfile.gettempdir()) / f"sluice-kernels-{os.getuid()}" if hasattr(os, "getuid") else None


def _made(folder: Path, parents: bool) -> bool:
    """Makes a folder for this user alone; whether it is there."""
    try:
        if parents:
            folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        pass
    return folder.is_dir()


def _is_own(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Whether a path is of a kind, no link, belongs to this user or root, and can be written by nobody else.

    Args:
        path: a file or folder that exists.
        is_kind: `stat.S_ISREG` or `stat.S_ISDIR`.
    """
    status = path.lstat()
    if not is_kind(status.st_mode):
        return False
    if not hasattr(os, "getuid"):  # Windows, where the user's folders are private
        return True
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & WRITABLE_BY_OTHERS


def _processor() -> str:
    """What -march=native depends on: a home folder may be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
