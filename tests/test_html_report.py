"""The HTML report as text: what it holds, what it must not hold, and how it is read again."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from drawn_results import checks_of, results_of
from made_checks import made, passing, unmeasured
from report_documents import failing, good, hostile, jpeg, many, not_finished, not_started, pictured_run

import pathorob_checks
from pathorob_checks import Results, figures
from pathorob_checks.cli import main
from pathorob_checks.criteria.verdict import GRAVEST_FIRST, Verdict
from pathorob_checks.errors import ResultsError
from pathorob_checks.methods.names import NO_METHOD
from pathorob_checks.metrics.measurement import CellValue, GroupValue
from pathorob_checks.report import pictures
from pathorob_checks.report.forms import FORMS
from pathorob_checks.report.gauges import WIDTH, gauges
from pathorob_checks.report.html import html_report
from pathorob_checks.report.limits import limits_of
from pathorob_checks.report.page import page_of
from pathorob_checks.report.sheets import cell_sheet, design_sheet, group_sheet, metric_rows
from pathorob_checks.results.document import Release
from pathorob_checks.results.names import fm_and_method
from pathorob_checks.results.numbers import check_interval
from pathorob_checks.results.subject_facts import CellFacts

ALL = (failing, good, not_started, not_finished, hostile)
EMPTY = '<script type="application/json" id="results">{}</script>'
every_document = pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)


@cache
def page(make) -> str:
    """The report on one of the documents."""
    return html_report(make())


class _Page(HTMLParser):
    """The words, the elements and the attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").split())


def body(text: str) -> str:
    """What a reader sees of a page: without style sheet, scripts and results."""
    return _Page(re.sub(r"<(style|script)\b.*?</\1>", "", text, flags=re.DOTALL)).text


@every_document
def test_the_results_are_read_back_from_the_page(make, tmp_path: Path):
    results = make()
    FORMS["html"].save(results, tmp_path / "report.html")
    read = Results.read(tmp_path / "report.html")
    assert json.loads(read.to_json()) == json.loads(results.to_json())
    assert FORMS["html"].is_one((tmp_path / "report.html").read_bytes())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("<!doctype html><p>a page", "the page holds no results"),
        ('<!DOCTYPE html><script type="application/json" id="results">{}', "cut off within its results"),
        (f"<!doctype html>{2 * EMPTY}", "the page holds several results"),
        (f"<!doctype html>{EMPTY}", "has no key 'schema'"),
    ],
)  # fmt: skip
def test_a_page_without_results_is_refused_in_a_sentence(content: str, problem: str, tmp_path: Path):
    (tmp_path / "page.html").write_text(content)
    with pytest.raises(ResultsError, match=problem) as refused:
        Results.read(tmp_path / "page.html")
    assert "\n" not in str(refused.value)


@pytest.mark.slow
@every_document
def test_the_policy_allows_what_is_in_the_page_and_nothing_else(make):
    text = page(make)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.replace("&#39;", "'").split(";"))
    assert (rules["default-src"], rules["img-src"], rules["base-uri"]) == ("'none'", "data:", "'none'")
    for rule, element in (("style-src-elem", "style"), ("script-src", "script")):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    addresses = [value for name, value in _Page(text).attributes if name in ("src", "href")]
    assert all(re.match(r"#|data:(image/(jpeg|png);base64)?,", address) for address in addresses)


