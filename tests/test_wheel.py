"""The wheel has every file of the package once, data and type marker included."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NEEDED = (
    "py.typed",
    "cohorts/benchmark.toml",
    "cohorts/demo_cohort.toml",
    "criteria/profiles/floor.toml",
    "metrics/published_scores.csv",
    "models/recipes.toml",
    "report/templates/filter.js",
    "report/templates/report.css",
    "report/templates/report.html",
    "suites/test_robustness_index.py",
)


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package_once(tmp_path: Path) -> None:
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(tmp_path / built.stdout.split()[-1]) as wheel:
        shipped = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert len(shipped) == len(set(shipped))
    files = (path for path in (ROOT / "pathorob_checks").rglob("*") if path.is_file())
    assert set(shipped) == {
        path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts
    }
    assert {f"pathorob_checks/{name}" for name in NEEDED} <= set(shipped)
