"""Pictures: what they are drawn from, and that they are drawn."""

from pathlib import Path

import numpy as np
import pytest

from jensen.cli import main
from jensen.errors import OutputError
from jensen.graphs.function_graph import FunctionGraph
from jensen.graphs.functions import Function
from jensen.graphs.node import GraphNode
from jensen.network.relu_network import ReluNetwork
from jensen.report import plot_kinks
from jensen.report.colours import DOWN, UP
from jensen.report.plot import figure, save, to_svg
from jensen.report.plot_kinks import grid_side, kink_lines, kink_widths
from jensen.report.plot_segment import sample_segment

pytest.importorskip("matplotlib")


def hat() -> ReluNetwork:
    """f(x) = |x| - 2 relu(x - 1), which falls again behind 1."""
    return ReluNetwork.from_layers(
        [[[1.0], [-1.0], [1.0]], [[1.0, 1.0, -2.0]]], [[0.0, 0.0, -1.0], [0.0]]
    )


def plane() -> ReluNetwork:
    """f(x, y) = |x| - |y|."""
    return ReluNetwork.from_layers(
        [
            [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]],
            [[1.0, 1.0, -1.0, -1.0]],
        ],
        [[0.0] * 4, [0.0]],
    )


def test_a_segment_knows_its_kinks_and_how_they_bend():
    line = sample_segment(hat(), [-1.0], [2.0], before=0.0, beyond=0.0)
    np.testing.assert_allclose(-1 + 3 * line.kinks, [0.0, 1.0], atol=1e-6)
    # slopes per unit of t: the segment is three long
    np.testing.assert_allclose(line.changes, [6.0, -6.0], rtol=1e-4)
    np.testing.assert_allclose(line.values, hat()((-1 + 3 * line.t)[:, None])[:, 0])


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf"])
def test_figures_are_written(tmp_path, ending):
    save(figure(hat(), [[-1.0], [2.0]], bounds=([-2.0], [3.0])), tmp_path / f"p{ending}")
    assert (tmp_path / f"p{ending}").stat().st_size > 1000


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"\.svg"):
        save(figure(hat(), [[-1.0], [2.0]]), tmp_path / "p.bmp")


def test_two_inputs_have_kinks_of_both_colours():
    text = to_svg(figure(plane(), [[0.0, -1.0], [0.0, 1.0]], bounds=([-1.0] * 2, [1.0] * 2)))
    assert text.startswith("<svg")
    assert UP in text
    assert DOWN in text
    assert "currentColor" in text


def test_kinks_of_a_tiny_box_are_found():
    size = 1e-160  # whose square is 0 in floating point
    first = np.linspace(-size, size, 21)
    X, Y = np.meshgrid(first, first)
    z = plane().pre_activations(np.column_stack([X.ravel(), Y.ravel()]))
    with np.errstate(divide="raise", invalid="raise"):
        lines = kink_lines(plane(), first, first, z, 0)
    assert {bend for _, bend in lines} == {1, -1}


def test_a_violation_that_is_tiny_beside_f_has_a_panel_of_its_own():
    """f rises from 0 to 2000; its chord lies 0.0005 below it in the middle."""
    steep = ReluNetwork.from_layers([[[1.0], [1.0]], [[1000.0, -0.001]]], [[1.0, 0.0], [0.0]])
    drawn = figure(steep, [[-1.0], [1.0]], bounds=([-1.0], [1.0]))
    whole, above, below = drawn.axes
    assert whole.get_xlabel() == "input 0"
    assert below.get_ylabel() == "f minus chord"
    assert below.get_xlim() == above.get_xlim()
    assert 0.0004 < below.get_ylim()[1] < 0.001
    assert len(figure(steep, [[-1.0], [1.0]]).axes) == 2


def test_the_same_figure_is_the_same_text():
    first, second = (to_svg(figure(plane(), [[0.0, -1.0], [0.0, 1.0]])) for _ in range(2))
    assert first == second


def test_a_title_of_two_lines_has_two_lines_and_names_in_it_are_text():
    drawn = figure(hat(), [[-1.0], [2.0]], title="a$x^2$\x1b[2J\nsecond")
    assert drawn.get_suptitle() == "a$x^2$\\x1b[2J\nsecond"


def test_a_constant_network_can_be_drawn():
    flat = ReluNetwork.from_layers([np.zeros((2, 2)), np.zeros((1, 2))], [np.zeros(2), [1.0]])
    figure(flat, [[0.0, 0.0], [1.0, 1.0]], bounds=([-1.0] * 2, [1.0] * 2))


@pytest.mark.parametrize("options", [[], ["--box", "-1", "1"], ["--segment", "0,-1", "0,1"]])
def test_the_command_draws(tmp_path: Path, capsys, options):
    plane().save(tmp_path / "plane.npz")
    out = tmp_path / "plane.svg"
    assert main(["plot", str(tmp_path / "plane.npz"), *options, "-o", str(out)]) == 0
    assert out.read_text().startswith("<?xml")


def curved() -> FunctionGraph:
    """f(x, y) = 3 (x + y)^2 + |x| - relu(y), smooth but for its kinks."""
    hidden = GraphNode("r", {"input": [[1, 0], [-1, 0], [0, 1]]}, np.zeros(3), Function.RELU)
    square = GraphNode("s", {"input": [[1, 1]]}, [0], Function.POWER, 2)
    output = GraphNode("output", {"r": [[1, 1, -1]], "s": [[3]]}, [0])
    return FunctionGraph(2, [hidden, square, output])


