"""scikit-learn models, compared with their own predictions."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import BaggingRegressor, VotingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor

import jensen
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
    with pytest.raises(UnsupportedOperatorError, match="DecisionTreeRegressor: supported are"):
        from_sklearn(DecisionTreeRegressor().fit(X, Y))
    with pytest.raises(UnsupportedOperatorError, match="PowerTransformer: supported are"):
        from_sklearn(make_pipeline(PowerTransformer(), regressor()).fit(X, Y))
    with pytest.raises(ModelFileError, match="fitted"):
        from_sklearn(make_pipeline(StandardScaler(), regressor()))
    with pytest.raises(UnsupportedOperatorError, match="it has a function"):
        from_sklearn(make_pipeline(FunctionTransformer(np.sin), regressor()).fit(X, Y))


COLUMNS = ColumnTransformer(
    [("a", StandardScaler(), [2, 0]), ("b", "passthrough", [2]), ("c", "drop", [0])],
    remainder=MinMaxScaler(),
)
STEPS = {
    "columns": make_pipeline(COLUMNS, regressor()),
    "nested": make_pipeline(make_pipeline(RobustScaler(), PCA(2)), regressor()),
    "whitened": make_pipeline(PCA(2, whiten=True), "passthrough", regressor()),
    "nothing": make_pipeline(FunctionTransformer(), regressor()),
    "searched": GridSearchCV(
        make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [1, 2]}, cv=2
    ),
    "standardised target": TransformedTargetRegressor(regressor(), transformer=StandardScaler()),
    "scaled target": TransformedTargetRegressor(regressor(), transformer=MinMaxScaler()),
    "logarithms": TransformedTargetRegressor(regressor(), func=np.log, inverse_func=np.exp),
    "log1p": TransformedTargetRegressor(regressor(), func=np.log1p, inverse_func=np.expm1),
    "bag": BaggingRegressor(regressor(), n_estimators=3, max_features=2, random_state=1),
    "vote": VotingRegressor([("a", regressor()), ("b", LinearRegression())], weights=[1, 3]),
    "voters left out": VotingRegressor([("a", regressor()), ("b", "drop"), ("c", Ridge())]),
    "linear": LinearRegression(),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_around_regressors_are_read(name):
    model = clone(STEPS[name]).fit(X, Y)
    network = from_sklearn(model)
    np.testing.assert_allclose(network(X)[:, 0], model.predict(X), rtol=1e-8, atol=1e-10)


def test_an_exponential_behind_a_convex_network_is_convex():
    model = TransformedTargetRegressor(LinearRegression(), func=np.log, inverse_func=np.exp)
    assert jensen.is_convex(from_sklearn(model.fit(X, Y)))


def test_what_was_rounded_is_told():
    assert "StandardScaler" in from_sklearn(clone(STEPS["columns"]).fit(X, Y)).roundings[0]
    assert "shares" in from_sklearn(clone(STEPS["bag"]).fit(X, Y)).roundings[0]
    assert not from_sklearn(clone(STEPS["vote"]).fit(X, Y)).roundings


@pytest.mark.parametrize("scaler", [MaxAbsScaler(), PCA(2, whiten=True)])
def test_reciprocals_of_scales_in_single_precision_are_taken_in_doubles(scaler):
    model = make_pipeline(scaler, LinearRegression()).fit(X.astype(np.float32), Y)
    fitted, x = model[0], X.astype(np.float32).astype(float)
    center, turn, scales = np.zeros(3), np.eye(3), getattr(fitted, "scale_", None)
    if isinstance(fitted, PCA):
        center, turn = fitted.mean_.astype(float), fitted.components_.astype(float)
        scales = np.sqrt(fitted.explained_variance_)
    assert scales.dtype == np.float32
    expected = (x - center) @ turn.T / scales.astype(float)
    np.testing.assert_allclose(from_sklearn(make_pipeline(fitted))(x), expected, rtol=1e-11)


def test_components_without_variance_are_whitened_as_scikit_learn_does():
    flat = np.column_stack([X, X.sum(axis=1)])
    model = make_pipeline(PCA(4, whiten=True), LinearRegression()).fit(flat, Y)
    model[0].explained_variance_[-1] = 0.0
    assert np.isfinite(from_sklearn(model)(flat)).all()


@pytest.mark.parametrize("kind", [MinMaxScaler, MaxAbsScaler])
def test_scalers_that_clip_are_refused(kind):
    if "clip" not in kind().get_params():
        pytest.skip("this release does not clip there")
    model = make_pipeline(kind(clip=True), LinearRegression()).fit(X, Y)
    with pytest.raises(UnsupportedOperatorError, match="without clipping"):
        from_sklearn(model)


def test_a_model_that_predicts_otherwise_than_its_coefficients_say_is_refused():
    class Ridge(LinearRegression):
        def predict(self, x):
            return super().predict(x).clip(0)

    with pytest.raises(ModelFileError, match="another function"):
        from_sklearn(Ridge().fit(X, Y))


def test_columns_that_are_known_by_name_are_read():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abc"))
    columns = ColumnTransformer([("x", StandardScaler(), ["c", "a"])], remainder="passthrough")
    model = make_pipeline(columns, LinearRegression()).fit(frame, Y)
    np.testing.assert_allclose(from_sklearn(model)(X)[:, 0], model.predict(frame), rtol=1e-9)
