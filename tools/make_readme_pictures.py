"""Makes the pictures of README.rst: a recording of its commands, and the front page.

Run it in the root of the repository, after `make test` has installed Chromium::

    .venv/python3/bin/python tools/make_readme_pictures.py

It runs the commands of "First certificate" with the sample configuration and a new CA.
"""

from __future__ import annotations

import base64
import html
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.documentation import LITERAL, blocks  # noqa: E402
from tests.support.servers import chromium  # noqa: E402
from tests.support.servers.anchor import serving  # noqa: E402

PICTURES = ROOT / "doc/pictures"
RECORDED = ("openssl req -out anchor-test", "curl http://127", "openssl x509 -in")

COLUMNS, LINE, LETTER, MARGIN = 100, 19, 7.9, 16
# Seconds between the lines of an output, and before a command.
PAUSE, THOUGHT = 0.12, 1.2

STYLE = """
text { font: 13px monospace; fill: #d7e0e3; white-space: pre; }
.prompt { fill: #4fc3b5; }
.command { fill: #ffffff; }
@media (prefers-reduced-motion: no-preference) {
  .line { animation: appear 0.1s both; }
}
@keyframes appear { from { opacity: 0; } to { opacity: 1; } }
"""
TITLE = "A first certificate"
DESCRIPTION = (
    "A terminal. openssl makes a key and a request, curl sends the request to Anchor, and the "
    "answer is a certificate for anchor-test.example.com that is valid for one day."
)


def commands():
    """The recorded commands, as README.rst shows them."""
    lines = [
        line.strip()
        for block in blocks("README.rst", LITERAL, "sh")
        for line in block.text.splitlines()
    ]
    return [next(line for line in lines if line.startswith(start)) for start in RECORDED]


def shortened(lines):
    """The lines of an output, without the middle of the Base64 of a certificate."""
    if "-----BEGIN CERTIFICATE-----" not in lines:
        return lines
    first, last = (
        lines.index("-----BEGIN CERTIFICATE-----"),
        lines.index("-----END CERTIFICATE-----"),
    )
    return [*lines[: first + 3], "...", *lines[last - 1 :]]


def record(service):
    """Run the commands in the directory of a service; return them with their output."""
    found = []
    for command in commands():
        typed = command.replace(":5016", f":{service.port}").replace("curl ", "curl --silent ")
        finished = subprocess.run(
            ["bash", "-c", typed],
            cwd=service.directory,
            capture_output=True,
            text=True,
            check=True,
        )
        # The progress of openssl is on standard error; nobody needs to see it.
        found.append((command, shortened(finished.stdout.strip().splitlines())))
    return found


def wrapped(text):
    return textwrap.wrap(text, COLUMNS)


def svg(recorded):
    """An animated picture of a terminal.  Without animation, it shows the end."""
    drawn, time = [], 0.5
    for command, output in recorded:
        for number, text in enumerate(wrapped(f"$ {command}")):
            prompt = '<tspan class="prompt">$ </tspan>' if number == 0 else ""
            rest = html.escape(text[2:] if number == 0 else text)
            drawn.append((time, f'{prompt}<tspan class="command">{rest}</tspan>'))
        time += THOUGHT
        for line in output:
            drawn += [(time, html.escape(text)) for text in wrapped(line)]
            time += PAUSE
        time += THOUGHT
    height = len(drawn) * LINE + 2 * MARGIN
    width = round(COLUMNS * LETTER) + 2 * MARGIN
    lines = [
        f'<text class="line" style="animation-delay: {time:.2f}s" x="{MARGIN}" '
        f'y="{MARGIN + LINE * (number + 1) - 5}">{text}</text>'
        for number, (time, text) in enumerate(drawn)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="title description">',
            f'<title id="title">{TITLE}</title>',
            f'<desc id="description">{DESCRIPTION}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect width="{width}" height="{height}" rx="8" fill="#11181d"/>',
            *lines,
            "</svg>\n",
        ]
    )


def screenshot(service, directory):
    """The upper part of the front page, as PNG."""
    with chromium.running_browser(directory) as process, chromium.page_of(process) as browser:
        browser.set_screen(1000, 720)
        browser.call("Emulation.setScrollbarsHidden", hidden=True)
        browser.open(f"{service.url}/")
        # The address that the README uses.
        browser.evaluate(
            "const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);"
            "while (texts.nextNode()) texts.currentNode.data = "
            f"texts.currentNode.data.replaceAll(':{service.port}', ':5016')"
        )
        answer = browser.call("Page.captureScreenshot", format="png")
    return base64.b64decode(answer["data"])


def main():
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        shutil.copy(ROOT / "config.json", directory)
        make_ca = ["init", "--ca-only", "--name", "Anchor Test CA", "--key", "rsa-4096"]
        anchor = Path(sys.executable).with_name("anchor")
        subprocess.run([anchor, *make_ca], cwd=directory, check=True, stdout=subprocess.DEVNULL)
        (directory / "browser").mkdir()
        with serving("anchor", directory) as service:
            (PICTURES / "first-certificate.svg").write_text(svg(record(service)))
            (PICTURES / "front-page.png").write_bytes(screenshot(service, directory / "browser"))
    for path in sorted(PICTURES.iterdir()):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
