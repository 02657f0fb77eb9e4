"""scikit-learn models, compared with their own predictions."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from jensen import FunctionGraph
from jensen.errors import ModelFileError, UnsupportedOperatorError
from jensen.loaders import from_sklearn

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).normal(size=(60, 3)) * [1, 5, 0.1] + [0, 2, -1]
Y = np.abs(X).sum(axis=1)


def regressor(**options):
    return MLPRegressor(hidden_layer_sizes=(6, 4), max_iter=5, random_state=0, **options)


@pytest.mark.parametrize("activation", ["relu", "identity"])
@pytest.mark.parametrize("targets", [Y, np.stack([Y, -Y], axis=1)], ids=["one", "two"])
def test_a_regressor_is_read_with_its_weights(activation, targets):
    model = regressor(activation=activation).fit(X, targets)
    network = from_sklearn(model)
    np.testing.assert_allclose(network(X), model.predict(X).reshape(60, -1), rtol=1e-9)
    assert network.relu_count == (10 if activation == "relu" else 0)
    if activation == "relu":
        np.testing.assert_array_equal(network["relu_1"].weights["input"], model.coefs_[0].T)


@pytest.mark.parametrize(
    "scaler",
    [
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        MinMaxScaler(),
        MaxAbsScaler(),
    ],
)
def test_a_pipeline_of_scaler_and_regressor_is_read(scaler):
    model = make_pipeline(scaler, regressor()).fit(X, Y)
    np.testing.assert_allclose(from_sklearn(model)(X)[:, 0], model.predict(X), rtol=1e-9)


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_smooth_activations_are_read_as_a_graph(activation):
    model = make_pipeline(StandardScaler(), regressor(activation=activation)).fit(X, Y)
    network = from_sklearn(model)
    assert isinstance(network, FunctionGraph)
    np.testing.assert_allclose(network(X)[:, 0], model.predict(X), rtol=1e-9)


def test_other_models_are_refused():
    fitted = regressor().fit(X, Y)
    fitted.activation = "gelu"
    with pytest.raises(UnsupportedOperatorError, match="'gelu'"):
        from_sklearn(fitted)
    with pytest.raises(ModelFileError, match="fitted MLPRegressor"):
        from_sklearn(regressor())
    with pytest.raises(ModelFileError, match="LinearRegression"):
        from_sklearn(LinearRegression().fit(X, Y))
    with pytest.raises(UnsupportedOperatorError, match="RobustScaler"):
        from_sklearn(make_pipeline(RobustScaler(), regressor()).fit(X, Y))
