"""Kind: what pytest makes of the tests' reports is not what the criteria came to."""

from __future__ import annotations

import pytest
from attack import Attack, assert_not_passed

MARKS = """
import pytest
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.{})
"""
REPORT = """
import pytest
@pytest.hookimpl(hookwrapper=True, {order})
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        {change}
"""
PASSED = "report.outcome, report.longrepr = 'passed', None"
SKIPPED = "report.outcome, report.longrepr = 'skipped', ('f', 1, 'flaky')"
XFAILED = "report.outcome, report.wasxfail = 'skipped', 'known'"
ANOTHER = (
    "outcome.force_result(type(report)(report.nodeid, report.location, {}, 'passed', None, report.when))"
)
STATUS = """
import pytest
@pytest.hookimpl({how})
def pytest_sessionfinish(session):
    {wait}
    session.exitstatus = {status}
"""
CONFTESTS = {
    "xfail marks": MARKS.format('xfail(reason="known")'),
    "xfail marks that need no run": MARKS.format('xfail(reason="known", run=False)'),
    "xfail marks of a condition": MARKS.format('xfail(True, reason="known", strict=False)'),
    "skip marks": MARKS.format('skip(reason="slow")'),
    "skipif marks": MARKS.format('skipif(True, reason="slow")'),
    "reports made passed first": REPORT.format(order="tryfirst=True", change=PASSED),
    "reports made passed last": REPORT.format(order="trylast=True", change=PASSED),
    "reports made skipped": REPORT.format(order="tryfirst=True", change=SKIPPED),
    "reports made xfailed": REPORT.format(order="tryfirst=True", change=XFAILED),
    "reports replaced": REPORT.format(order="tryfirst=True", change=ANOTHER),
    "the call made to pass": """
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    outcome = yield
    outcome.force_result(None)
""",
    "the call replaced": "def pytest_runtest_call(item):\n    pass\n"
    "import _pytest.runner\n_pytest.runner.pytest_runtest_call = pytest_runtest_call\n",
    "the protocol replaced": "def pytest_runtest_protocol(item, nextitem):\n    return True\n",
    "the loop replaced": "import pytest\n@pytest.hookimpl(tryfirst=True)\n"
    "def pytest_runtestloop(session):\n    return True\n",
    "reports kept from others": """
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report):
    report.outcome = "passed"
""",
    "the exit status set first": STATUS.format(how="tryfirst=True", wait="", status=0),
    "the exit status set last": STATUS.format(how="trylast=True", wait="", status=0),
    "the exit status set around": STATUS.format(how="wrapper=True, tryfirst=True", wait="yield", status=0),
    "the exit status made 256": STATUS.format(how="trylast=True", wait="", status=256),
    "no tests made no error": "def pytest_sessionfinish(session):\n    if session.exitstatus == 5:\n"
    "        session.exitstatus = 0\ndef pytest_collection_modifyitems(items):\n    items[:] = []\n",
    "the exit status set when all is over": "def pytest_unconfigure(config):\n"
    "    config.pluginmanager.getplugin('session').exitstatus = 0\n",
    "the command replaced": "import pytest\n@pytest.hookimpl(tryfirst=True)\n"
    "def pytest_cmdline_main(config):\n    return 0\n",
    "the command's result replaced": "import pytest\n@pytest.hookimpl(wrapper=True, tryfirst=True)\n"
    "def pytest_cmdline_main(config):\n    yield\n    return 0\n",
    "an early end with 0": "import pytest\ndef pytest_runtest_setup(item):\n"
    "    pytest.exit('enough', returncode=0)\n",
    "an early end with 0 of the session": "import pytest\ndef pytest_sessionstart(session):\n"
    "    pytest.exit('enough', returncode=0)\n",
    "an early end with 0 at the end": "import pytest\ndef pytest_sessionfinish(session):\n"
    "    pytest.exit('enough', returncode=0)\n",
    "a system exit": "def pytest_runtest_setup(item):\n    raise SystemExit(0)\n",
    "a system exit at the end": "def pytest_sessionfinish(session):\n    raise SystemExit(0)\n",
    "a system exit in the summary": "def pytest_terminal_summary():\n    raise SystemExit(0)\n",
    "a system exit when all is over": "def pytest_unconfigure():\n    raise SystemExit(0)\n",
    "pytest's exit when all is over": "import pytest\ndef pytest_unconfigure():\n"
    "    pytest.exit('enough', returncode=0)\n",
    "a system exit of a cleanup": "import sys\n"
    "def pytest_configure(config):\n    config.add_cleanup(sys.exit)\n",
    "should_stop": "def pytest_runtest_logfinish(nodeid):\n    pass\n"
    "def pytest_runtest_setup(item):\n    item.session.shouldstop = 'enough'\n",
}


