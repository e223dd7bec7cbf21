"""Results of every kind that an HTML report has to show, made by hand."""

from __future__ import annotations

import base64
import io
from functools import cache

from drawn_results import checks_of, map_of, neighborhood, results_of, run_of
from made_checks import CELLS, made, passing, unmeasured
from PIL import Image

from pathorob_checks import Results
from pathorob_checks.criteria.verdict import Verdict
from pathorob_checks.evaluation.assembling import unstarted
from pathorob_checks.evaluation.settings import Settings
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.measurement import GroupValue, SlideValue
from pathorob_checks.results.check import Check, ComparedWith, IntegrityCheck, Suspect
from pathorob_checks.results.document import Outcome, Release
from pathorob_checks.results.releases import releases_of
from pathorob_checks.results.subject_facts import CellFacts

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "\"' onmouseover=alert(1) x='",
    "</script><script>alert(1)</script>",
    "</style></title><!--",
    "--><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% for %}",
    "javascript:alert(1)",
    "a\u202eb\u2066c\u200b",
    "\x1b[31mred\x1b]8;;http://evil.example\x07\x00",
    "http://evil.example/x.png",
    "&lt;b&gt;&amp;&#60;",
    "שלום",
    "x" * 300,
    "\u2028\u2029\n\t]]>",
)


def jpeg(shade: int) -> str:
    """A small image in base64, as a run has those of its patches."""
    content = io.BytesIO()
    Image.new("RGB", (96, 96), (shade % 256, 90, 140)).save(content, "JPEG")
    return base64.b64encode(content.getvalue()).decode()


def pictured_run(fm: str = "ours", cohort: str = "camelyon", patches: int = 40):
    """An FM on a cohort with a map and with misled patches and their images."""
    misled = neighborhood()
    shown = (misled.patch, *misled.neighbors)
    run = run_of(
        fm,
        cohort,
        map=map_of(patches),
        neighborhoods=(misled,),
        images={patch.key: jpeg(40 * number) for number, patch in enumerate(shown)},
    )
    cells = tuple(
        CellFacts(subset="ID", medical_center=center, biological_class=kind, patches=30, slides=3)
        for center in ("RUMC", "UMCU")
        for kind in ("normal", "tumor")
    )
    facts = run.fm.model_copy(
        update={
            "notes": ("Its weights are not public.",),
            "identity": {"model": {"precision": "fp32", "sizes": [1, 2]}, "parts": [{"name": "head"}]},
        }
    )
    notes = ("Only for research.",)
    place = run.cohort.model_copy(
        update={"cells": cells, "tables": {"camelyon.csv": "ab12"}, "commercial": False, "notes": notes}
    )
    return run.model_copy(update={"fm": facts, "cohort": place})


def soundness(fm: str = "ours", cohort: str = "camelyon", verdict: Verdict = Verdict.PASS) -> IntegrityCheck:
    return IntegrityCheck(
        id=f"test_integrity.py::test_not_collapsed[{fm}-{cohort}]",
        name="not_collapsed",
        fm=fm,
        cohort=cohort,
        verdict=verdict,
        reason="all embeddings point in one direction" if verdict is Verdict.FAIL else "",
        figures={"directions": 1.25},
    )


@cache
def failing() -> Results:
    """Two FMs; one misses criteria, has one undecided, one unmeasured, and an integrity check that failed."""
    slides = (
        SlideValue(
            slide_id="s17", medical_center="RUMC", biological_class="tumor", value=0.1, meaning="1 of 10"
        ),
    )
    center = GroupValue(
        name="RUMC", value=0.123, interval=(0.1, 0.15), simultaneous=None, support=0.4, rows=25
    )
    index, *others = checks_of()
    index = index.model_copy(
        update={
            "cells": CELLS,
            "slides": slides,
            "suspects": (Suspect(kind="cohort", sentence="a few slides decide."),),
            "interval_note": "drawn from slides",
            "drift": 0.02,
            "p_value": 0.003,
            "baseline": ComparedWith(fm="old", source="old.json", value=0.4),
            "groups": {"medical_center": (center,)},
        }
    )
    checks = [index, *others, unmeasured(fm="ours", cohort="camelyon"), *checks_of("other", index=0.9)]
    releases = (
        Release(fm="other", verdict=Verdict.INCONCLUSIVE, family="none", planned=4, sentence="INCONCLUSIVE"),
        Release(
            fm="ours",
            verdict=Verdict.FAIL,
            family="none",
            planned=5,
            decisive=(index.id,),
            sentence="FAIL for these medical centers: not met: robustness index (camelyon)",
        ),
    )
    return results_of(
        checks,
        [pictured_run(), pictured_run("other")],
        releases=releases,
        integrity=(soundness(verdict=Verdict.FAIL), soundness("other")),
        other_failures=("test_mine.py::test_more",),
    )


