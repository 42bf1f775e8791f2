"""The page in a real browser: nothing logged, nothing cut off on a phone, both colour schemes."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from femtobarn.report import read_inputs, render

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")

#: Measures the page in a frame as wide as a phone's or a desk's screen; writes JSON into the document.
PROBE = """<!DOCTYPE html><body>
<iframe id="f" style="width:%(width)dpx;height:800px;border:0" srcdoc="%(page)s"></iframe>
<pre id="out"></pre><script>
document.getElementById("f").onload = () => {
  const win = document.getElementById("f").contentWindow, doc = win.document;
  const stops = [...doc.querySelectorAll("a[href], summary, [tabindex='0']")];
  const focused = one => { one.focus(); return doc.activeElement === one || !one.checkVisibility(); };
  const foreign = win.performance.getEntriesByType("resource").map(r => r.name);
  document.getElementById("out").textContent = JSON.stringify({
    wide: doc.documentElement.scrollWidth, dark: win.matchMedia("(prefers-color-scheme: dark)").matches,
    paper: win.getComputedStyle(doc.body).backgroundColor,
    stops: stops.length, reached: stops.filter(focused).length,
    images: doc.images.length, broken: [...doc.images].filter(i => !i.naturalWidth).length,
    requests: foreign.filter(name => !name.startsWith("data:")),
  });
};
</script></body>"""
#: Headless, and silent: the browser itself shall not use the network either.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--dump-dom",
)  # fmt: skip


def browse(path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a file and return what became of its document (stdout) and the log (stderr)."""
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={path.parent / 'profile'}", *flags, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def probe(page: str, folder: Path, *, width: int, dark: bool) -> dict:
    """Open a page in headless Chromium; its measurements, and what it logged under ``console``."""
    # Measuring needs a script, which the page's own policy rightly forbids.
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    wrapper = folder / "wrapper.html"
    wrapper.write_text(PROBE % {"width": width, "page": html.escape(open_page)}, encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    done = browse(
        wrapper, scheme, "--enable-logging=stderr", "--window-size=1300,900", "--virtual-time-budget=4000"
    )
    found = re.search(r'<pre id="out">(.*?)</pre>\s*<script', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return {**json.loads(html.unescape(found.group(1))), "console": console}


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1200, True)])
def test_page_in_a_browser(make_run, tmp_path, width, dark):
    lost = {"parts": {"total": 4, "failed": 1}, "lost_fraction": 0.25}
    seen = probe(render(read_inputs(make_run(ledger=lost))), tmp_path, width=width, dark=dark)
    assert seen["console"] == []
    assert seen["requests"] == []
    assert seen["wide"] <= width, "the page itself must not scroll sideways"
    assert seen["dark"] is dark
    assert seen["paper"] == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
    assert (seen["images"], seen["broken"]) == (1, 0)
    assert seen["stops"] > 20
    assert seen["reached"] == seen["stops"], "everything that acts must take the keyboard's focus"


def test_policy_stops_scripts_and_requests(make_run, tmp_path):
    page = render(read_inputs(make_run())).replace("</main>", '<script>document.title="ran"</script></main>')
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    done = browse(path)
    assert "<title>ran</title>" not in done.stdout
    assert "<title>Higgs boson to four leptons" in done.stdout
