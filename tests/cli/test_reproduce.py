"""A run that is made again: what is the same, what is not, and what cannot be made again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLD = ("-d", "toy", "-p", "stbench-v1", "--folds", "P1")

SPECS = """
from stbench.registry import ModelSpec, hookimpl
STBENCH_API = "1"
@hookimpl
def stbench_models():
    return [ModelSpec(name="theirs", factory="their_model:Theirs", params="their_params:TheirParams")]
"""
PARAMS = """
from pydantic import FilePath
from stbench.models import Params
class TheirParams(Params):
    weights: FilePath | None = None
"""
MODEL = """
import numpy as np
from stbench.models import Model
class Theirs(Model):
    def fit(self, train, validation):
        self.n_genes = train[0].adata.n_vars
    def predict(self, slide):
        draw = np.random.default_rng(self.context.seed).normal(size=(slide.n_spots, self.n_genes))
        return (draw * {factor}).astype(np.float32)
"""


@pytest.fixture(scope="module")
def store(stbench: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("reproduce") / "store"
    models = ("toy-good", "toy-fit-error", "toy-exits")
    done = stbench("run", *(a for m in models for a in ("-m", m)), *FOLD, "--device", "cpu", store=store)
    assert done.returncode == 3, done.stderr
    return store


@pytest.fixture
def theirs(stbench: Any, install: Callable[[Path, str, str], None], tmp_path: Path) -> tuple[Any, Path]:
    """The command line with a plugin whose file can be changed, and its folder."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, "their-plugin", SPECS)
    (folder / "their_params.py").write_text(PARAMS)
    (folder / "their_model.py").write_text(MODEL.format(factor=1.0))
    return replace(
        stbench, env=stbench.env | {"PYTHONPATH": os.pathsep.join([stbench.env["PYTHONPATH"], str(folder)])}
    ), folder


def key_of(stbench: Any, store: Path, model: str) -> str:
    keys: list[dict[str, str]] = stbench.query(f"SELECT cell_key FROM runs WHERE model = '{model}'", store)
    return keys[0]["cell_key"][:12]


def reproduce(stbench: Any, store: Path, model: str, *options: str) -> tuple[int, dict[str, Any]]:
    done = stbench("reproduce", key_of(stbench, store, model), *options, "--format", "json", store=store)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}


def outcomes(said: dict[str, Any]) -> dict[str, str]:
    return {stage["stage"]: stage["outcome"] for stage in said["stages"]}


def files(store: Path) -> set[Path]:
    return {path for path in store.rglob("*") if path.is_file()}


def test_an_unchanged_run_is_bit_equal_and_the_store_is_left_alone(stbench: Any, store: Path) -> None:
    before = files(store)

    done = stbench("reproduce", key_of(stbench, store, "toy-good"), store=store)

    assert done.returncode == 0, done.stderr
    assert "bit-equal (tolerance 0.0001 of the spread)" in done.stdout
    assert "environment: the same" in done.stdout
    assert files(store) == before


def test_the_new_run_is_kept_where_it_is_asked_for(stbench: Any, store: Path, tmp_path: Path) -> None:
    code, said = reproduce(stbench, store, "toy-good", "--use-cache", "--keep-store", str(tmp_path / "kept"))

    assert (code, said["verdict"], said["kept_in"]) == (0, "bit-equal", str(tmp_path / "kept"))
    assert stbench.query("SELECT run_id FROM cells", tmp_path / "kept") == [{"run_id": said["again"]}]
    refused = stbench("reproduce", said["cell_key"], "--keep-store", str(store), store=store)
    assert refused.returncode == 1
    assert "is the store of the run" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize("model", ["toy-fit-error", "toy-exits"])
def test_a_failure_that_fails_alike_is_reproduced(model: str, stbench: Any, store: Path) -> None:
    code, said = reproduce(stbench, store, model)

    assert (code, said["verdict"], said["first_difference"]) == (0, "fails alike", None)
    assert (said["environment"] is None) == (model == "toy-exits")


@pytest.mark.slow
def test_a_model_whose_file_changed_differs_in_what_it_predicts(theirs: Any, tmp_path: Path) -> None:
    stbench, folder = theirs
    store = tmp_path / "store"
    assert stbench("run", "-m", "theirs", *FOLD, store=store).returncode == 0
    (folder / "their_model.py").write_text(MODEL.format(factor=1.00001))
    near = reproduce(stbench, store, "theirs")
    (folder / "their_model.py").write_text(MODEL.format(factor=1.1))

    done = stbench("reproduce", key_of(stbench, store, "theirs"), store=store)

    assert (near[0], near[1]["verdict"], near[1]["first_difference"]) == (0, "within tolerance", "predict")
    assert done.returncode == 3
    assert "different; the first stage that differs is predict" in done.stdout
    assert "600 of 600 values differ" in done.stdout


