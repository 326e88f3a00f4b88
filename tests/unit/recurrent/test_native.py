"""Building the C kernels: once, into the user's cache, with torch operations as the fallback."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from recurrent_checks import D, make_stack, numbers

from sluice.recurrent.fused import build, native
from sluice.recurrent.scan import force_backend

FLOAT, DOUBLE = torch.zeros(1), torch.zeros(1, dtype=torch.float64)
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty kernel cache; in-memory caches are cleared before and after."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("SLUICE_NATIVE", raising=False)
    clear_caches()
    yield tmp_path / "cache" / "sluice" / "kernels"
    monkeypatch.undo()
    clear_caches()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The log records of the module, independent of the logging configuration of other tests."""
    log = logging.Logger("native", logging.INFO)
    log.addHandler(caplog.handler)
    monkeypatch.setattr(native, "log", log)
    monkeypatch.setattr(build, "log", log)
    return caplog


def clear_caches() -> None:
    native._library.cache_clear()
    build.cache_folders.cache_clear()


def fake_compiler(monkeypatch: pytest.MonkeyPatch, path: Path, script: str) -> Path:
    """Makes a shell script the only available compiler."""
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(path) if name == "cc" else None)
    return path


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that records its command lines in a file and writes an empty output."""
    notes = tmp_path / "notes"
    notes.touch()
    script = f'echo "$@" >> {notes}\nwhile [ "$1" != -o ]; do shift; done\n: > "$2"'
    fake_compiler(monkeypatch, tmp_path / "recording", script)
    return notes


def built(tmp_path: Path, *flags: str) -> Path:
    return build.shared_library(str(tmp_path / "recording"), flags)


def levels(logged: pytest.LogCaptureFixture) -> list[str]:
    return [record.levelname for record in logged.records]


def test_missing_compiler_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture, cache: Path
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert native.kernels(FLOAT) is None
    assert native.kernels(FLOAT) is None
    assert levels(logged) == ["INFO"]
    assert "no C compiler found" in logged.text
    assert not cache.exists()


@pytest.mark.parametrize("names", [("gcc", "cc", "clang"), ("cc", "clang"), ("clang",)])
def test_first_available_compiler_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, names: tuple[str, ...]
) -> None:
    tried: list[str] = []

    def note(compiler: str, flags: tuple[str, ...]) -> Path:
        tried.append(compiler)
        raise OSError("enough")

    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name in names else None)
    monkeypatch.setattr(native, "shared_library", note)
    native.kernels(FLOAT)
    assert set(tried) == {f"/bin/{names[0]}"}


def test_sluice_native_0_disables_the_kernels_silently(
    monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture, cache: Path
) -> None:
    monkeypatch.setenv("SLUICE_NATIVE", "0")
    assert native.kernels(FLOAT) is None
    assert not logged.records
    assert not cache.exists()


@pytest.mark.parametrize("tensor", [torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1, device="meta")])
def test_other_dtypes_and_devices_have_no_kernels(tensor: torch.Tensor, cache: Path) -> None:
    assert native.kernels(tensor) is None
    assert not cache.exists()


def test_compiler_error_is_logged_once_with_its_first_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logged: pytest.LogCaptureFixture, cache: Path
) -> None:
    fake_compiler(monkeypatch, tmp_path / "cc", "echo 'cc1: no such thing' >&2; echo 'and more' >&2; exit 1")
    assert native.kernels(FLOAT) is None
    assert native.kernels(FLOAT) is None
    assert levels(logged) == ["WARNING"]
    assert "could not build the recurrent kernels (cc1: no such thing)" in logged.text
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "kill -9 $$",
        "echo >&2; exit 1",
    ],
)
def test_silent_compiler_failure_is_logged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logged: pytest.LogCaptureFixture, script: str
) -> None:
    fake_compiler(monkeypatch, tmp_path / "cc", script)
    assert native.kernels(FLOAT) is None
    assert levels(logged) == ["WARNING"]


def test_unloadable_library_is_logged(recording: Path, logged: pytest.LogCaptureFixture) -> None:
    assert native.kernels(FLOAT) is None
    assert levels(logged)[-1] == "WARNING"
    assert "could not build the recurrent kernels" in logged.text


def test_failed_openmp_build_is_retried_without_threads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    notes = tmp_path / "notes"
    fake_compiler(monkeypatch, tmp_path / "cc", f'echo "$@" >> {notes}\nexit 1')
    native.kernels(FLOAT)
    first, second = notes.read_text(encoding="utf-8").splitlines()
    assert native.THREADS in first.split()
    assert native.THREADS not in second.split()
    assert all("-DREAL=float" in line.split() for line in (first, second))


@needs_compiler
def test_single_threaded_build_is_logged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    refuse = 'case " $* " in *" -fopenmp "*) echo "no OpenMP here" >&2; exit 1;; esac'
    fake_compiler(monkeypatch, tmp_path / "cc", f'{refuse}\nexec {shutil.which("cc")} "$@"')
    assert native.kernels(FLOAT) is not None
    assert "run on one thread (no OpenMP here)" in logged.text


def test_library_is_built_once(recording: Path, tmp_path: Path, cache: Path) -> None:
    first = built(tmp_path, "-O3")
    assert first.parent == cache
    assert len(recording.read_text(encoding="utf-8").splitlines()) == 2, "one to compile, one to link"
    assert built(tmp_path, "-O3") == first
    assert len(recording.read_text(encoding="utf-8").splitlines()) == 2
    assert list(cache.iterdir()) == [first], "nothing else is left"


def test_library_path_depends_on_all_build_inputs(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = shutil.copy(build.SOURCE, tmp_path / "other")
    (tmp_path / "other" / "one_more.h").write_text("int other;", encoding="utf-8")
    shutil.copy(tmp_path / "recording", tmp_path / "another")
    names = [built(tmp_path, "-O3"), built(tmp_path, "-O2"), built(tmp_path, "-O3", "-DREAL=double")]
    names.append(build.shared_library(str(tmp_path / "another"), ("-O3",)))
    for target, value in (
        ("SOURCE", Path(other)),
        ("_processor", lambda: "another processor"),
        ("torch.__version__", "another"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"{build.__name__}.{target}", value)
            names.append(built(tmp_path, "-O3"))
    assert len(set(names)) == len(names)
    assert built(tmp_path, "-O3") == names[0]


def test_default_cache_is_in_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    first = build.cache_folders()[0]
    assert first == tmp_path / "home" / ".cache" / "sluice" / "kernels"
    assert first.stat().st_mode & 0o777 == 0o700


def test_unusable_cache_falls_back_to_a_user_temp_folder(
    recording: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    check_temporary(tmp_path)


def test_read_only_cache_falls_back_to_a_user_temp_folder(
    recording: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o755)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != cache)  # root may write anywhere
    check_temporary(tmp_path)


def test_user_without_home_uses_a_temp_folder(recording: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a container run with a user id that is not in /etc/passwd."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    check_temporary(tmp_path)


def check_temporary(tmp_path: Path) -> None:
    """Two processes build once, in this user's folder."""
    paths = []
    for _ in range(2):
        build.cache_folders.cache_clear()
        paths.append(built(tmp_path, "-O3"))
    assert paths[0] == paths[1]
    assert paths[0].parent == tmp_path / f"sluice-kernels-{os.getuid()}"
    assert paths[0].parent.stat().st_mode & 0o777 == 0o700
    assert len(list(paths[0].parent.iterdir())) == 1