def test_everything_about_a_check_is_on_the_page():
    results = failing()
    text = body(page(failing))
    for check, explanation in zip(results.checks, results.explanations(), strict=True):
        expected = [
            check.label,
            check.reason if check.value is None else f"{check.value:.3f}",
            check.rationale,
        ]
        expected += [check_interval(check)] if check.interval else []
        expected += [f"k = {check.neighbors}"] if check.neighbors is not None else []
        expected += [f"p = {check.p_value:.2g} if the bound were "] if check.p_value is not None else []
        if check.verdict is not Verdict.PASS:
            expected += [check.id, explanation.headline[1:], explanation.meaning, *explanation.remedies]
            expected += [cell.meaning for cell in explanation.cells]
            expected += [slide.slide_id for slide in explanation.slides]
            expected += [suspect.sentence for suspect in explanation.suspects]
        for one in expected:
            assert " ".join(one.split()) in text
    for one in (
        "RUMC medical center 0.123 [0.100, 0.150] 40 % 25",
        "old has 0.400 (old.json)",
        "drift of 0.02",
    ):
        assert one in text
    for one in (*results.integrity, *results.releases):
        assert (one.sentence if isinstance(one, Release) else one.name.replace("_", " ")) in text
    for fact in (
        "ab12",
        "Its weights are not public.",
        "Only for research.",
        "no commercial use",
        "parts 1.name",
    ):
        assert fact in text


def test_tables_of_cells_and_of_groups_say_what_their_values_are():
    recall, own = (
        CellValue(medical_center="A", biological_class="x", value=-0.2, meaning="m", unit=unit)
        for unit in ("in recall", "")
    )
    assert cell_sheet([recall]).columns[2] == "change in recall"
    assert cell_sheet([recall]).rows[0][2] == "-0.200"
    assert cell_sheet([own]).columns[2] == "value"
    assert [row[2] for row in cell_sheet([own, recall]).rows] == ["-0.200", "-0.200 in recall"]
    assert group_sheet({}).columns[2] == "value of the metric"


def test_that_no_cell_lost_is_said_instead_of_a_table():
    gain = CellValue(medical_center="A", biological_class="x", value=0.1, meaning="m", unit="in recall")
    text = _Page(html_report(results_of([made("performance_drop_ood", -0.3, cells=(gain,))]))).text
    assert "No biological class of any medical center lost anything in recall." in text
    assert "Where it is weakest" not in text


def _grouped(**changes):
    """A criterion that is met, with a weak center and classes that are alike."""
    groups = {
        "medical_center": (("RUMC", 0.61), ("UMCU", 0.95)),
        "biological_class": (("normal", 0.9), ("tumor", 0.9001)),
    }
    return passing(
        fm="ours",
        cohort="camelyon",
        interval=(0.85, 0.95),
        groups={
            kind: tuple(
                GroupValue(name=name, value=value, interval=None, simultaneous=None, support=None, rows=9)
                for name, value in own
            )
            for kind, own in groups.items()
        },
        **changes,
    )


def test_a_pass_names_its_weakest_center_and_has_the_table_of_all():
    text = body(html_report(results_of([_grouped()], [pictured_run()])))
    assert "Weakest: RUMC (0.610), every biological class (0.900)" in text
    assert "Every medical center and biological class: robustness index of ours on camelyon" in text
    assert "UMCU medical center 0.950 - - 9" in text


def test_the_groups_of_a_difference_are_not_called_the_weakest_of_it():
    check = _grouped(quantity="difference", bound=0.0)
    assert "Weakest:" not in body(html_report(results_of([check], [pictured_run()])))


def test_a_pass_states_its_limits():
    text = body(page(good))
    assert (
        "on camelyon are about 2 medical centers (RUMC, UMCU) and 2 biological classes (normal, tumor)"
        in text
    )
    assert "No interval is about other centers, scanners or classes" in text
    assert "The bounds (profile floor) are the choice of the project pathorob-checks" in text
    assert "No clinical claim follows" in text


def test_bounds_of_a_file_are_the_choice_of_who_wrote_it():
    results = good()
    terms = results.environment.criteria.model_copy(update={"files": ("floor", "mine.toml")})
    environment = results.environment.model_copy(update={"criteria": terms})
    (limit,) = (
        one for one in limits_of(results.model_copy(update={"environment": environment})) if "bounds" in one
    )
    assert limit == ("The bounds are the choice of whoever wrote the criteria (profile floor and mine.toml).")


@pytest.mark.parametrize("make", [not_started, lambda: results_of([unmeasured()], [])])
def test_what_measured_nothing_has_no_limits_to_state(make):
    assert limits_of(make()) == ()
    assert "What this does not say" not in body(html_report(make()))


