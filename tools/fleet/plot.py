"""Line plots as SVG, in the style of the other pictures of the documentation."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from .timing import Times

WIDTH, HEIGHT = 760, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 740, 76, 340

# Colours that differ in brightness too, on a light paper of their own, in light and dark pages.
_COLOURS = ("#2b5c8a", "#a5382b", "#47763f", "#96650f")
_STYLE = """
    text { font-family: sans-serif; font-size: 14px; fill: #1f2933; }
    .title { font-weight: bold; }
    .small { font-size: 12px; }
    .middle { text-anchor: middle; }
    .end { text-anchor: end; }
    .paper { fill: #fbfaf7; stroke: #d6d3cb; }
    .grid { stroke: #d6d3cb; stroke-width: 1; }
    .line { stroke-width: 1.5; fill: none; }
  """

# A line has at most so many points: a pixel shows no more.
POINTS = 330


@dataclass(frozen=True)
class Line:
    """A line of a plot.

    Attributes:
        name: its name in the legend.
        xs: where its points are.
        ys: their values; of more than POINTS, the highest of each group is drawn.
    """

    name: str
    xs: Times
    ys: Times


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        title: the line above it.
        text: what it shows, for those who do not see it.
        x: the label of the x-axis, with its unit.
        y: the label of the y-axis, with its unit.
        lines: up to four.
    """

    title: str
    text: str
    x: str
    y: str
    lines: tuple[Line, ...]

    def svg(self) -> str:
        """The plot in SVG, the same bytes for the same values."""
        root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "width": str(WIDTH),
                "height": str(HEIGHT),
                "viewBox": f"0 0 {WIDTH} {HEIGHT}",
                "role": "img",
                "aria-labelledby": "title description",
            },
        )
        ET.SubElement(root, "title", {"id": "title"}).text = self.title
        ET.SubElement(root, "desc", {"id": "description"}).text = self.text
        ET.SubElement(root, "style").text = _STYLE
        paper = {"class": "paper", "x": "0.5", "y": "0.5", "rx": "8"}
        size = {"width": str(WIDTH - 1), "height": str(HEIGHT - 1)}
        ET.SubElement(root, "rect", paper | size)
        _text(root, "title", 20, 28, self.title)
        _text(root, "small", 20, 66, self.y)
        _text(root, "small middle", (_LEFT + _RIGHT) / 2, 384, self.x)
        self._draw(root)
        ET.indent(root)
        return ET.tostring(root, encoding="unicode") + "\n"

    def _draw(self, root: ET.Element) -> None:
        first = min(line.xs[0] for line in self.lines)
        last = max(line.xs[-1] for line in self.lines)
        step_y = _round_step(max(line.ys.max() for line in self.lines) / 5)
        top = step_y * (int(max(line.ys.max() for line in self.lines) / step_y) + 1)

        def across(x: float) -> float:
            return round(_LEFT + (x - first) / (last - first) * (_RIGHT - _LEFT), 1)

        def up(y: float) -> float:
            return round(_BOTTOM - y / top * (_BOTTOM - _TOP), 1)

        for number in range(int(top / step_y) + 1):
            height = up(number * step_y)
            _grid(root, _LEFT, height, _RIGHT, height)
            _text(root, "small end", _LEFT - 8, height + 4, f"{number * step_y:,g}")
        step_x = _round_step((last - first) / 8)
        # Adding zero turns -0.0 into 0.0.
        tick = step_x * -(-first // step_x) + 0.0
        while tick <= last:
            _grid(root, across(tick), _TOP, across(tick), _BOTTOM)
            _text(root, "small middle", across(tick), _BOTTOM + 18, f"{tick:g}")
            tick += step_x
        for number, line in enumerate(self.lines):
            colour = _COLOURS[number]
            group = max(1, -(-len(line.xs) // POINTS))
            points = [
                f"{across(line.xs[start])},{up(line.ys[start : start + group].max())}"
                for start in range(0, len(line.xs), group)
            ]
            drawn = {"class": "line", "style": f"stroke: {colour}", "points": " ".join(points)}
            ET.SubElement(root, "polyline", drawn)
            x = 20 + number * 180
            mark = {"x1": str(x), "x2": str(x + 24), "y1": "44", "y2": "44"}
            ET.SubElement(root, "line", mark | {"class": "line", "style": f"stroke: {colour}"})
            _text(root, "small", x + 30, 48, line.name)


def _text(root: ET.Element, kind: str, x: float, y: float, text: str) -> None:
    ET.SubElement(root, "text", {"class": kind, "x": f"{x:g}", "y": f"{y:g}"}).text = text


def _grid(root: ET.Element, x1: float, y1: float, x2: float, y2: float) -> None:
    ends = {"x1": f"{x1:g}", "y1": f"{y1:g}", "x2": f"{x2:g}", "y2": f"{y2:g}"}
    ET.SubElement(root, "line", {"class": "grid"} | ends)


def _round_step(step: float) -> float:
    """The next number that is 1, 2 or 5 times a power of ten."""
    power = 1.0
    while power * 10 <= step:
        power *= 10
    while power > step:
        power /= 10
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step)
