"""The layers of ARCHITECTURE.md hold: import-linter's contracts in pyproject.toml."""

import subprocess
import sys
from pathlib import Path

from metricfoundry_dagster_tests.architecture.source_code import ROOT


def test_every_module_imports_only_what_its_layer_may() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    outcome = subprocess.run([lint_imports, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