@pytest.mark.parametrize("way", CONFTESTS)
def test_a_conftest_or_plugin_changes_what_becomes_of_a_failure(way: str, attack: Attack) -> None:
    # Hooks about single tests are called for those of the project; a plugin's are called for all tests.
    is_plugin = "def pytest_runtest_" in CONFTESTS[way]
    attack.write("attack_plugin.py" if is_plugin else "conftest.py", CONFTESTS[way])
    changes_pytest = "_pytest" in CONFTESTS[way]
    outcome = attack.run(*(["-p", "attack_plugin"] if is_plugin else []), subprocess=changes_pytest)
    assert outcome.code & 0xFF != 0, outcome.output
    assert outcome.is_clean, outcome.output
    assert not outcome.headline.startswith("PASS"), outcome.output
    assert outcome.results is None or outcome.results["outcome"] in ("fail", "error"), outcome.output


@pytest.mark.slow
@pytest.mark.parametrize("way", ["xfail marks", "reports made passed first", "reports replaced"])
def test_a_plugin_changes_the_reports_of_workers(way: str, attack: Attack) -> None:
    attack.write("attack_plugin.py", CONFTESTS[way])
    assert_not_passed(attack.run("-n1", "-p", "attack_plugin"))


SWALLOWED = """
import pytest
@pytest.mark.fm_metric("robustness_index")
def test_mine(fm_measure, fm_check, fm_criterion):
    try:
        fm_check(fm_measure(fm_criterion), fm_criterion)
    except BaseException:
        pass
"""
OWN_SWALLOWED = """
def test_mine(fm_measure, fm_check):
    try:
        fm_check(fm_measure("robustness_index"), at_least=0.99, rule="point")
    except BaseException:
        pass
"""
HIDDEN = """
def test_mine(fm_measure, fm_check):
    try:
        fm_check(fm_measure("robustness_index"), at_least=0.99, rule="point")
    except BaseException:
        pass
    fm_check(fm_measure("robustness_index"), at_least=0.0)
"""
NEVER_CHECKS = "def test_mine(fm_measure, fm_check):\n    fm_measure('robustness_index')\n"
XFAILS_ITSELF = """
import pytest
@pytest.mark.xfail(reason="known")
def test_mine(fm_measure, fm_check):
    fm_check(fm_measure("robustness_index"), at_least=0.99, rule="point")
"""
XFAILS_LATER = """
import pytest
@pytest.mark.xfail(reason="known")
def test_mine(fm_measure, fm_check):
    fm_check(fm_measure("robustness_index"), at_least=0.0)
    assert False
"""
SOFT_FAILURE = """
import pytest
@pytest.fixture
def soft(request):
    failures = request.node.stash.setdefault("soft", [])
    return lambda holds: holds or failures.append(1)
def test_mine(fm_measure, fm_check, soft):
    soft(False)
    fm_check(fm_measure("robustness_index"), at_least=0.0)
"""
SOFT = """
import pytest
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if item.stash.get("soft", None):
        report.outcome = "failed"
    return report
"""
PASSES_STRICTLY = XFAILS_ITSELF.replace('reason="known"', "strict=True").replace("0.99", "0.0")
OWN_TESTS = {
    "the verdict of a registered criterion": (SWALLOWED, "embeddings:bad"),
    "the verdict of a bound of its own": (OWN_SWALLOWED, "embeddings:bad"),
    "a verdict, and makes a second one": (HIDDEN, "embeddings:bad"),
    "a verdict of its own where all else passes": (OWN_SWALLOWED.replace("0.99", "1.1"), "embeddings:good"),
    "a failure by a mark": (XFAILS_ITSELF.replace("0.99", "1.1"), "embeddings:good"),
    "a failure after the check": (XFAILS_LATER, "embeddings:good"),
    "a strict mark": (PASSES_STRICTLY, "embeddings:good"),
    "by never checking": (NEVER_CHECKS, "embeddings:good"),
}


@pytest.mark.parametrize("way", OWN_TESTS)
def test_a_users_test_swallows(way: str, attack: Attack) -> None:
    text, fm = OWN_TESTS[way]
    attack.write("test_mine.py", text)
    assert_not_passed(attack.run("test_mine.py", fm=fm))


def test_a_plugin_fails_a_test_after_its_check_passed(attack: Attack) -> None:
    attack.write("soft.py", SOFT)
    attack.write("test_mine.py", SOFT_FAILURE)
    outcome = attack.run("-p", "soft", "test_mine.py", fm="embeddings:good")
    assert_not_passed(outcome)
    assert "test_mine[good-coh] failed" in outcome.headline


def test_a_test_is_repeated_until_it_passes(attack: Attack) -> None:
    attack.write(
        "test_mine.py",
        "import pytest\n"
        "@pytest.mark.parametrize('attempt', range(2))\n"
        "def test_mine(fm_measure, fm_check, attempt):\n"
        "    fm_check(fm_measure('robustness_index'), at_least=1.1 - attempt, rule='point')\n",
    )
    outcome = attack.run("test_mine.py", fm="embeddings:good")
    assert_not_passed(outcome)


RERUNS = """
import pytest
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in runtestprotocol(item, nextitem=nextitem, log=False):
        if report.failed:
            report.outcome = "rerun"
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
def pytest_report_teststatus(report):
    if report.outcome == "rerun":
        return "rerun", "R", "RERUN"
"""


def test_a_plugin_reruns_failures(attack: Attack) -> None:
    attack.write("reruns.py", RERUNS)
    assert_not_passed(attack.run("-p", "reruns"))