def test_of_a_curved_function_only_its_kinks_are_drawn_as_such():
    line = sample_segment(curved(), [-1.0, -1.0], [1.0, 3.0], before=0.0, beyond=0.0)
    np.testing.assert_allclose(line.kinks, [0.25, 0.5], atol=1e-6)
    np.testing.assert_allclose(line.changes, [-4.0, 4.0], rtol=1e-5)
    grid = np.linspace(-1.0, 1.0, 41)
    X, Y = np.meshgrid(grid, grid)
    z = curved().pre_activations(np.column_stack([X.ravel(), Y.ravel()]))
    for stretch, bend in kink_lines(curved(), grid, grid, z, 0):
        assert np.abs(stretch[:, 0 if bend > 0 else 1]).max() < 1e-9
    text = to_svg(figure(curved(), [[0.0, -1.0], [0.0, 1.0]], bounds=([-1.0] * 2, [1.0] * 2)))
    assert UP in text
    assert DOWN in text


def test_the_command_draws_a_curved_function_and_its_pair(tmp_path, capsys):
    curved().save(tmp_path / "curved.npz")
    out = tmp_path / "curved.svg"
    assert main(["plot", str(tmp_path / "curved.npz"), "--box", "-1", "1", "-o", str(out)]) == 0
    assert "the worst pair found" in capsys.readouterr().out
    assert out.read_text().startswith("<?xml")


def test_a_segment_of_the_wrong_dimension_is_refused(tmp_path, capsys):
    plane().save(tmp_path / "plane.npz")
    out = tmp_path / "plane.svg"
    assert main(["plot", str(tmp_path / "plane.npz"), "--segment", "0", "1", "-o", str(out)]) == 2
    assert "2 inputs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        (("0,1", "0,1"), "two different points are needed"),
        (("nan,0", "1,1"), "not finite"),
        (("0,0", "inf,1"), "not finite"),
    ],
)
def test_a_segment_that_is_none_is_refused(tmp_path, capsys, ends, says):
    plane().save(tmp_path / "plane.npz")
    out = tmp_path / "plane.svg"
    assert main(["plot", str(tmp_path / "plane.npz"), "--segment", *ends, "-o", str(out)]) == 2
    assert says in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("ends", [("-3e-200,1e-200", "2e-200,3e-200"), ("0,0", "1e200,1e150")])
def test_segments_of_any_length_are_drawn(tmp_path, ends):
    plane().save(tmp_path / "plane.npz")
    out = tmp_path / "plane.png"
    assert main(["plot", str(tmp_path / "plane.npz"), "--segment", *ends, "-o", str(out)]) == 0
    assert out.stat().st_size > 1000


def test_where_a_function_is_not_defined_nothing_is_drawn(tmp_path, capsys, recwarn):
    root = GraphNode("s", {"input": [[1.0, 1.0]]}, [0.0], Function.SQRT)
    graph = FunctionGraph(2, [root, GraphNode("output", {"s": [[1.0]]}, [0.0])])
    graph.save(tmp_path / "root.npz")
    out = tmp_path / "root.svg"
    segment = ["--segment", "-1,-1", "1,1", "--box", "-1", "1"]
    assert main(["plot", str(tmp_path / "root.npz"), *segment, "-o", str(out)]) == 0
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_of_a_flat_box_only_the_segment_is_drawn(tmp_path, capsys):
    plane().save(tmp_path / "plane.npz")
    out = tmp_path / "plane.svg"
    assert main(["plot", str(tmp_path / "plane.npz"), "--box", "0,-1", "0,1", "-o", str(out)]) == 0
    assert "Warning" not in capsys.readouterr().err
    assert "input 0" not in out.read_text()


def test_kinks_that_would_cover_the_picture_are_thinner():
    low, high = np.zeros(2), np.ones(2)
    few = [(np.array([[0.0, 0.5], [1.0, 0.5]]), -1)]
    assert kink_widths([], low, high) == kink_widths(few, low, high)
    up, down = kink_widths(few * 1000, low, high)
    assert 0 < up < down < 0.5
    assert kink_widths(few * 2000, low, high) == pytest.approx((up / 2, down / 2))


def test_where_networks_are_large_neighbours_on_a_kink_share_a_look(monkeypatch):
    first = np.linspace(-1.0, 1.0, 41)
    X, Y = np.meshgrid(first, first)
    z = plane().pre_activations(np.column_stack([X.ravel(), Y.ravel()]))
    every = kink_lines(plane(), first, first, z, 0)
    looks: list[int] = []

    def counted(f, at, direction, step):
        looks.append(len(at))
        return f(at + step * direction) + f(at - step * direction) - 2 * f(at)

    monkeypatch.setattr(plot_kinks, "_second_difference", counted)
    kink_lines(plane(), first, first, z, 0)
    monkeypatch.setattr(plot_kinks, "_WORK", 1.0)
    shared = kink_lines(plane(), first, first, z, 0)
    assert looks[1] == 4 < looks[0]  # one for each of the four units' kinks
    assert [bend for _, bend in shared] == [bend for _, bend in every]
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(shared, every, strict=True))


def test_the_grid_of_a_large_network_is_coarser():
    large = ReluNetwork.from_layers([np.ones((3000, 2)), np.ones((1, 3000))], [np.zeros(3000), [0]])
    assert grid_side(plane()) == grid_side(large) == plot_kinks.GRID
    wide = [np.ones((1500, 2)), np.ones((1500, 1500)), np.ones((1, 1500))]
    network = ReluNetwork.from_layers(wide, [np.zeros(1500), np.zeros(1500), [0]])
    assert 61 <= grid_side(network) < plot_kinks.GRID
