"""The Dockerfile copies what there is, and the package that it installs has all that `up` needs."""

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from metricfoundry_dagster_tests.architecture.compose_file import DOCKERFILE, dockerfile_instructions, services
from metricfoundry_dagster_tests.architecture.source_code import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def copied_paths() -> list[tuple[str, str]]:
    """What is copied out of the repository, and into which folder of the image."""
    copies = [rest.split() for word, rest in dockerfile_instructions() if word == "COPY" and not rest.startswith("--from")]
    return [(source, words[-1]) for words in copies for source in words[:-1]]


def last(instruction: str) -> str:
    """The argument of the last instruction of a kind."""
    return [rest for word, rest in dockerfile_instructions() if word == instruction][-1]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert {source for source, _ in copied_paths()} == allowed
    assert all((ROOT / source).exists() for source, _ in copied_paths())


def test_it_starts_a_script_of_the_project_as_nobody_special() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["metricfoundry"]
    assert "metricfoundry" in PROJECT["scripts"]
    assert json.loads(last("CMD")) == ["up"]
    assert last("USER") == "10001:10001"


def test_its_python_and_its_name_are_those_of_the_project() -> None:
    bases = {rest.split()[0] for word, rest in dockerfile_instructions() if word == "FROM"}
    [base] = bases
    version = tuple(int(part) for part in base.removeprefix("python:").partition("-")[0].split("."))
    assert len(version) == 3
    assert PROJECT["requires-python"] == ">=3.11"
    assert version >= (3, 11, 14)  # before it `tarfile` could be led out of its folder
    assert services()["metricfoundry"]["image"] == f"{PROJECT['name']}:{PROJECT['version']}"


def test_the_package_is_built_from_what_is_copied_and_brings_its_configuration(tmp_path: Path) -> None:
    for source, folder in copied_paths():
        target = tmp_path / folder.strip("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, target)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path / "built")],
        cwd=tmp_path / "build",
        check=True,
        capture_output=True,
        timeout=120,
    )
    [wheel] = (tmp_path / "built").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    deployment = {f"metricfoundry_dagster/deployment/{name}" for name in ("dagster.yaml", "deploy/dagster.yaml")}
    assert deployment | {"metricfoundry_dagster/cli/main.py"} <= names
    assert any(name.endswith("pipeline/profiling/report.html.jinja") for name in names)
