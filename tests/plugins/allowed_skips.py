"""Pytest plugin of `make test-extended`: a skip that is not on tests/allowed_skips.toml fails the run.

It is loaded by name (`-p allowed_skips`), so that `make test` and single tests may skip freely.
"""

import re
import tomllib
from pathlib import Path

import pytest

LIST = "tests/allowed_skips.toml"


class AllowedSkips:
    """Collects the skips of one run and compares them with the list.

    Args:
        reasons: Pattern of test ids (`*` and `?` are special, `[` is not) → why they may skip.
    """

    def __init__(self, reasons: dict[str, str]) -> None:
        for pattern, reason in reasons.items():
            if not isinstance(reason, str) or not reason.strip():
                raise pytest.UsageError(
                    f"{LIST}: expected a reason for {pattern!r}, got {reason!r}"
                )
        self._patterns = [as_regex(pattern) for pattern in reasons]
        self._unexplained: dict[str, str] = {}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._take(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not hasattr(report, "wasxfail"):  # an expected failure is reported as a skip too
            self._take(report)

    def _take(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.skipped and not any(
            pattern.fullmatch(report.nodeid) for pattern in self._patterns
        ):
            said = (
                report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            )
            self._unexplained[report.nodeid] = said

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._unexplained and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._unexplained:
            terminalreporter.section(f"skipped, but not listed in {LIST}", red=True)
        for test, said in self._unexplained.items():
            terminalreporter.line(f"{test}: {said}")


def as_regex(pattern: str) -> re.Pattern[str]:
    """Return the expression for a pattern of test ids: `*` is any text and `?` any character."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def pytest_configure(config: pytest.Config) -> None:
    listed: Path = config.rootpath / LIST
    reasons = tomllib.loads(listed.read_text()) if listed.exists() else {}
    config.pluginmanager.register(AllowedSkips(reasons), "allowed-skips")
