"""What `sluice doctor` finds, and its advice."""

import json
import shutil
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest
import torch

from running import json_lines, sluice
from sluice.cli.doctor import INDENT, WIDTH
from sluice.diagnostics import hardware, packages
from sluice.diagnostics.finding import BROKEN, OK, OPTIONAL, Finding
from sluice.diagnostics.folders import check_folders, check_slurm, size_of
from sluice.diagnostics.hardware import check_devices, check_kernels
from sluice.diagnostics.packages import check_packages, check_python

NOTHING: dict[str, str] = {}


def named(findings: list[Finding], name: str) -> Finding:
    (found,) = [finding for finding in findings if finding.name == name]
    return found


@pytest.fixture
def requirements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requirements of an installed distribution with two extras."""
    lines: list[str] = []
    extras = {"Provides-Extra": ["shown", "dev"]}
    monkeypatch.setattr(packages.metadata, "requires", lambda name: lines)
    monkeypatch.setattr(packages.metadata, "metadata", lambda name: namedtuple("M", "get_all")(extras.get))
    return lines


def test_required_packages_are_compared_with_their_versions(requirements: list[str]) -> None:
    requirements += ["torch>=2", "numpy>=99", "no-such-package>=1", "typer; python_version < '3'"]
    findings = list(check_packages())
    assert [finding.name for finding in findings] == ["torch", "numpy", "no-such-package"]
    assert [finding.state for finding in findings] == [OK, BROKEN, BROKEN]
    assert named(findings, "torch").value == metadata.version("torch")
    assert "but Sluice needs >=99" in named(findings, "numpy").value
    assert named(findings, "no-such-package").advice == "pip install 'no-such-package>=1'"


def test_extras_are_optional(requirements: list[str]) -> None:
    requirements += ["numpy; extra == 'shown'", "no-such-package; extra == 'shown'", "other; extra == 'dev'"]
    findings = list(check_packages())
    assert [finding.name for finding in findings] == ["[shown] numpy", "[shown] no-such-package"]
    assert [finding.state for finding in findings] == [OK, OPTIONAL]
    assert findings[1].advice == "to use it: pip install 'sluice-rnn[shown]'"


def test_uninstalled_checkout_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "DISTRIBUTION", "no-such-distribution")
    (finding,) = check_packages()
    assert finding.state == OPTIONAL
    assert named(list(check_python()), "sluice").value.startswith("0.")


def test_devices_have_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(hardware, "onednn_supports", lambda dtype: dtype == torch.bfloat16)
    findings = list(check_devices())
    cpu = named(findings, "cpu").value
    reason = "slow, since oneDNN does not support it on this processor"
    assert cpu.endswith(f"32-true, 64-true, bf16-mixed; {reason}: 16-mixed")
    assert named(findings, "cuda").state == OPTIONAL


@pytest.mark.parametrize(("major", "state"), [(8, OK), (7, OPTIONAL)])
def test_gpus_are_listed(monkeypatch: pytest.MonkeyPatch, major: int, state: str) -> None:
    gpu = namedtuple("GPU", "name total_memory major minor")("T4", 16 * 2**30, major, 5)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: gpu)
    found = named(list(check_devices()), "cuda:0")
    assert found.state == state
    assert found.value.startswith(f"T4, 16 GiB, capability {major}.5: 32-true, 64-true, 16-mixed")
    assert ("bf16-mixed" in found.value) == (major == 8)


def test_missing_compiler_has_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setattr(hardware, "kernels", lambda _: None)
    findings = list(check_kernels())
    assert named(findings, "compiler").advice == (
        "install gcc or clang: without one, cells run on torch operations, several times slower on a CPU"
    )
    assert named(findings, "float32").value == "not available"


def test_disabled_kernels_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_NATIVE", "0")
    assert named(list(check_kernels()), "kernels").advice == "unset SLUICE_NATIVE"


def test_folders_have_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "file").write_bytes(b"x" * 1000)
    (tmp_path / "data" / "link").symlink_to("deep/file")
    monkeypatch.chdir(tmp_path)
    assert size_of(tmp_path / "data") == 1000
    findings = list(check_folders(NOTHING))
    assert named(findings, "data").value.startswith(f"{tmp_path / 'data'}, 0.00 GiB, ")
    assert "is created when needed" in named(findings, "runs").value


def test_folder_that_is_a_file_has_advice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = named(list(check_folders({"SLUICE_CACHE": str(tmp_path / "file" / "cache")})), "cache")
    assert found.state == OPTIONAL
    assert found.advice == "set paths.cache_dir or SLUICE_CACHE to another folder"


def test_slurm_variables_are_listed() -> None:
    findings = list(check_slurm({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}))
    assert named(findings, "SLURM_JOB_ID").value == "7"
    assert named(findings, "step").state == OPTIONAL
    assert named(list(check_slurm({"PATH": ""})), "sbatch").value == "not installed"


def test_doctor_prints_every_section(workdir: Path, requirements: list[str]) -> None:
    requirements += ["torch>=2", "no-such-package; extra == 'shown'"]
    ended = sluice("doctor")
    assert ended.code == 0
    sections = [line for line in ended.out.splitlines() if line and line[0].isupper()]
    assert sections == ["System", "Packages", "Extras", "Devices", "Kernels", "Folders", "SLURM"]
    assert "to use it: pip install 'sluice-rnn[shown]'" in ended.out


def test_doctor_fits_a_terminal(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "onednn_supports", lambda dtype: False)
    lines = sluice("doctor").out.splitlines()
    too_long = [line for line in lines if len(line) > WIDTH]
    assert all(" " not in line[INDENT:] for line in too_long), "only a path may be longer"
    (first,) = (number for number, line in enumerate(lines) if line.startswith("  cpu "))
    words = " ".join(line.strip() for line in lines[first : first + 4])
    assert "processor: bf16-mixed, 16-mixed" in words


def test_doctor_fails_without_a_required_package(workdir: Path, requirements: list[str]) -> None:
    requirements += ["no-such-package>=1"]
    ended = sluice("doctor")
    assert ended.code == 2
    assert ended.err == "sluice: no-such-package cannot be used: follow the advice above\n"


def test_doctor_prints_json(workdir: Path, requirements: list[str]) -> None:
    requirements += ["torch>=2"]
    lines = json_lines(sluice("doctor", "--json"))
    assert {"section", "name", "value", "state", "advice"} == set(lines[0])
    assert json.dumps(lines[0])
    assert {"torch", "cpu", "compiler", "data"} <= {line["name"] for line in lines}
