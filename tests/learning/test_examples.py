"""The examples of docs/examples run, in a small version, and end with a proof."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra 'torch' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'torch' is not installed")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_examples_are_short(name):
    assert len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 70
    if not name.endswith("recipe"):
        assert len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) < 60


def test_the_transport_potential_is_certified(capsys):
    result = example("optimal_transport").main(count=200, steps=300, width=8)
    assert result.certified
    assert "mean squared distance" in capsys.readouterr().out


def test_the_value_function_is_certified_and_used(capsys):
    result = example("control").main(count=200, steps=300, width=8)
    assert result.certified
    assert "global optimum" in capsys.readouterr().out


def test_the_regulariser_is_certified_and_denoises():
    before, after = example("denoising").main(steps=200, width=6)
    assert after < before


def test_the_lightning_recipe_runs():
    pytest.importorskip("lightning", reason="Lightning is not installed")
    model = example("lightning_recipe").main(epochs=30)
    assert model.verdict is None or model.verdict.status in {"convex", "nonconvex"}
    assert model.guard.penalty().item() < 0.05


def test_the_keras_recipe_runs():
    if importlib.util.find_spec("keras") is None:
        pytest.skip("the extra 'keras' is not installed")
    # the backend of Keras is chosen when it is imported: in a process of its own
    code = "import keras_recipe; print(keras_recipe.main(rounds=3).status)"
    path = os.pathsep.join(map(str, (FOLDER, ROOT / "verifier", ROOT / "encodings")))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split()[-1] in {"convex", "nonconvex"}
