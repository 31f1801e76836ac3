# SPDX-License-Identifier: Apache-2.0
"""experiment_figures - the paper's Figures 6 and 7 with ours beside them, where time went"""

from experiment_results import merged
from figures import BLUE, GREY, INK, LOWEST_MS, VERMILION, FigureError, draw, quote

BAND = {VERMILION: "#f2c9ad", BLUE: "#b5d3e8"}
MISSING = "#b00020"
# Okabe and Ito's colours, then darker and lighter ones of them: one for each stage there can be.
STAGE_COLOURS = ("#0072B2", "#E69F00", "#56B4E9", "#D55E00", "#009E73", "#F0E442", "#CC79A7",
                 "#7f7f7f", "#004a75", "#b8860b", "#bdbdbd", "#5c3d6e", "#8c564b", "#a6dcef",
                 "#7fc9a8", "#f4b183", "#e6bcd3", "#3b3b3b")
# (title, sets from top to bottom)
WAYS = (("the paper's way, here", "paper", VERMILION), ("Baton", "baton", BLUE))


def band_block(name, points):
    """A gnuplot data block: request number, least, mean, most; a gap where nothing was answered"""
    lines = [" ".join([str(p["number"])] + [f"{max(p[key], LOWEST_MS):.4f}"
                                            for key in ("min", "mean", "max")])
             if p["mean"] is not None else "" for p in points]
    return f"${name} << EOD\n" + "\n".join(lines or ["NaN NaN NaN NaN"]) + "\nEOD\n"


def missing_block(name, points, top):
    """A gnuplot data block: where requests were not answered, at the top of the picture"""
    lines = [f"{p['number']} {top:g}" for p in points if p["unanswered"]]
    return f"${name} << EOD\n" + "\n".join(lines or ["NaN NaN"]) + "\nEOD\n"


def top_of(all_points):
    """A round upper end for a logarithmic axis of milliseconds"""
    most = max([p["max"] for points in all_points for p in points if p["max"]] + [100.0])
    top = 10 ** len(str(int(most)))
    return top / 2 if most < top / 2.5 else top


def panel(way, title, colour, origin, runs, handoff_at):
    """One of the two panels: band from least to most, line of means"""
    text = (f"set size 1, 0.40\nset origin 0, {origin}\n"
            f"set label 1 {quote(f'{title}: {runs}')} at graph 0.01, 1.05 left "
            f'tc rgb "{INK}"\n')
    if handoff_at:
        text += (f"set arrow 1 from first {handoff_at}.5, graph 0 to first {handoff_at}.5, graph 1 "
                 f'nohead dt 2 lw 1.4 lc rgb "{INK}" front\n'
                 f'set label 2 "handoff" at first {handoff_at}.5, graph 0.94 right offset -0.5,0 '
                 f'tc rgb "{INK}" front\n')
    return text + (
        f'plot ${way} using 1:2:4 with filledcurves lc rgb "{BAND[colour]}" '
        'title "least to most", '
        f'${way} using 1:3 with linespoints pt 7 ps 0.35 lw 1.4 lc rgb "{colour}" title "mean", '
        f'$missing{way} with points pt 2 ps 0.9 lc rgb "{MISSING}" '
        'title "not answered"\n')


def requests_script(title, ways, handoff_at):
    """Response time of each request over the runs. @ways: {way: (points, runs)}, at least one"""
    top = top_of([points for points, _ in ways.values()])
    last = max(p["number"] for points, _ in ways.values() for p in points)
    text = "".join(band_block(way, points) + missing_block(f"missing{way}", points, top)
                   for way, (points, _) in ways.items())
    text += ("set encoding utf8\nset datafile separator whitespace\nset multiplot\n"
             f'set border 3 lc rgb "{GREY}"\nset tics nomirror out tc rgb "{INK}"\n'
             'set grid ytics lc rgb "#e4e4e4" lw 1\nset logscale y 10\n'
             "set ytics (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, "
             "20000, 50000)\n"
             'set ylabel "response time, ms" offset 1,0\n'
             "set lmargin 10\nset rmargin 3\nset tmargin 2\nset bmargin 2.5\n"
             "set key at graph 1, 1.13 right top horizontal samplen 1.5\n"
             f'set label 1000 {quote(title)} at screen 0.5, 0.965 center font ",{{TITLE}}" '
             f'tc rgb "{INK}"\n'
             f"set xrange [0:{last + 1}]\nset yrange [{LOWEST_MS}:{top:g}]\n")
    shown = [(way, words, colour) for words, way, colour in WAYS if way in ways]
    for i, (way, words, colour) in enumerate(shown):
        if i == len(shown) - 1:
            text += 'set xlabel "request number" offset 0,0.3\n'
        text += panel(way, words, colour, 0.51 - 0.49 * i, ways[way][1], handoff_at)
        text += "unset label 1000\n"
    return text + "unset multiplot\n"


