"""ci/slurm: a job for each FM, run again only where it did not end, and a merging that waits for all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from conftest import ROOT, Machine

SLURM = ROOT / "ci" / "slurm"
# Runs an array task by task, as a cluster does in any order, and waits for what a job depends on.
SBATCH = """
array=0 log=/dev/null
while [[ $1 = --* ]]; do
  case $1 in
    --array=*) array=${1#--array=} ;;
    --output=*) log=${1#--output=} ;;
  esac
  echo "$1" >> "$ASKED"
  shift
done
for task in $(seq "${array%-*}" "${array#*-}"); do
  SLURM_ARRAY_TASK_ID=$task bash "$1" >> "${log//%a/$task}" 2>&1
done
echo "4711;cluster"
"""
# Stands for the gate: FMs called `dies` are killed before they have a verdict.
GATE = """
case $1 in
  ci)
    echo "$PATHOROB_CI_FM" >> "$RUN"
    [ "$PATHOROB_CI_FM" = embeddings:dies ] && exit 143
    echo "$PATHOROB_CI_FM" > "$PATHOROB_CI_REPORTS/results.json"
    echo finished=true >> "$GITHUB_OUTPUT" ;;
  merge)
    shift
    while [ "$1" != --out ]; do cat "$1" || exit 1; shift; done > whole.tmp
    mv whole.tmp "$2" ;;
  *) echo "$@" >> "$RUN" ;;
esac
"""


@pytest.fixture
def cluster(machine: Machine) -> Machine:
    machine.program("sbatch", SBATCH)
    machine.program("pathorob-checks", GATE)
    return machine


REPORT = "report whole.json --html=whole.html --markdown=whole.md"


def submit(cluster: Machine, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SLURM / "submit"), "fms.txt", "out", *options],
        cwd=cluster.folder,
        env=cluster.environment(
            ASKED=str(cluster.folder / "asked"), RUN=str(cluster.folder / "run"), **variables
        ),
        capture_output=True,
        text=True,
        check=False,
    )


def ran(cluster: Machine) -> list[str]:
    """What was run since this was asked last."""
    path = cluster.folder / "run"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_every_fm_has_a_job_and_all_are_merged(cluster: Machine) -> None:
    (cluster.folder / "fms.txt").write_text("# ours\n embeddings:a\n\nlocal-dir:a b; touch pwned\n")
    done = submit(cluster, "--partition=gpu")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "submitted the gate of 2 FMs as job 4711 and the merging as job 4711; see /"
    )
    requested = (cluster.folder / "asked").read_text().splitlines()
    assert {"--array=0-1", "--partition=gpu", "--dependency=afterany:4711"} <= set(requested)
    verdict = "verdict whole.json --complete"
    assert ran(cluster) == [" embeddings:a", "local-dir:a b; touch pwned", verdict, REPORT]
    whole = (cluster.folder / "out" / "whole.json").read_text()
    assert whole == " embeddings:a\nlocal-dir:a b; touch pwned\n"
    assert not (cluster.folder / "pwned").exists()


def test_the_merging_has_options_of_its_own(cluster: Machine) -> None:
    (cluster.folder / "fms.txt").write_text("embeddings:a\nembeddings:b\n")
    done = submit(cluster, "--partition=gpu", PATHOROB_SLURM_MERGE="--account=ours  --comment=$HOME*")
    assert done.returncode == 0, done.stderr
    requested = (cluster.folder / "asked").read_text().splitlines()
    gate, merge = requested[: requested.index("--parsable", 1)], requested[requested.index("--parsable", 1) :]
    assert "--partition=gpu" in gate
    assert "--account=ours" not in gate
    assert merge[-2:] == ["--account=ours", "--comment=$HOME*"]


def test_only_what_did_not_end_is_run_again(cluster: Machine) -> None:
    fms = cluster.folder / "fms.txt"
    fms.write_text("embeddings:a\nembeddings:dies\n")
    submit(cluster)
    assert ran(cluster) == ["embeddings:a", "embeddings:dies"]
    assert not (cluster.folder / "out" / "whole.json").exists()
    submit(cluster)
    assert ran(cluster) == ["embeddings:dies"]
    fms.write_text("embeddings:a\nembeddings:b\n")
    submit(cluster)
    assert ran(cluster)[0] == "embeddings:b"
    assert (cluster.folder / "out" / "whole.json").read_text() == "embeddings:a\nembeddings:b\n"
    fms.write_text("embeddings:c\nembeddings:b\n")  # another FM has the number of one that ended
    submit(cluster)
    assert ran(cluster)[0] == "embeddings:c"


def test_a_run_with_other_settings_is_another_run(cluster: Machine) -> None:
    fms = cluster.folder / "fms.txt"
    fms.write_text("embeddings:a\n")
    submit(cluster, PATHOROB_CI_CRITERIA="floor")
    submit(cluster, PATHOROB_CI_CRITERIA="floor")
    assert ran(cluster).count("embeddings:a") == 1
    submit(cluster, PATHOROB_CI_CRITERIA="release")
    assert ran(cluster).count("embeddings:a") == 1
    submit(cluster, PATHOROB_CI_CRITERIA="release", PATHOROB_CI_COMPLETE="false")
    assert ran(cluster) == ["embeddings:a", "verdict whole.json", REPORT]


def test_results_of_an_earlier_list_are_not_merged(cluster: Machine) -> None:
    fms = cluster.folder / "fms.txt"
    fms.write_text("embeddings:a\nembeddings:b\n")
    submit(cluster)
    cluster.program("sbatch", 'for last; do :; done\n[[ $last = *merge* ]] && bash "$last" >&2\necho 4711\n')
    fms.write_text("embeddings:c\nembeddings:b\n")  # the gate's jobs never start
    done = submit(cluster)
    assert "embeddings:c has no run with these settings in " in done.stderr
    assert not (cluster.folder / "out" / "whole.json").exists()


@pytest.mark.parametrize(("text", "error"), [("# none\n\n", "fms.txt names no FM; write one SPEC a line\n")])
def test_a_list_without_fms_is_refused(text: str, error: str, cluster: Machine) -> None:
    (cluster.folder / "fms.txt").write_text(text)
    done = submit(cluster)
    assert (done.returncode, done.stderr) == (2, error)
    assert not (cluster.folder / "asked").exists()


def test_a_job_that_is_preempted_is_queued_again() -> None:
    head = Path(SLURM / "gate.sbatch").read_text().split("set -euo pipefail")[0]
    assert {"#SBATCH --requeue", "#SBATCH --open-mode=append"} <= set(head.splitlines())
