"""The wheel in a new environment and an empty folder.

The dependencies are those of the environment that runs the tests, by a .pth file.
"""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from running import Ended
from sluice.version import __version__

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("trainer=cpu", "model.hidden_size=4", "embedding.size=4", "debug=fast")
EASY = ("task=temporal_order", "task.level=easy")
Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    subprocess.run(pip, check=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory, empty at first."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def run(wheel: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program of a new environment with the wheel."""
    environment = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=120)
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    python = str(programs / "python")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", str(wheel))
    subprocess.run(pip, check=True, timeout=300)
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip())
    others = [path for path in sys.path if path.endswith("-packages")]
    (own / "dependencies.pth").write_text("\n".join(others), encoding="utf-8")

    def run_program(program: str, *arguments: str) -> Ended:
        variables = {name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "SLUICE_"))}
        done = subprocess.run(
            [str(programs / program), *arguments],
            cwd=home,
            env=variables,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run_program


@pytest.fixture(scope="module")
def trained(run: Run) -> str:
    ended = run("sluice", "train", *EASY, *SMALL, "name=a")
    assert ended.code == 0, ended.err
    return "outputs/temporal_order/lstm/a"


def test_wheel_has_every_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    tracked = [path for path in (source / "sluice").rglob("*") if path.suffix in (".py", ".c", ".h", ".typed")]
    assert {path.relative_to(source).as_posix() for path in tracked} <= names
    assert {f"sluice/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")} <= names
    assert wheel.name == f"sluice_rnn-{__version__}-py3-none-any.whl"
    assert f"sluice_rnn-{__version__}.dist-info/licenses/LICENSE" in names
    assert not [name for name in names if not name.startswith(("sluice/", "sluice_rnn-"))]


def test_version_is_that_of_the_wheel(run: Run) -> None:
    assert run("sluice", "--version") == Ended(0, f"sluice {__version__}\n", "")
    shown = run(
        "python", "-c", "import importlib.metadata as m, sluice; print(m.version('sluice-rnn'), sluice.__file__)"
    )
    version, file = shown.out.split()
    assert version == __version__
    assert not file.startswith(str(ROOT))


def test_run_is_in_the_working_directory(home: Path, trained: str) -> None:
    assert {"best.ckpt", "results.json"} <= {path.name for path in (home / trained).iterdir()}


def test_trained_model_predicts(run: Run, trained: str) -> None:
    ended = run("sluice", "predict", trained, "B a X c Y E")
    assert ended.code == 0, ended.err
    assert ended.out.split()[0] in "QRSU"


def test_trained_model_is_loaded_from_python(run: Run, trained: str) -> None:
    ended = run("python", "-c", f"import sluice; print(sluice.load({trained!r}).predict(['B a X c Y E'])[0].label)")
    assert ended.code == 0, ended.err
    assert ended.out.strip() in set("QRSU")


def test_groups_and_classes_of_the_user_are_found(run: Run, home: Path) -> None:
    (home / "myconf" / "optimizer").mkdir(parents=True)
    (home / "mine.py").write_text("import torch\n\n\nclass Thing(torch.optim.SGD):\n    pass\n", encoding="utf-8")
    group = "_target_: mine.Thing\n_partial_: true\nlr: 0.1\n"
    (home / "myconf" / "optimizer" / "mine.yaml").write_text(group, encoding="utf-8")
    ended = run("python", "-m", "sluice", "train", "-cd", "myconf", *EASY, *SMALL, "optimizer=mine", "name=b")
    assert ended.code == 0, ended.err


def test_doctor_finds_every_dependency_and_builds_the_kernels(run: Run) -> None:
    ended = run("sluice", "doctor", "--json")
    assert ended.code == 0, ended.out
    found = {line["name"]: line for line in map(json.loads, ended.out.splitlines())}
    assert found["torch"]["value"].startswith(torch.__version__)
    assert found["compiler"]["state"] != "ok" or found["float32"]["value"] == "compiled and loaded"
    assert "checkout" not in found["sluice"]["value"]
