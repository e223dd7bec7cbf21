"""The ending of a file's name says which report is written."""

import pytest
from made_document import document

from pathorob_checks import Results
from pathorob_checks.errors import ResultsError
from pathorob_checks.report import save_report
from pathorob_checks.report.forms import FORMS

FORM_OF = {"r.html": "html", "R.HTM": "html", "r.md": "markdown", "r.markdown": "markdown", "r.json": "json"}


@pytest.mark.parametrize("name", FORM_OF)
def test_the_ending_says_which_report_is_written(name, tmp_path):
    path = tmp_path / "reports" / name
    save_report(document(), path)
    assert path.read_text(encoding="utf-8") == FORMS[FORM_OF[name]].render(document())


def test_a_results_file_is_that_of_save(tmp_path):
    save_report(document(), str(tmp_path / "r.json"))
    assert Results.read(tmp_path / "r.json") == document()


@pytest.mark.parametrize("name", ["report", "report.pdf", ".html"])
def test_another_ending_is_refused_and_nothing_written(name, tmp_path):
    with pytest.raises(ResultsError, match=r"does not say what to write; end it with \.html, \.md or \.json"):
        save_report(document(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []
