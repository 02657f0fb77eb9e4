"""The pairs that a report draws, and what it says of them."""

import re
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jensen.batch import Case, Row, Store, find_cases, run_batch
from jensen.batch.networks import cases_of
from jensen.cli import batch, main, report
from jensen.domains.domain import Box, Domain, Everywhere, Polyhedron
from jensen.errors import SolverError
from jensen.midpoint.pair_violation import Violation
from jensen.network.relu_network import ReluNetwork
from jensen.verdicts.counterexample import exact_violation
from jensen.verdicts.options import Options

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
from jensen.report import to_html, worst
from jensen.report.worst import REFUTING, ShownPair, shown_pair

NUMBER = r"\d+(?:\.\d+)?(?:e[-+]?\d+)?"
LIMIT = 60.0  # never reached, so that a busy machine changes nothing
# relu(x) - relu(x - 1), which bends down at 1 only
STEP = ReluNetwork.from_layers([[[1.0], [1.0]], [[1.0, -1.0]]], [[0.0, -1.0], [0.0]])
# -|x + y| / 2 + |x - y|
SADDLE = ReluNetwork.from_layers(
    [[[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], [[-0.5, -0.5, 1.0, 1.0]]],
    [[0.0] * 4, [0.0]],
)


def judged(network: ReluNetwork, domain: Domain, **options: object) -> tuple[Case, Row]:
    cases = cases_of([network], domain, options=Options(**options))
    ((case, row),) = run_batch(cases)
    return case, row


def shown(network: ReluNetwork, domain: Domain, **options: object) -> ShownPair:
    case, row = judged(network, domain, **options)
    assert row.counterexample is not None
    return shown_pair(network, case, row.counterexample, time_limit=LIMIT)


def proved(text: str) -> list[Fraction]:
    return [Fraction(number) for number in re.findall(NUMBER, text)]


def test_the_page_draws_the_worst_pair_of_a_box_with_both_bounds(tmp_path, make):
    shift = zlib.crc32(b"down.npz") / 2**22
    truth = 200 + 2 * max(0.0, 200 - shift)
    results = run_batch(find_cases([make("down.npz", -1)], domain=Box(-200, 200)))
    text = to_html(results, time_limit=LIMIT)
    caption = re.search(r"<figcaption>(.*?)</figcaption>", text, re.S)
    assert caption is not None
    assert caption[1].startswith("The worst pair found violates convexity by at least ")
    low, high = proved(caption[1])
    assert low <= truth <= high <= low * Fraction(102, 100)
    assert "<h3>Worst pair</h3>" in text
    assert f"{float(low):.5g} ≤ worst violation ≤ {float(high):.5g}" in text


def test_the_pair_lies_in_the_box_and_violates_by_what_the_caption_says():
    found = shown(SADDLE, Box([-1.0, -2.0], [3.0, 1.0]))
    x, y = ([Fraction(v) for v in end] for end in found.ends.tolist())
    low, high = proved(found.caption)
    assert low <= exact_violation(SADDLE, x, y) <= high
    assert np.all(found.ends >= [-1, -2])
    assert np.all(found.ends <= [3, 1])


def test_a_pair_that_is_the_worst_already_is_drawn_as_the_one_that_refutes():
    case, row = judged(STEP, Box(0.0, 2.0))
    pair = {**row.counterexample, "x_float": [0.0], "y_float": [2.0], "violation_float": 0.5}
    found = shown_pair(STEP, case, pair, time_limit=LIMIT)
    assert found.name == REFUTING
    assert found.ends.tolist() == [[0.0], [2.0]]
    assert found.caption.startswith("No worse pair was found than the one that refutes convexity")
    low, high = proved(found.caption)
    assert low <= Fraction(1, 2) <= high


def test_on_all_of_space_bounded_violations_are_told_from_those_that_grow():
    low, high = proved(shown(STEP, Everywhere()).caption)
    assert low <= Fraction(1, 2) <= high
    growing = shown(SADDLE, Everywhere())
    assert growing.name == "Violations without bound"
    assert "grow without bound on R^n" in growing.caption
    assert growing.bounds == "the worst violation is unbounded"


def test_on_a_polyhedron_the_worst_facet_is_drawn():
    found = shown(SADDLE, Polyhedron(np.array([[1.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]), np.ones(3)))
    assert found.name == "Worst facet"
    # the gradient falls from (1, 1) / 2 to (-1, -1) / 2
    low, high = proved(found.caption)
    assert float(low) <= np.sqrt(2) <= float(high)
    assert found.bounds.endswith(f"worst gradient jump ≤ {float(high):.5g}")


def test_concavity_is_measured_by_its_own_violation_and_named():
    found = shown(STEP, Box(-1.0, 2.0), concave=True)
    low, high = proved(found.caption)
    assert "violates" in found.caption
    assert "concavity" in found.caption
    assert low <= Fraction(1, 2) <= high
    text = to_html([judged(STEP, Box(-1.0, 2.0), concave=True)])
    assert "Not concave: between the points x and y the function lies below its chord" in text


def test_convexity_in_some_inputs_is_shown_by_the_pair_that_refutes():
    case, row = judged(SADDLE, Box(-1.0, 2.0), inputs=(0,))
    assert row.counterexample is not None
    found = shown_pair(SADDLE, case, row.counterexample)
    assert found.name == REFUTING
    assert found.ends.tolist() == [row.counterexample["x_float"], row.counterexample["y_float"]]
    assert "worse ones are not sought" in found.caption


def test_without_time_and_after_a_failure_the_refuting_pair_is_drawn(monkeypatch):
    case, row = judged(STEP, Box(-1.0, 2.0))
    assert row.counterexample is not None
    found = shown_pair(STEP, case, row.counterexample, time_limit=0)
    assert (found.name, found.caption) == (REFUTING, "The pair that refutes convexity.")

    def fail(*args: object, **options: object) -> Violation:
        raise SolverError("HiGHS: out of luck")

    monkeypatch.setattr(worst.midpoint, "worst_pair", fail)
    found = shown_pair(STEP, case, row.counterexample)
    assert found.name == REFUTING
    assert found.caption.endswith("the search for a worse one failed: HiGHS: out of luck")


@pytest.mark.parametrize(
    "domain", [Box(-1.0, 2.0), Polyhedron(np.array([[1.0, 0.0]]), np.ones(1)), Everywhere()]
)
@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e150, 1e200])
def test_values_beyond_the_doubles_break_no_report(scale, domain):
    network = ReluNetwork.from_layers(
        [[[scale, 0.0], [scale, scale]], [[scale, -scale]]], [[0.0, -scale], [0.0]]
    )
    with np.errstate(over="ignore"):
        results = [judged(network, domain)]
    text = to_html(results)
    caption = re.search(r"<figcaption>(.*?)</figcaption>", text, re.S)
    assert caption is not None
    assert not re.search(r"more than 0\b(?!\.)", caption[1])


