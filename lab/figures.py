# SPDX-License-Identifier: Apache-2.0
"""Pictures of a run, drawn by gnuplot.

Colours are Okabe and Ito's, which people with any kind of colour vision can tell apart; each set of
points has a shape of its own too, so that a print in grey is enough.
"""

import subprocess

BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
GREY, INK = "#6b6b6b", "#222222"
LOWEST_MS = 0.5
STAGE_COLOURS, FREEZE_COLOUR = ("#eef2f6", "#dde5ec"), "#f0c9ae"
# Size in pixels, and of the font in points.
FORMATS = {
    "svg": 'svg size 1200,820 dynamic enhanced font "DejaVu Sans,14" background "white"',
    "png": 'pngcairo size 1200,820 enhanced font "DejaVu Sans,11" background "white"',
}


class FigureError(Exception):
    """The picture could not be drawn; the text is for a person."""


def quote(text):
    """@text as a gnuplot string, with nothing in it that enhanced mode would take for its own"""
    for char in "_^{}@&~":
        text = text.replace(char, f"\\\\{char}")
    return '"' + text.replace('"', "'") + '"'


def data_block(name, points):
    """A gnuplot data block; an empty one would be an error"""
    lines = [f"{x:.6f} {y:.4f}" for x, y in points] or ["NaN NaN"]
    return f"${name} << EOD\n" + "\n".join(lines) + "\nEOD\n"


def vertical(x, text, align):
    """A dashed line at x from top to bottom, with its name above the frame"""
    shift = {"left": 0.3, "right": -0.3}[align]
    return (f"set arrow from first {x:.6f}, graph 0 to first {x:.6f}, graph 1.05 "
            f'nohead dt 2 lw 1.6 lc rgb "{INK}" front\n'
            f"set label {quote(text)} at first {x:.6f}, graph 1.04 {align} "
            f'offset {shift},0 tc rgb "{INK}" front\n')


def span(begin, end, colour):
    """A coloured area between two times, behind all else"""
    return (f"set object rectangle from first {begin:.6f}, graph 0 to first {end:.6f}, graph 1 "
            f'behind fc rgb "{colour}" fs solid noborder\n')


def plot_command(keys, scale):
    """The plot itself: one set of points for each phase"""
    looks = (("before", BLUE, 7, "before the handoff"),
             ("during", VERMILION, 9, "during the migration"),
             ("after", GREEN, 5, "after it"))
    return "plot " + ", ".join(
        f'${name} with points pt {shape} ps {scale} lc rgb "{colour}" '
        + (f'title "{title}"' if keys else "notitle")
        for name, colour, shape, title in looks) + "\n"


def marks(move, start):
    """The four marks of a migration; the names of ready and switch lean away from one another"""
    at = {key: value - start for key, value in move["at"].items() if value is not None}
    text = vertical(at["handoff"], "handoff", "right")
    if "cut" in at:
        text += vertical(at["cut"], f"cut, frozen {move['freeze_ms']:.0f} ms", "right")
    if "ready" in at:
        text += vertical(at["ready"], "ready", "right")
    return text + vertical(at["switch"], "switch", "left")


def stage_strip(move, start, width):
    """Areas for the stages, named at the foot, where a migration has no points, if there is room"""
    text, shown = "", 0
    at = move["at"]["start"] - start
    for stage in move["stages_ms"]:
        end = at + stage["ms"] / 1000
        # Neighbours differ in shade, and their names in height, so that long ones may overlap.
        colour, height = STAGE_COLOURS[shown % 2], 0.06 + 0.08 * (shown % 2)
        text += span(at, end, FREEZE_COLOUR if stage["name"] == "freeze" else colour)
        if (end - at) / width > 0.0058 * len(stage["name"]):
            text += (f"set label {quote(stage['name'])} at first {(at + end) / 2:.6f}, "
                     f'graph {height:.2f} center tc rgb "{GREY}" front\n')
        shown += (end - at) / width > 0.004
        at = end
    return text