@pytest.mark.parametrize(
    ("value", "said"), [(0.9, "p = 0.003 if the bound were missed"), (0.3, "p = 0.003 if the bound were met")]
)
def test_a_p_value_names_its_hypothesis(value, said):
    check = made(value=value, fm="ours", cohort="camelyon", interval=(value - 0.1, value + 0.1))
    text = body(html_report(results_of([check.model_copy(update={"p_value": 0.003})], [])))
    assert said in text
    assert "p how probable a value at least this far on its side of the bound would be" in text


@pytest.mark.slow
def test_how_to_read_a_metric_is_in_its_own_words():
    expected = dict(metric_rows(results_of().metrics))
    assert "neutral: 0.5" in expected["robustness index"]
    assert "biology and medical center weigh about the same" in expected["robustness index"]
    for name in ("drop in-domain", "drop out-of-domain"):
        assert "neutral: 0, that is, tested at" in expected[name]
        assert "as accurate if class and center go together" in expected[name]
        assert "weigh" not in expected[name]
    assert "slightly beyond" in expected["clustering score"]
    assert all(text in body(html_report(results_of())) for text in expected.values())


def test_a_metric_that_is_not_installed_has_its_scale_and_no_more():
    (facts,) = results_of([made()]).metrics.values()
    assert metric_rows({"foreign": facts}) == (
        ("robustness index", "from 0 to 1; higher is more robust; neutral: 0.5"),
    )


def test_a_killed_run_tells_when_it_started_and_what_was_planned():
    results = not_finished().model_copy(update={"checks": (), "runs": ()})
    planned = ("suites/test_a.py::test_a[x-demo]", "suites/test_i.py::test_i[ours-combat-a-demo]")
    counts = results.environment.criteria.completeness.model_copy(update={"integrity_planned": 1})
    terms = results.environment.criteria.model_copy(
        update={
            "planned": planned,
            "completeness": counts,
            "protocol": {"cohorts": {"demo": {}, "a-demo": {}}},
        }
    )
    environment = results.environment.model_copy(update={"criteria": terms})
    text = body(html_report(results.model_copy(update={"environment": environment})))
    assert "foundation models ours-combat cohorts a-demo" in text
    check = passing(fm="ours", method="combat", cohort="a-demo")
    begun = results.model_copy(update={"environment": environment, "checks": (check,)})
    assert "foundation models ours + combat cohorts a-demo" in body(html_report(begun))
    assert "started 1 March 2026, 00:00 UTC" in text
    assert "ended 1 March" in body(page(good))


@pytest.mark.parametrize(
    ("centers", "kinds", "first"), [(7, 3, "medical center"), (2, 5, "biological class")]
)
def test_the_longer_side_of_the_cohort_goes_down_the_page(centers, kinds, first):
    cells = tuple(
        CellFacts(subset="ID", medical_center=f"c{one}", biological_class=f"k{kind}", patches=9, slides=2)
        for one in range(centers)
        for kind in range(kinds)
    )
    cohort = pictured_run().cohort.model_copy(update={"cells": cells})
    sheet = design_sheet(cohort)
    assert sheet.columns[0] == first
    assert len(sheet.rows) == max(centers, kinds)
    assert {len(row) for row in sheet.rows} == {len(sheet.columns)} == {min(centers, kinds) + 1}
    assert {cell for row in sheet.rows for cell in row[1:]} == {"2 slides, 9 patches"}


def test_misplaced_patches_without_images_are_one_table():
    run = pictured_run().model_copy(update={"images": {}})
    text = html_report(results_of(runs=[run]))
    assert '<ol class="patches"' not in text
    assert "slide s1, patch p1 tumor RUMC" in body(text)
    assert "1: same class, other center" in body(text)
    assert "s2, s3, s4, s5" in body(text)
    assert '<ol class="patches"' in page(good)