def test_ctrl_c_in_a_search_ends_the_report(monkeypatch):
    zero = (Fraction(0),)
    stopped = Violation(0.0, 1.0, zero, zero, Fraction(0), "interrupted")
    monkeypatch.setattr(worst.midpoint, "worst_pair", lambda *args, **options: stopped)
    with pytest.raises(KeyboardInterrupt):
        to_html([judged(STEP, Box(-1.0, 2.0))])


def test_no_more_pairs_are_sought_than_pictures_drawn(monkeypatch):
    limits: list[float] = []

    def zero(network: ReluNetwork, box: Box, **options: object) -> Violation:
        limits.append(float(str(options["time_limit"])))
        point = (Fraction(0),)
        return Violation(0.0, 1.0, point, point, Fraction(0), "time limit")

    results = run_batch(cases_of([STEP] * 5, Box(-1.0, 2.0)))
    monkeypatch.setattr(worst.midpoint, "worst_pair", zero)
    drawn: list[tuple[int, int]] = []
    to_html(results, pictures=3, time_limit=0.5, progress=lambda *state: drawn.append(state))
    assert limits == [0.5] * 3
    assert drawn == [(0, 3), (1, 3), (2, 3)]


def test_files_that_have_changed_are_not_searched(make, monkeypatch):
    results = run_batch(find_cases([make("down.npz", -1)], domain=Box(-200, 200)))
    make("down.npz", 1)
    monkeypatch.setattr(worst.midpoint, "worst_pair", None)
    assert "<figure" not in to_html(results)


def test_two_reports_of_one_store_are_the_same(tmp_path, make, capsys):
    make("down.npz", -1)
    with Store(tmp_path / "s.db") as store:
        run_batch(find_cases([tmp_path / "down.npz"], domain=Box(-200, 200)), store=store)
    pages = [tmp_path / name for name in ("one.html", "two.html", "fast.html")]
    for page, limit in zip(pages, (LIMIT, LIMIT, 0), strict=True):
        arguments = ["report", str(tmp_path / "s.db"), "-o", str(page)]
        assert main([*arguments, "--time-limit", str(limit)]) == 0
    one, two, fast = (page.read_text(encoding="utf-8") for page in pages)
    assert one == two
    assert "Worst pair" in one
    assert "Worst pair" not in fast


@given(st.floats(min_value=0, allow_infinity=False))
def test_numbers_are_written_on_the_side_where_they_stay_bounds(value):
    assert Fraction(worst._down(value)) <= Fraction(value) <= Fraction(worst._up(value))


@pytest.mark.parametrize(("stopped", "limit"), [(True, 0.0), (False, 1.0)])
def test_after_ctrl_c_a_batch_writes_its_report_without_a_search(monkeypatch, stopped, limit):
    limits: list[float] = []

    def draw(results: object, path: Path, *, time_limit: float) -> None:
        limits.append(time_limit)

    monkeypatch.setattr(report, "draw", draw)
    batch._write_files([], {"junit": None, "export": None, "report": "r.html"}, stopped=stopped)
    assert limits == [limit]
