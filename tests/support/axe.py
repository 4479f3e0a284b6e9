"""axe-core on a page whose window has the script of the fixture `axe` (tests/fixtures/browser.py)."""

from typing import Any

from playwright.sync_api import Page


def barriers(page: Page) -> list[str]:
    """What axe calls serious or critical: rule, where, and why."""
    found: dict[str, Any] = page.evaluate("() => axe.run()")
    assert len(found["passes"]) > 10, "axe has looked at nothing"
    return [
        f"{violation['id']} {node['target']}: {node['failureSummary']}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