def test_failures_come_first_and_the_gravest_of_them():
    sorted_out = page_of(failing())
    places = [GRAVEST_FIRST.index(row.counts_as) for row in sorted_out.missed]
    assert places == sorted(places)
    assert places[0] < places[-1]
    assert [card.release.verdict for card in sorted_out.releases] == [Verdict.FAIL, Verdict.INCONCLUSIVE]
    text = body(page(failing))
    assert text.index("What did not pass") < text.index("All criteria") < text.index("How to read")


def test_a_failure_that_chance_explains_says_what_it_counts_as():
    check = made(fm="ours", cohort="camelyon", interval=(0.2, 0.4))
    release = Release(
        fm="ours", verdict=Verdict.INCONCLUSIVE, family="holm", planned=1, decisive=(check.id,), sentence="?"
    )
    results = results_of([check], [], releases=(release,))
    (row,) = page_of(results).missed
    assert (row.check.verdict, row.counts_as) == (Verdict.FAIL, Verdict.INCONCLUSIVE)
    assert "counts as ? INCONCLUSIVE" in body(html_report(results))


@pytest.mark.parametrize(
    ("make", "state", "sentence"),
    [
        (not_started, "unstarted", "The run did not start"),
        (not_finished, "broken", "The run did not finish."),
        (good, "whole", ""),
    ],
)
def test_a_run_that_is_not_whole_says_so(make, state: str, sentence: str):
    assert page_of(make()).state == state
    assert sentence in body(page(make))
    assert ('class="alarm"' in page(make)) == (state != "whole")


def test_a_run_without_all_of_its_checks_is_incomplete():
    assert page_of(failing()).state == "incomplete"
    assert "8 of 9 criteria were measured" in body(page(failing))


