"""The pictures of ``jensen.plot``: what is on them, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import jensen
from jensen import Box, Everywhere, Polyhedron, ReluNetwork

pytest.importorskip("matplotlib")


@pytest.fixture
def network() -> ReluNetwork:
    rng = np.random.default_rng(3)
    weights = [rng.normal(size=s) for s in ((6, 2), (5, 6), (1, 5))]
    return ReluNetwork.from_layers(weights, [rng.normal(size=len(w)) for w in weights])


@pytest.mark.parametrize(
    "domain", [Box(-2, 2), Everywhere(), Polyhedron([[1, 1], [-1, 0], [0, -1]], [2, 1, 1])]
)
def test_regions_show_every_facet_that_bends(network, domain, tmp_path):
    drawn = jensen.plot.regions(network, domain)
    found = jensen.regions(network, domain)
    up, down = [c for c in drawn.axes[0].collections if hasattr(c, "get_segments")]
    assert len(up.get_segments()) == (found.jumps > 0).sum()
    assert len(down.get_segments()) == (found.jumps < 0).sum()
    assert str(len(found.cells)) in drawn.axes[0].get_title()
    jensen.plot.save(drawn, tmp_path / "regions.png")
    assert (tmp_path / "regions.png").stat().st_size > 10_000


def test_many_kinks_are_drawn_thinner_than_few():
    rng = np.random.default_rng(0)

    def widest(units: int) -> float:
        weights = [rng.normal(size=(units, 2)), rng.normal(size=(1, units))]
        many = ReluNetwork.from_layers(weights, [rng.normal(size=units) / 2, [0]])
        (panel, *_) = jensen.plot.regions(many, Box(-1, 1)).axes
        widths = [lines.get_linewidths() for lines in panel.collections[1:]]
        return max(float(max(some)) for some in widths if len(some))

    assert widest(150) < widest(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: jensen.plot.pair(net, "a", "b"), "point x: 2 finite numbers needed"),
        (lambda net: jensen.plot.pair(net, [0, 0], [1]), "point y: 2 finite numbers needed"),
        (lambda net: jensen.plot.pair(net, [0, np.nan], [1, 1]), "point x: 2 finite numbers"),
        (lambda net: jensen.plot.pair(net, None, [1, 1]), "point x: 2 finite numbers needed"),
        (lambda net: jensen.plot.save(net, 3), "3 where the name of a file is needed"),
        (lambda net: jensen.plot.save(3, "a.png"), "3: a matplotlib figure is needed"),
    ],
)
def test_wrong_points_figures_and_files_are_refused_in_one_line(call, message, network):
    with pytest.raises(jensen.OptionError, match=message) as caught:
        call(network)
    assert "\n" not in str(caught.value)


def test_labels_name_the_neurons_and_their_jump():
    net = ReluNetwork.from_layers([[[1.0, 0.0], [0.0, 1.0]], [[1.0, -2.0]]], [[0, 0], [0]])
    drawn = jensen.plot.regions(net, Box(-1, 1), labels=True)
    texts = {text.get_text() for text in drawn.axes[0].texts}
    assert texts == {"relu_1[0]\n1", "relu_1[1]\n-2"}


def test_three_inputs_are_drawn_in_space():
    """f bends up on x = 0 and down on z = 0, within the box."""
    net = ReluNetwork.from_layers(
        [[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]], [[1.0, -2.0, 0.0]]], [[0] * 3, [0]]
    )
    drawn = jensen.plot.regions(net, Box(-1, 1))
    found = jensen.regions(net, Box(-1, 1))
    up, down = drawn.axes[0].collections
    assert len(up._faces) == (found.jumps > 0).sum() > 0
    assert len(down._faces) == (found.jumps < 0).sum() > 0
    assert drawn._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(jensen.OptionError, match="bounded domain"):
        jensen.plot.regions(net, Everywhere())
    with pytest.raises(jensen.OptionError, match="labels"):
        jensen.plot.regions(net, Box(-1, 1), labels=True)


def test_a_surface_has_a_sheet_per_cell(network, tmp_path):
    drawn = jensen.plot.surface(network, Box(-2, 2))
    jensen.plot.save(drawn, tmp_path / "surface.png")
    assert (tmp_path / "surface.png").stat().st_size > 10_000


def test_a_surface_is_drawn_over_any_bounded_domain(network):
    triangle = Polyhedron([[1.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], [1.0, 1.0, 0.5])
    panel = jensen.plot.surface(network, triangle).axes[0]
    assert panel.get_xlim() == pytest.approx((-1.0, 1.5))
    with pytest.raises(jensen.OptionError, match="bounded domain"):
        jensen.plot.surface(network, Everywhere())


def test_surfaces_name_the_inputs_that_vary():
    network = ReluNetwork.from_layers([[[1.0, 1.0, 1.0]], [[1.0]]], [[0], [0]])
    panel = jensen.plot.surface(network, Box(-1, 1), fixed={0: 0.5}).axes[0]
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("input 1", "input 2")


def test_a_pair_has_a_panel_for_what_lies_above_the_chord(network):
    pair = jensen.verify(network, Box(-2, 2)).counterexample
    assert pair is not None
    x, y = ([float(v) for v in point] for point in (pair.x, pair.y))
    drawn = jensen.plot.pair(network, x, y)
    above, below = drawn.axes
    assert below.get_ylabel() == "f minus chord"
    assert below.get_xlim() == above.get_xlim()
    gap = below.lines[1].get_ydata()
    assert np.max(gap) >= float(pair.violation) * (1 - 1e-9)


def test_notebooks_display_every_picture(network):
    for drawn in (
        jensen.plot.regions(network, Box(-1, 1)),
        jensen.plot.surface(network, Box(-1, 1)),
        jensen.plot.pair(network, [0, 0], [1, 1]),
    ):
        assert drawn._repr_png_().startswith(b"\x89PNG")


def test_drawing_goes_on_given_axes(network):
    from matplotlib.figure import Figure  # noqa: PLC0415

    whole = Figure()
    axes = whole.subplots()
    assert jensen.plot.regions(network, Box(-1, 1), axes=axes) is whole


def test_what_is_refused():
    line = ReluNetwork.from_layers([[[1.0]], [[1.0]]], [[0], [0]])
    with pytest.raises(jensen.OptionError, match="two inputs"):
        jensen.plot.regions(line, Box(-1, 1))
    with pytest.raises(jensen.OptionError, match="two inputs"):
        jensen.plot.surface(line, Box(-1, 1))
    rng = np.random.default_rng(0)
    wide = ReluNetwork.from_layers(
        [rng.normal(size=(30, 2)), rng.normal(size=(1, 30))], [rng.normal(size=30), [0]]
    )
    with pytest.raises(jensen.OptionError, match="labels"):
        jensen.plot.regions(wide, Everywhere(), labels=True)
