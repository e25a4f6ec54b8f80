"""MedMNIST's own evaluator, the oracle of our scores."""

import pytest


@pytest.fixture(scope="session")
def official(tmp_path_factory):
    """medmnist.evaluator, imported with a home of its own: it makes a folder there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        return pytest.importorskip(
            "medmnist.evaluator",
            reason="medmnist is not installed: "
            "pip install --no-deps -r requirements-oracles.txt, or make test",
        )