def test_the_page_shows_nothing_that_the_results_do_not_have(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("HF_TOKEN", "hf_planted_token")
    monkeypatch.setenv("PLANTED", "planted-in-the-environment")
    monkeypatch.chdir(tmp_path)
    text = html_report(good())
    foreign = [
        "hf_planted_token",
        "planted-in-the-environment",
        str(tmp_path),
        str(Path.home()) + "/",
        str(Path(pathorob_checks.__file__).parent),
    ]
    assert [one for one in foreign if one in text] == []
    assert not re.search(rf"\b{re.escape(platform.node())}\b", body(text))
    assert text == page(good)  # and nothing of the time or the folder


def test_names_are_escaped_wherever_they_stand():
    read = _Page(page(hostile))
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert read.elements.count("script") == 2
    assert read.elements.count("title") == read.elements.count("style") == 1
    assert "{{ 7 * 7 }}" in read.text


@pytest.mark.slow
@pytest.mark.parametrize("content", ["javascript:alert(1)", base64.b64encode(b"<svg onload=1>").decode()])
def test_an_image_that_is_none_is_not_shown(content: str):
    run = pictured_run()
    key = run.neighborhoods[0].patch.key
    images = {**run.images, key: content}
    results = results_of(runs=[run.model_copy(update={"images": images})])
    text = html_report(results)
    assert content not in text
    assert text.count("<img ") == len(images) - 1
    assert jpeg(40) in text


def test_a_figure_that_cannot_be_drawn_leaves_its_numbers(monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    drawn = figures.pictures_of(good())
    changed = [picture.__class__(**{**vars(picture), "draw": broken}) for picture in drawn]
    monkeypatch.setattr(figures, "pictures_of", lambda results, most_subjects: tuple(changed))
    text = body(html_report(good()))
    assert "This figure could not be drawn (ZeroDivisionError)" in text
    assert text.count("The numbers of this figure") == len(
        [one for one in drawn if one.kind != "misled_patches"]
    )


def test_every_figure_has_words_and_a_table():
    text = page(good)
    shown = re.findall(r"<figure>.*?</figure>", text, flags=re.DOTALL)
    assert len(shown) >= 3
    for one in shown:
        assert re.search(r'<svg [^>]*role="img"[^>]*aria-label="[^"]{20,}"', one)
        assert "<figcaption>" in one
        assert "<table>" in one


@pytest.mark.slow
def test_of_many_subjects_those_that_fail_have_figures_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_SUBJECTS", 3)
    text = html_report(many(fms=4, cohorts=2))
    shown = re.findall(r'<h3 id="figures-\d+"><bdi>(.*?)</bdi>', text)
    assert shown == ["hf-hub:org/model-01", "hf-hub:org/model-01", "hf-hub:org/model-03"]
    assert "Only 3 of 8 pairs of FM and cohort have figures of their own here" in text
    assert text.count("<img ") == 3 * 5


@pytest.mark.slow
def test_one_fm_on_three_cohorts_is_less_than_2_mb():
    names = ("camelyon", "tcga", "tolkach_esca")
    images = {f"s{n}-p{n}": jpeg(n) + "A" * 4_000 for n in range(28)}
    runs = [pictured_run(cohort=name, patches=1_000) for name in names]
    runs = [run.model_copy(update={"images": {**images, **run.images}}) for run in runs]
    text = html_report(results_of([check for name in names for check in checks_of(cohort=name)], runs))
    assert 100_000 < len(text.encode()) < 2_000_000


def test_gauges_of_one_metric_share_a_scale():
    low, high = made(interval=(0.2, 0.4)), passing(interval=(0.85, 0.95))
    first, second, other = gauges([low, high, made("clustering_score")])
    assert first is not None
    assert second is not None
    assert other is not None
    assert (
        first.low < first.value < first.high < first.bound < second.low < second.value < second.high < WIDTH
    )
    assert first.bound == second.bound == first.good == WIDTH - first.good_width
    assert (other.low, other.high) == (other.value, other.value)


def test_a_gauge_needs_a_value():
    (without,) = gauges([made().model_copy(update={"value": None, "verdict": Verdict.ERROR})])
    assert without is None


def test_a_method_is_named_with_its_fm():
    check = passing(fm="ours", cohort="camelyon", method="combat")
    assert check.method != NO_METHOD
    assert fm_and_method("ours", "combat") in body(html_report(results_of([check], [])))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    good().save(tmp_path / "results.json")
    return tmp_path / "results.json"


def test_reports_are_made_later_from_a_results_file(saved: Path, capsys):
    page, text, again = (saved.with_name(name) for name in ("r.html", "r.md", "again.json"))
    assert main(["report", str(saved), "--html", str(page), "--markdown", str(text)]) == 0
    assert capsys.readouterr().out == f"HTML report: {page}\nMarkdown report: {text}\n"
    assert main(["report", str(page), "--json", str(again)]) == 0
    assert json.loads(again.read_text()) == json.loads(saved.read_text())
    assert main(["verdict", str(page)]) == main(["verdict", str(saved)])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((), "no report is asked for; give --html=FILE or --markdown=FILE."),
        (("--html", "mine.txt"), "the file mine.txt exists and is no HTML report; name another file."),
        (("--json", "results.json"), "is what the report is made from; name another file."),
        (("--html", "x", "--json", "x"), "have the same file; name another file for one of them."),
        (("--html", "."), "the HTML report . is a folder; name a file."),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_said_in_a_sentence(arguments, problem, saved: Path, monkeypatch, capsys):
    monkeypatch.chdir(saved.parent)
    Path("mine.txt").write_text("mine")
    assert main(["report", "results.json", *arguments]) == 1
    assert capsys.readouterr().err.endswith(problem + "\n")
    assert Path("mine.txt").read_text() == "mine"
    assert sorted(path.name for path in saved.parent.iterdir()) == ["mine.txt", "results.json"]


def test_results_that_contradict_themselves_have_no_report(saved: Path, capsys):
    content = json.loads(saved.read_text())
    content["outcome"] = "fail"
    saved.write_text(json.dumps(content))
    assert main(["report", str(saved), "--html", str(saved.with_name("r.html"))]) == 1
    assert "contradict each other" in capsys.readouterr().err
    assert not saved.with_name("r.html").exists()