def bar(row, stages, colours):
    """One stacked bar: a rectangle for each stage"""
    text, at = "", 0.0
    for name, ms in stages:
        if ms <= 0:
            continue
        text += (f"set object rectangle from first {at:.6f}, first {row - 0.32:.2f} to "
                 f"first {at + ms / 1000:.6f}, first {row + 0.32:.2f} front "
                 f'fc rgb "{colours[name]}" fs solid border lc rgb "white"\n')
        at += ms / 1000
    return text + (f'set label "{at:.1f} s" at first {at:.6f}, first {row} left offset 0.6,0 '
                   f'tc rgb "{INK}" front\n')


def stages_script(groups):
    """Stacked bars. @groups: [(title, [(name, stages)])], a panel each with an axis of its own"""
    names = merged([[stage for stage, ms in stages if ms > 0]
                    for _, bars in groups for _, stages in bars])
    colours = {name: STAGE_COLOURS[i % len(STAGE_COLOURS)] for i, name in enumerate(names)}
    text = ("set encoding utf8\nset multiplot\nunset key\n"
            f'set border 1 lc rgb "{GREY}"\nset tics nomirror out tc rgb "{INK}"\n'
            'set grid xtics lc rgb "#e4e4e4" lw 1\n'
            "set lmargin 14\nset rmargin 8\nset tmargin 0\nset bmargin 0\n"
            f'set label 1000 "Where the time goes: mean of each stage" at screen 0.5, 0.965 '
            f'center font ",{{TITLE}}" tc rgb "{INK}"\n')
    for i, name in enumerate(names):
        x, y = 0.09 + 0.185 * (i % 5), 0.90 - 0.04 * (i // 5)
        text += (f"set object {500 + i} rectangle from screen {x:.3f}, screen {y - 0.011:.3f} to "
                 f"screen {x + 0.018:.3f}, screen {y + 0.011:.3f} front "
                 f'fc rgb "{colours[name]}" fs solid noborder\n'
                 f"set label {500 + i} {quote(name)} at screen {x + 0.025:.3f}, screen {y:.3f} "
                 f'left tc rgb "{INK}"\n')
    height = 0.62 / len(groups)
    for i, (title, bars) in enumerate(groups):
        longest = max(sum(ms for _, ms in stages) for _, stages in bars) / 1000
        tics = ", ".join(f"{quote(name)} {len(bars) - row}" for row, (name, _) in enumerate(bars))
        text += (f"set size 1, {height - 0.07:.3f}\n"
                 f"set origin 0, {0.10 + (len(groups) - 1 - i) * height:.3f}\n"
                 f"set xrange [0:{longest * 1.08:.6f}]\nset yrange [0.4:{len(bars) + 0.6}]\n"
                 f"set ytics ({tics})\nset xlabel {quote(title + ': seconds')} offset 0,0.3\n")
        text += "".join(bar(len(bars) - row, stages, colours)
                        for row, (_, stages) in enumerate(bars))
        text += "plot NaN\n"
        # numbered ones belong to the whole picture and are drawn once
        text += "unset object\nunset label\n"
    return text + "unset multiplot\n"


def response_times(out, name, title, ways, handoff_at):
    """Draw Figure 6 or 7: <name>.svg and .png"""
    if not any(points for points, _ in ways.values()):
        raise FigureError(f"{name}: there are no requests to draw")
    draw(requests_script(title, ways, handoff_at), out, name)


def stages(out, name, groups):
    """Draw the stacked bars: <name>.svg and .png"""
    draw(stages_script(groups), out, name)