def test_library_in_a_read_only_cache_is_used(
    recording: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path
) -> None:
    first = built(tmp_path, "-O3")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != cache)
    build.cache_folders.cache_clear()
    assert built(tmp_path, "-O3") == first


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o722])
def test_cache_writable_by_others_is_not_used(
    recording: Path, tmp_path: Path, cache: Path, logged: pytest.LogCaptureFixture, mode: int
) -> None:
    cache.mkdir(parents=True)
    cache.chmod(mode)
    assert built(tmp_path, "-O3").parent != cache
    assert "is not used: it belongs to another user or is writable by others" in logged.text


def test_symlinked_cache_is_not_used(recording: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    cache.parent.mkdir(parents=True)
    cache.symlink_to(tmp_path / "elsewhere")
    assert built(tmp_path, "-O3").parent not in (cache, tmp_path / "elsewhere")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_folders_and_files_of_another_user_are_not_used(recording: Path, tmp_path: Path, cache: Path) -> None:
    first = built(tmp_path, "-O3")
    os.chown(first, 12345, 12345)
    assert built(tmp_path, "-O3").stat().st_uid == 0
    os.chown(cache, 12345, 12345)
    build.cache_folders.cache_clear()
    assert built(tmp_path, "-O3").parent == tmp_path / "sluice-kernels-0"
    os.chown(tmp_path / "sluice-kernels-0", 12345, 12345)
    build.cache_folders.cache_clear()
    alone = built(tmp_path, "-O3")
    assert alone.parent.name.startswith("sluice-")
    assert alone.parent.stat().st_mode & 0o777 == 0o700


def damage_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_garbage(path: Path) -> None:
    path.write_bytes(b"\x7fELF" + bytes(range(256)) * 40)


def damage_flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def damage_emptied(path: Path) -> None:
    path.write_bytes(b"")


def damage_foreign(path: Path) -> None:
    """Another library under a name with its correct checksum."""
    other = Path(str(torch._C.__file__))
    named = path.with_name(path.name.replace(path.stem.split("-")[-1], build._checksum(other)))
    path.unlink()
    shutil.copy(other, named)
    named.chmod(0o600)


def damage_text(path: Path) -> None:
    """A text file under a name with its correct checksum."""
    path.write_text("not a library", encoding="utf-8")
    path.rename(path.with_name(path.name.replace(path.stem.split("-")[-1], build._checksum(path))))


@needs_compiler
@pytest.mark.parametrize(
    "damage",
    [damage_truncated, damage_garbage, damage_flipped, damage_emptied, damage_foreign, damage_text],
    ids=lambda damage: damage.__name__.removeprefix("damage_"),
)
def test_damaged_library_is_rebuilt(damage: Callable[[Path], None], cache: Path) -> None:
    flags = (*native.FLAGS, native.THREADS, "-O0", "-DREAL=float")
    compiler = str(shutil.which("cc"))
    first = build.shared_library(compiler, flags)
    original = build._checksum(first)
    damage(first)
    library = native._loaded(compiler, flags)
    assert isinstance(library, native.Library)
    (again,) = cache.iterdir()
    assert build._checksum(again) == original == again.stem.split("-")[-1]


@needs_compiler
def test_built_kernels_equal_torch_operations(
    monkeypatch: pytest.MonkeyPatch, logged: pytest.LogCaptureFixture, cache: Path
) -> None:
    library = native.kernels(DOUBLE)
    assert isinstance(library, native.Library)
    assert native.kernels(DOUBLE) is library
    assert levels(logged) == ["INFO"]
    assert [file.suffix for file in cache.iterdir()] == [".so"]
    clear_caches()
    assert native.kernels(DOUBLE) is not None
    assert levels(logged) == ["INFO"], "not built again"
    stack, inputs, lengths = make_stack("lstm"), numbers(2, 5, D), torch.tensor([5, 3])
    with force_backend("fused"):
        fast = stack(inputs, lengths).outputs
        monkeypatch.setenv("SLUICE_NATIVE", "0")
        slow = stack(inputs, lengths).outputs
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