@pytest.mark.slow
def test_the_source_of_an_editable_plugin_is_named(theirs: Any, tmp_path: Path) -> None:
    stbench, folder = theirs
    package = folder / "their_package"
    package.mkdir()
    (folder / "their_model.py").rename(package / "model.py")
    (package / "__init__.py").touch()
    plugin = folder / "their_plugin.py"
    plugin.write_text(plugin.read_text().replace("their_model:", "their_package.model:"))
    (folder / "their_plugin-0.1.dist-info" / "direct_url.json").write_text(
        '{"url": "", "dir_info": {"editable": true}}'
    )
    store = tmp_path / "store"
    assert stbench("run", "-m", "theirs", *FOLD, store=store).returncode == 0
    (package / "model.py").write_text(MODEL.format(factor=2.0))

    code, said = reproduce(stbench, store, "theirs")

    assert (code, said["first_difference"], outcomes(said)["code"]) == (3, "predict", "changed")
    assert [change["what"] for change in said["code"]] == ["theirs: source"]


@pytest.mark.slow
def test_a_parameter_file_that_changed_or_went_cannot_be_reproduced(theirs: Any, tmp_path: Path) -> None:
    stbench, _ = theirs
    store, weights = tmp_path / "store", tmp_path / "weights.bin"
    weights.write_bytes(b"then")
    assert stbench("run", "-m", "theirs", "--set", f"weights={weights}", *FOLD, store=store).returncode == 0
    weights.write_bytes(b"now")
    changed = reproduce(stbench, store, "theirs")
    weights.unlink()
    gone = reproduce(stbench, store, "theirs")

    assert changed[0] == gone[0] == 1
    assert f"parameter weights: {weights} is not the file that run" in changed[1]["error"]
    assert f"parameter weights: the file {weights} cannot be read" in gone[1]["error"]
    assert "Traceback" not in gone[1]["error"]


@pytest.mark.slow
def test_data_that_changed_are_said_and_nothing_is_run(stbench: Any, tmp_path: Path) -> None:
    own = replace(stbench, env=stbench.env | {"STBENCH_CACHE": str(tmp_path / "cache")})
    store = tmp_path / "store"
    assert own("run", "-m", "mean", *FOLD, store=store).returncode == 0
    path = tmp_path / "cache" / "toy" / "P2-S1.npz"
    with np.load(path) as saved:
        arrays = dict(saved)
    np.savez(path, **arrays | {"counts": arrays["counts"] + 1})

    code, said = reproduce(own, store, "mean")

    assert code == 1
    assert "the data changed: toy is at revision" in said["error"]


def test_a_plugin_that_is_gone_is_named_with_its_version(stbench: Any, store: Path) -> None:
    bare = replace(stbench, env={k: v for k, v in stbench.env.items() if k != "PYTHONPATH"})

    code, said = reproduce(bare, store, "toy-good")

    assert code == 1
    assert "the run used model toy-good of stbench-toy 1.0" in said["error"]


def test_predictions_from_a_file_cannot_be_made_again(stbench: Any, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "mean.parquet"
    sql = "SELECT fold, slide, spot, gene, y_pred FROM predictions WHERE model = 'toy-good'"
    assert stbench("query", sql, "-o", str(file), store=store).returncode == 0
    scored = stbench("score", str(file), "--as", "elsewhere", *FOLD[:4], store=tmp_path / "store")
    assert scored.returncode == 0, scored.stderr

    code, said = reproduce(stbench, tmp_path / "store", "elsewhere")

    assert code == 1
    assert "was scored from a file of predictions: there is no model to run here" in said["error"]
    assert "stbench score FILE --as elsewhere" in said["error"]


def test_an_unknown_run_and_a_wrong_option_are_one_sentence(in_process: Any, store: Path) -> None:
    for arguments, sentence in (
        (["nothing"], "no run 'nothing'"),
        (["2", "--device", "tpu"], "--device 'tpu' is none of"),
    ):
        refused = in_process("reproduce", *arguments, store=store)
        assert refused.returncode == 1
        assert sentence in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
