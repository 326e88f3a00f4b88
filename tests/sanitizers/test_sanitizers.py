"""The C kernels under the sanitizers of clang: memory, undefined behaviour, data races.

The kernels' own tests run in a Python interpreter that is linked with the sanitizer. ThreadSanitizer knows OpenMP's
barriers by Archer, a part of LLVM's OpenMP runtime. It does not see accesses of more than 16 bytes, so that the kernels
are compiled for SSE there.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from sluice.recurrent.fused import build

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
KERNELS = build.SOURCE.parent
LIBRARIES = Path("/usr/lib")
REPORTED = 66
"""Exit code after a report."""
TESTS = (
    "unit/recurrent/test_fused.py",
    "unit/recurrent/test_tiles.py",
    "unit/layers/test_output_loss.py",
    "unit/decoding/test_best_words.py",
    "unit/models/test_feeding.py",
)
LIGHT = "not activation and not float64 and not bfloat16 and not states_are_zero"
"""Selects about a third of the tests; the others call the same functions."""
BARRIER = re.compile(r"^ +WAIT_FOR_ALL\n", re.MULTILINE)
BARRIERS = [
    (path.name, number)
    for path in sorted(KERNELS.glob("*.h"))
    for number in range(len(BARRIER.findall(path.read_text(encoding="utf-8"))))
]

pytestmark = pytest.mark.sanitizers


class Sanitizer(NamedTuple):
    name: str
    linked: str
    """Flags of the interpreter."""
    kernels: str
    """Flags of the kernels."""


CHECKS = "-fsanitize=address,undefined"
MEMORY = Sanitizer("memory", CHECKS, f"{CHECKS} -fno-sanitize-recover=all -march=native")
THREADS = Sanitizer("threads", "-fsanitize=thread", "-fsanitize=thread")


@cache
def archer() -> Path | None:
    """Archer's library, of the same version as clang."""
    clang = shutil.which("clang")
    root = Path(clang).resolve().parents[1] if clang else LIBRARIES
    return next(iter(root.glob("lib*/**/libarcher.so")), None)


@pytest.fixture(scope="session")
def interpreters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an interpreter for each sanitizer."""
    if shutil.which("clang") is None or archer() is None:
        pytest.skip("needs clang and LLVM's OpenMP runtime (Debian: clang libomp-dev)")
    folder, library = tmp_path_factory.mktemp("interpreters"), sysconfig.get_config_var("LIBDIR")
    for sanitizer in (MEMORY, THREADS):
        command = [
            "clang",
            *sanitizer.linked.split(),
            "-fopenmp",
            HERE / "interpreter.c",
            "-o",
            folder / sanitizer.name,
        ]
        command += [
            "-Wl,--no-as-needed",
            "-lstdc++",
            f"-L{library}",
            f"-lpython{sysconfig.get_config_var('LDVERSION')}",
        ]
        command += [f"-Wl,-rpath,{library}", f"-Wl,-rpath,{archer().parent}"]  # type: ignore[union-attr]
        subprocess.run(command, check=True)
    return folder


def run_tests(
    interpreters: Path, sanitizer: Sanitizer, sources: Path, tests: list[str]
) -> subprocess.CompletedProcess[str]:
    """Runs tests of the kernels compiled from a copy of their sources, in which every call uses threads.

    Args:
        interpreters: folder of the interpreters.
        sanitizer: the sanitizer.
        sources: folder of kernels.c.
        tests: arguments of pytest.
    """
    for path in sources.glob("*.h"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"^(#define MIN_PARALLEL_\w+) .*$", r"\1 1", text, flags=re.MULTILINE), encoding="utf-8")
    environment = {
        **os.environ,
        "SANITIZED_SOURCE": str(sources / "kernels.c"),
        "SANITIZER_FLAGS": sanitizer.kernels,
        "PYTHONPATH": os.pathsep.join((str(HERE), *filter(None, sys.path))),
        "XDG_CACHE_HOME": str(sources / "cache"),
        "OMP_NUM_THREADS": "3",
        "OMP_WAIT_POLICY": "passive",
        "OMP_TOOL_LIBRARIES": str(archer()),
        "TSAN_OPTIONS": f"ignore_noninstrumented_modules=1 exitcode={REPORTED} halt_on_error=1",
        "ASAN_OPTIONS": f"detect_leaks=0 exitcode={REPORTED}",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    options = ["-p", "sanitized_kernels", "-p", "no:cacheprovider", "-n", "0", "-qsx"]
    return subprocess.run(
        [interpreters / sanitizer.name, "-m", "pytest", *options, *tests],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def report(ended: subprocess.CompletedProcess[str]) -> str:
    """The end of pytest's output, and the beginning of the sanitizer's report."""
    return ended.stdout[-3000:] + ended.stderr[:6000]


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(KERNELS, folder / "c"))


@pytest.mark.parametrize("sanitizer", [MEMORY, THREADS], ids=lambda sanitizer: sanitizer.name)
@pytest.mark.parametrize("tests", TESTS)
def test_kernels_without_reports(tests: str, sanitizer: Sanitizer, interpreters: Path, tmp_path: Path) -> None:
    ended = run_tests(interpreters, sanitizer, copied(tmp_path), [f"tests/{tests}", "-k", LIGHT])
    assert ended.returncode == 0, report(ended)


@pytest.mark.parametrize(("name", "number"), BARRIERS)
def test_removing_a_barrier_is_reported(name: str, number: int, interpreters: Path, tmp_path: Path) -> None:
    sources = copied(tmp_path)
    text = (sources / name).read_text(encoding="utf-8")
    barrier = list(BARRIER.finditer(text))[number]
    (sources / name).write_text(text[: barrier.start()] + text[barrier.end() :], encoding="utf-8")
    tests = ["tests/unit/recurrent/test_fused.py", "-k", "recurrent_dropout_equals and gru"]
    ended = run_tests(interpreters, THREADS, sources, tests)
    assert ended.returncode == REPORTED, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert "data race" in ended.stdout + ended.stderr


def test_out_of_bounds_access_is_reported(interpreters: Path, tmp_path: Path) -> None:
    sources = copied(tmp_path)
    product = (sources / "product.h").read_text(encoding="utf-8")
    wrong = product.replace("begin + LANES < inner ? begin + LANES : inner", "begin + LANES")
    (sources / "product.h").write_text(wrong, encoding="utf-8")
    ended = run_tests(interpreters, MEMORY, sources, ["tests/unit/recurrent/test_fused.py", "-k", "gradcheck and gru"])
    assert ended.returncode != 0
    assert "heap-buffer-overflow" in ended.stdout + ended.stderr