def zoom(move, start, most):
    """The lower panel: the migration at close quarters"""
    handoff, switch = move["at"]["handoff"] - start, move["at"]["switch"] - start
    margin = max(0.6, (switch - handoff) * 0.13)
    text = ("unset arrow\nunset label\nunset object\nunset key\n"
            "set lmargin 10\nset rmargin 3\nset tmargin 0\nset bmargin 0\n"
            "set size 1, 0.36\nset origin 0, 0.085\n"
            'set xlabel "seconds since the first request" offset 0,0.2\n'
            f"set xrange [{handoff - margin:.6f}:{switch + margin:.6f}]\n"
            f"set yrange [{LOWEST_MS}:{most}]\n")
    text += stage_strip(move, start, switch - handoff + 2 * margin)
    text += marks(move, start)
    return text + plot_command(False, 1.0)


def title_of(report):
    """What the picture says, in a line"""
    moves = report["migrations"]
    if not moves:
        return "Response time; no migration took place"
    took = " and ".join(f"{move['migration_s']:.2f} s" for move in moves)
    way = " to ".join([moves[0]["from"]] + [move["to"] for move in moves])
    return f"Migration {way} took {took}: {report['lost']} of {report['requests']} requests lost"


def script_of(report, rows, start):
    """The whole gnuplot script, but for terminal and output"""
    moves = report["migrations"]
    most = max([row["ms"] for row in rows if row["ms"]] + [10.0])
    top = 10 ** len(str(int(most)))
    top = top / 2 if most < top / 2.5 else top
    end = max(row["answered"] or row["sent"] for row in rows) - start
    text = "".join(
        data_block(phase, [(row["sent"] - start, max(row["ms"], LOWEST_MS)) for row in rows
                           if row["phase"] == phase and row["ms"] is not None])
        for phase in ("before", "during", "after"))
    text += ("set encoding utf8\nset multiplot\n"
             f'set border 3 lc rgb "{GREY}"\nset tics nomirror out tc rgb "{INK}"\n'
             'set grid ytics lc rgb "#e4e4e4" lw 1\nset logscale y 10\n'
             "set ytics (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, "
             "20000, 50000)\n"
             'set ylabel "response time, ms" offset 1,0\n'
             "set lmargin 10\nset rmargin 3\nset tmargin 0\nset bmargin 0\n"
             f"set label 1000 {quote(title_of(report))} at screen 0.5, 0.965 center "
             f'font ",{{TITLE}}" tc rgb "{INK}"\n'
             "set key at screen 0.08, 0.925 left top horizontal Left reverse samplen 0 width 1\n"
             f"set xrange [0:{end:.3f}]\nset yrange [{LOWEST_MS}:{top:g}]\n")
    if moves:
        text += "set size 1, 0.34\nset origin 0, 0.545\n"
        for move in moves:
            text += span(move["at"]["handoff"] - start, move["at"]["switch"] - start, "#f3e7df")
    else:
        text += ("set size 1, 0.78\nset origin 0, 0.1\n"
                 'set xlabel "seconds since the first request"\n')
    text += plot_command(True, 0.7)
    if moves:
        text += zoom(moves[0], start, f"{top:g}")
    return text + "unset multiplot\n"


def response_time(report, rows, out):
    """Draw response_time.svg and response_time.png into @out"""
    if not rows:
        raise FigureError("there are no requests to draw")
    draw(script_of(report, rows, rows[0]["sent"]), out, "response_time")


def draw(script, out, name):
    """Draw a script into <name>.svg and <name>.png; {TITLE} in it is the size of a title's font"""
    for kind, terminal in FORMATS.items():
        path = out / f"{name}.{kind}"
        whole = (f"set terminal {terminal}\nset output {quote_path(path)}\n"
                 + script.replace("{TITLE}", "18" if kind == "svg" else "14"))
        try:
            done = subprocess.run(["gnuplot"], input=whole, text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except FileNotFoundError:
            raise FigureError("gnuplot is not installed: run make setup") from None
        # A warning is a mistake here too: the picture lacks what it is about.
        if done.returncode or done.stdout.strip():
            raise FigureError(f"gnuplot: {done.stdout.strip()}")


def quote_path(path):
    """A path as a gnuplot string that is taken as it is"""
    return "'" + str(path).replace("'", "''") + "'"