@cache
def good() -> Results:
    """One FM that meets everything."""
    check = passing(fm="ours", cohort="camelyon", interval=(0.85, 0.95), support=0.8)
    releases = releases_of([check], {("ours", NO_METHOD): 1}, {})
    return results_of([check], [pictured_run()], releases=releases, integrity=(soundness(),))


@cache
def not_started() -> Results:
    """A run that could not start."""
    return unstarted(Settings(fms=("ours",)), "the cohort 'x' does not exist; name another one.")


@cache
def not_finished() -> Results:
    """A run that was killed after its first check."""
    results = results_of([passing(fm="ours", cohort="camelyon")], [run_of()])
    return results.model_copy(
        update={
            "complete": False,
            "outcome": Outcome.ERROR,
            "summary": "ERROR: the run did not finish; 1 of 4 criteria measured",
            "problems": ("the run did not finish",),
        }
    )


@cache
def hostile() -> Results:
    """Every name and sentence that comes from outside is an attack."""
    checks, runs, releases, integrity = [], [], [], []
    for number, name in enumerate(HOSTILE):
        check = made(fm=name, cohort=name, interval=(0.2, 0.4), cells=CELLS)
        cell = CELLS[0].__class__(
            medical_center=name, biological_class=name, value=0.1, meaning=name, unit=name, same_center=0.5
        )
        texts = dict.fromkeys(("rationale", "source", "owner", "meaning", "interval_note", "label"), name)
        checks.append(
            check.model_copy(
                update={
                    **texts,
                    "id": f"{number}{name}",
                    "cells": (cell,),
                    "suspects": (Suspect(kind="cohort", sentence=name),),
                    "remedies": (name,),
                    "requirements": (name,),
                    "reason": name,
                }
            )
        )
        run = pictured_run(name, name)
        facts = {"spec": name, "license": name, "notes": (name,), "identity": {name: {name: [name]}}}
        place = {
            "source": name,
            "license": name,
            "notes": (name,),
            "tables": {name: name},
            "biological_classes": (name,),
            "in_domain_centers": (name,),
            "cells": (
                CellFacts(subset=name, medical_center=name, biological_class=name, patches=1, slides=1),
            ),
        }
        misled = run.neighborhoods[0]
        patch = misled.patch.model_copy(update={"biological_class": name, "medical_center": name})
        runs.append(
            run.model_copy(
                update={
                    "fm": run.fm.model_copy(update=facts),
                    "cohort": run.cohort.model_copy(update=place),
                    "neighborhoods": (misled.model_copy(update={"patch": patch}),),
                    "images": {**run.images, misled.neighbors[0].key: name},
                }
            )
        )
        releases.append(
            Release(fm=name, verdict=Verdict.FAIL, family="none", planned=1, decisive=(), sentence=name)
        )
        integrity.append(
            soundness(name, name, Verdict.FAIL).model_copy(
                update={"name": name, "reason": name, "figures": {name: 1.0}}
            )
        )
    results = results_of(checks, runs, releases=tuple(releases), integrity=tuple(integrity))
    environment = results.environment
    return results.model_copy(
        update={
            "problems": HOSTILE,
            "other_failures": HOSTILE,
            "complete": False,
            "summary": "FAIL: " + HOSTILE[0],
            "environment": environment.model_copy(
                update={
                    "left_out": HOSTILE,
                    "settings": HOSTILE,
                    "packages": dict.fromkeys(HOSTILE, HOSTILE[0]),
                    "platform": HOSTILE[0],
                    "criteria": environment.criteria.model_copy(
                        update={"files": HOSTILE, "profile": dict.fromkeys(HOSTILE, HOSTILE[2])}
                    ),
                }
            ),
        }
    )


def _met(check: Check) -> Check:
    return made(
        check.metric, 0.9, fm=check.fm, cohort=check.cohort, interval=(0.85, 0.95), curves=check.curves,
        grids=check.grids,
    )  # fmt: skip


@cache
def many(fms: int = 50, cohorts: int = 4) -> Results:
    """Many FMs on several cohorts, every second FM with a failure."""
    checks, runs = [], []
    for number in range(fms):
        fm = f"hf-hub:org/model-{number:02d}"
        for cohort in (f"cohort-{n}" for n in range(cohorts)):
            checks += checks_of(fm, cohort) if number % 2 else [_met(one) for one in checks_of(fm, cohort)]
            runs.append(pictured_run(fm, cohort, patches=1000))
    return results_of(checks, runs)
