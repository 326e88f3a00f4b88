"""Builds the C kernels once and caches them in a folder that no other user can write to.

A library is loaded into the process, so files that another user could have written are rejected. A built library is
named kernels-<key>-<checksum>.so: the key is a hash of everything it depends on, the checksum a hash of its content.
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


def shared_library(compiler: str, flags: tuple[str, ...], *, rebuild: bool = False) -> Path:
    """Returns the path of the kernels compiled with these flags, from the cache or built now.

    Safe for concurrent builds: a library is written atomically.

    Args:
        compiler: path of a C compiler.
        flags: compiler flags.
        rebuild: whether to build even if the cache has a library, because it cannot be loaded.

    Raises:
        OSError: if the compiler cannot be started, or there is no folder to build in.
        subprocess.SubprocessError: if the compiler fails.
    """
    key, folders = _key(compiler, flags), cache_folders()
    found = None if rebuild else next((path for folder in folders for path in _valid_libraries(folder, key)), None)
    if found is not None:
        return found
    folder = next((folder for folder in folders if os.access(folder, os.W_OK)), None) or temporary_folder()
    started = time.perf_counter()
    target = _compile(compiler, flags, folder, key)
    log.info(f"compiled the recurrent kernels in {time.perf_counter() - started:.1f} s: {target}")
    return target


def _compile(compiler: str, flags: tuple[str, ...], folder: Path, key: str) -> Path:
    """Builds in the folder and removes other libraries with the same key."""
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


def _valid_libraries(folder: Path, key: str) -> list[Path]:
    """Returns the libraries with this key whose content matches the checksum and which no other user could write."""
    found = []
    for path in sorted(folder.glob(f"kernels-{key}-*.so")):
        try:
            sound = _is_trusted(path, stat.S_ISREG) and path.stem.endswith(f"-{_checksum(path)}")
        except OSError:  # unreadable, or just replaced by another process
            continue
        if sound:
            found.append(path)
        else:
            log.warning("%s is corrupted or belongs to another user: rebuilding the recurrent kernels.", path)
    return found


def _key(compiler: str, flags: tuple[str, ...]) -> str:
    sources = (path.read_text(encoding="utf-8") for path in sorted(SOURCE.parent.glob("[a-z]*.[ch]")))
    parts = "\n".join((*sources, compiler, _processor(), torch.__version__, *flags))
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


@functools.cache
def cache_folders() -> tuple[Path, ...]:
    """Returns the folders that are searched for libraries; they are built in the first writable one.

    Candidates are sluice/kernels in the user's cache directory and a per-user folder in the temporary directory. A
    folder must belong to the user or root and must not be writable by others.
    """
    folders = []
    for folder, parents in ((_in_cache(), True), (_in_temporary(), False)):
        if folder is not None and _make_folder(folder, parents) and _is_trusted(folder, stat.S_ISDIR):
            folders.append(folder)
        elif folder is not None and folder.exists():
            log.warning(
                "%s is not used: it belongs to another user or is writable by others; delete it or run chmod go-w.",
                folder,
            )
    return tuple(folders)


def temporary_folder() -> Path:
    """Creates a temporary folder for this process, used when no cache folder is writable."""
    return Path(tempfile.mkdtemp(prefix="sluice-"))


def _in_cache() -> Path | None:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice" / "kernels"
    except RuntimeError:  # no home directory
        return None


def _in_temporary() -> Path | None:
    return Path(tempfile.gettempdir()) / f"sluice-kernels-{os.getuid()}" if hasattr(os, "getuid") else None


def _make_folder(folder: Path, parents: bool) -> bool:
    """Makes a private folder; returns whether it exists."""
    try:
        if parents:
            folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        pass
    return folder.is_dir()


def _is_trusted(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Returns whether a path is no link, belongs to this user or root, and is not writable by others.

    Args:
        path: an existing file or folder.
        is_kind: the required kind, `stat.S_ISREG` or `stat.S_ISDIR`.
    """
    status = path.lstat()
    if not is_kind(status.st_mode):
        return False
    if not hasattr(os, "getuid"):  # Windows, where user folders are private
        return True
    return status.st_uid in (os.getuid(), 0) and not status.st_mode & WRITABLE_BY_OTHERS


def _processor() -> str:
    """Describes the processor, on which -march=native depends: different machines may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() + platform.machine()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
