"""From a request to cells: what runs, what is left out and why; nothing is loaded for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import Field, FilePath

from stbench.datasets import DataFile, Dataset, DatasetContext
from stbench.errors import DataError, NotApplicable, PluginError, UsageError
from stbench.matrix import ModelRequest, Plan, Request, Resources, plan
from stbench.matrix.request import Squares
from stbench.models import Params
from stbench.protocols.folds import Fold, leave_one_out
from stbench.protocols.v1 import STBENCH_BLOCKS_V1, STBENCH_SECTION_V1, STBENCH_V1
from stbench.registry import DatasetSpec, ModelSpec, ProtocolSpec, Registered, Registry
from stbench.slides import Slide, SlideInfo


class OnPaper(Dataset):
    """A data set of metadata alone: planning must not ask for more."""

    ids: tuple[str, ...]
    missing: tuple[str, ...] = ()

    def files(self) -> tuple[DataFile, ...]:
        return tuple(DataFile(name, "0" * 64) for name in self.ids)

    def slides(self) -> list[SlideInfo]:
        return [
            SlideInfo(id=i, patient=i[0], image_id=i, dataset=self.name, grid="square", has_image=i not in self.missing)
            for i in self.ids
        ]

    def load(self, slide_id: str) -> Slide:
        raise AssertionError("planning loads no slide")


class Five(OnPaper):
    name = "five"
    ids = ("A1", "A2", "B1", "C1", "D1", "E1")
    missing = ("A2", "D1")


class Single(OnPaper):
    name = "single"
    ids = ("X1",)
    default_protocol = "stbench-blocks-v1"


class Pair(OnPaper):
    name = "pair"
    ids = ("A1", "A2", "B1")


class Absent(OnPaper):
    name = "absent"

    def slides(self) -> list[SlideInfo]:
        raise DataError("absent: put it there")


class LearnerParams(Params):
    depth: int = Field(2, ge=1)
    weights: FilePath | None = None


class NoParams(Params):
    pass


def _leaky(slides: list[SlideInfo]) -> list[Fold]:
    return leave_one_out(slides, lambda s: s.id)


LEAKY = replace(STBENCH_V1, name="leaky", split=_leaky)

HERE = __name__
SPECS = [
    DatasetSpec(name="five", factory=f"{HERE}:Five"),
    DatasetSpec(name="single", factory=f"{HERE}:Single"),
    DatasetSpec(name="pair", factory=f"{HERE}:Pair"),
    DatasetSpec(name="absent", factory=f"{HERE}:Absent"),
    ProtocolSpec(name="stbench-v1", factory="stbench.protocols.v1:STBENCH_V1"),
    ProtocolSpec(name="stbench-section-v1", factory="stbench.protocols.v1:STBENCH_SECTION_V1"),
    ProtocolSpec(name="stbench-blocks-v1", factory="stbench.protocols.v1:STBENCH_BLOCKS_V1"),
    ProtocolSpec(name="leaky", factory=f"{HERE}:LEAKY"),
    ModelSpec(
        name="learner",
        factory="no_such_module:Learner",  # planning imports no model
        params=f"{HERE}:LearnerParams",
        results_version="3",
        presets={"smoke": {"depth": 1}, "single": {"depth": 5}},
    ),
    ModelSpec(name="fixed", factory="no_such_module:F", params=f"{HERE}:NoParams", deterministic=True, control=True),
]


Planner = Callable[..., Plan]


@pytest.fixture
def registry() -> Registry:
    found = Registry()
    for spec in SPECS:
        found.specs[spec.kind].append(Registered(spec, "toy", "1.2"))
    return found


@pytest.fixture
def planned(registry: Registry, tmp_path: Path) -> Planner:
    def run(*models: str, datasets: tuple[str, ...] = ("five",), **fields: object) -> Plan:
        request = Request(tuple(ModelRequest.parse(m) for m in models), datasets, **fields)
        return plan([request], registry, DatasetContext(tmp_path))

    return run


def test_a_cell_for_each_fold_that_can_run(planned: Planner) -> None:
    found = planned("learner")

    assert [c.fold.id for c in found.cells] == ["A", "B", "C", "E"]
    cell = found.cells[0]
    assert (cell.dataset, cell.protocol, cell.model, cell.seed) == ("five", "stbench-v1", "learner", 0)
    assert (cell.model_distribution, cell.results_version, cell.distributions) == ("toy", "3", {"toy": "1.2"})
    assert cell.params == {"depth": 2, "weights": None}
    assert cell.patients == {"A1": "A", "B1": "B", "C1": "C", "E1": "E"}
    assert cell.complete_parts == 6
    assert cell.overlaps == ()
    assert [p.slide for p in cell.fold.test] == ["A1"]
    assert len({c.key for c in found.cells}) == 4


def test_only_the_wanted_squares_of_the_matrix(planned: Planner) -> None:
    def squares(**fields: object) -> list[tuple[str, int | None]]:
        return [(c.fold.id, c.seed) for c in planned("learner", seeds=(0, 1), **fields).cells]

    assert squares(exclude=(Squares(fold="A"), Squares(seed=1))) == [("B", 0), ("C", 0), ("E", 0)]
    assert squares(include=(Squares(fold="A"), Squares(fold="B", seed=1))) == [("A", 0), ("A", 1), ("B", 1)]


def test_what_a_model_needs_goes_with_its_cells_and_not_into_their_keys(registry: Registry, tmp_path: Path) -> None:
    needs = Resources(threads=2)
    models = (ModelRequest("learner", resources=needs), ModelRequest("fixed"))
    found = plan([Request(models, ("five",))], registry, DatasetContext(tmp_path))

    assert found.resources == {cell.key: needs for cell in found.cells if cell.model == "learner"}
    without = plan([Request((ModelRequest("learner"),), ("five",))], registry, DatasetContext(tmp_path))
    assert {cell.key for cell in without.cells} == set(found.resources)


def test_slides_and_folds_without_image_are_told(planned: Planner) -> None:
    found = planned("learner")

    assert found.notes == [
        "five: 2 of 6 slides have no image and cannot be used (A2, D1); `stbench info dataset five` says why"
    ]
    (skipped,) = found.skipped
    assert (skipped.fold, skipped.reason) == ("D", "no slide of its test part has an image")


def test_indexes_of_folds_count_in_the_complete_list(planned: Planner) -> None:
    assert [c.fold.id for c in planned("learner", folds="1-2,4").cells] == ["B", "C", "E"]
    found = planned("learner", folds="3-4")
    assert ([c.fold.id for c in found.cells], [s.fold for s in found.skipped]) == (["E"], ["D"])
    with pytest.raises(NotApplicable, match="no slide of its test part has an image"):
        planned("learner", folds="D")
    with pytest.raises(UsageError, match="no fold '5'; there are 5"):
        planned("learner", folds="5")


def test_seeds_multiply_cells_unless_the_model_ignores_them(planned: Planner) -> None:
    found = planned("learner", "fixed", folds="A", seeds=(0, 1, 2))

    assert [(c.model, c.seed) for c in found.cells] == [("learner", 0), ("learner", 1), ("learner", 2), ("fixed", None)]
    assert len({c.key for c in found.cells}) == 4
    assert [c.control for c in found.cells] == [False, False, False, True]


def test_the_seeds_asked_for_do_not_change_a_deterministic_cell(planned: Planner) -> None:
    (first,) = planned("fixed", folds="A", seeds=(0,)).cells
    (second,) = planned("fixed", folds="A", seeds=(7, 8)).cells

    assert first.key == second.key


def test_a_default_protocol_for_each_dataset(planned: Planner) -> None:
    found = planned("fixed", datasets=("five", "single"))

    assert {(c.dataset, c.protocol) for c in found.cells} == {("five", "stbench-v1"), ("single", "stbench-blocks-v1")}
    single = [c for c in found.cells if c.dataset == "single"]
    assert len(single) == 5
    assert single[0].overlaps == single[0].declared == ("same_image", "same_patient", "same_slide")


def test_pairs_that_do_not_apply_are_listed_and_skipped(planned: Planner) -> None:
    found = planned("fixed", datasets=("five", "single"), protocols=("stbench-v1", "stbench-blocks-v1"))

    assert {(c.dataset, c.protocol) for c in found.cells} == {
        ("five", "stbench-v1"),
        ("five", "stbench-blocks-v1"),
        ("single", "stbench-blocks-v1"),
    }
    pairs = [(s.dataset, s.protocol, s.reason) for s in found.skipped if not s.fold]
    assert pairs == [
        (
            "single",
            "stbench-v1",
            "stbench-v1 does not apply: leave-one-patient-out needs two patients (patients: 1, slides with an image: 1)"
            "; use -p stbench-blocks-v1",
        )
    ]


def test_nothing_that_applies_is_an_error_with_the_reasons(planned: Planner) -> None:
    with pytest.raises(NotApplicable, match=r"stbench-v1 does not apply: .*; use -p stbench-blocks-v1") as error:
        planned("fixed", datasets=("single",), protocols=("stbench-v1",))

    assert error.value.exit_code == 2


def test_all_leaves_out_data_that_are_not_here_and_a_name_does_not(planned: Planner) -> None:
    found = planned("fixed", datasets=("all",), protocols=("stbench-blocks-v1",))

    assert {c.dataset for c in found.cells} == {"five", "pair", "single"}
    assert [(s.dataset, s.reason) for s in found.skipped if not s.fold] == [("absent", "absent: put it there")]
    with pytest.raises(DataError, match="absent: put it there"):
        planned("fixed", datasets=("absent",))


def test_all_models(planned: Planner) -> None:
    assert {c.model for c in planned("all", folds="A").cells} == {"fixed", "learner"}


def test_asking_twice_plans_once(planned: Planner) -> None:
    found = planned("learner", "all", "learner[depth=2,2]", datasets=("five", "five"), folds="A,0", seeds=(0, 0))

    keys = [c.key for c in found.cells]
    assert len(keys) == len(set(keys)) == 2


def test_an_overlap_that_is_not_declared_is_refused(planned: Planner) -> None:
    message = "protocol leaky, fold A1: training and test share same_patient without declaring it; nothing was run"

    with pytest.raises(PluginError, match=message):
        planned("fixed", datasets=("pair",), protocols=("leaky",))


def test_overlaps_that_are_declared_enter_the_cell(planned: Planner) -> None:
    found = planned("fixed", datasets=("single",))

    assert set(found.cells[0].overlaps) <= STBENCH_BLOCKS_V1.declares
    assert STBENCH_SECTION_V1.declares == {"same_patient"}


def test_settings_presets_and_sweeps_reach_the_cells(planned: Planner) -> None:
    swept = planned("learner[depth=1,2,3]", folds="A")
    assert [c.params["depth"] for c in swept.cells] == [1, 2, 3]
    assert planned("learner", folds="A", settings={"": {"depth": 9}}).cells[0].params["depth"] == 9
    both = planned("learner", "fixed", folds="A", settings={"learner": {"depth": 9}})
    assert [c.params.get("depth") for c in both.cells] == [9, None]
    smoke = planned("learner", "fixed", folds="A", presets={"": "smoke"})  # fixed has none of that name
    assert [(c.preset, c.params.get("depth")) for c in smoke.cells] == [("smoke", 1), ("", None)]
    assert planned("learner", datasets=("single",)).cells[0].preset == "single"
    assert [(dataset, model, found.sources) for dataset, model, found in smoke.parameters] == [
        ("five", "learner", {"depth": "preset smoke", "weights": "default"}),
        ("five", "fixed", {}),
    ]


def test_the_same_parameters_by_another_way_are_the_same_cell(planned: Planner) -> None:
    (preset,) = planned("learner", folds="A", presets={"learner": "smoke"}).cells
    (flag,) = planned("learner", folds="A", settings={"learner": {"depth": 1}}).cells

    assert preset.key == flag.key


def test_a_file_moved_is_the_same_cell(planned: Planner, tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).write_bytes(b"weights")

    (here,), (there,) = (
        planned("learner", folds="A", settings={"": {"weights": str(tmp_path / name)}}).cells
        for name in ("here", "there")
    )
    (tmp_path / "there").write_bytes(b"others")
    (changed,) = planned("learner", folds="A", settings={"": {"weights": str(tmp_path / "there")}}).cells

    assert here.key == there.key != changed.key


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"settings": {"": {"depth": 1}}}, r"--set depth=… could mean any of fixed, learner; write MODEL\.depth=…"),
        (
            {"settings": {"sepal": {"a": 1}}},
            "--set names model 'sepal', which does not run here; -m has fixed, learner",
        ),
        ({"presets": {"sepal": "x"}}, "--preset names model 'sepal', which does not run here"),
        ({"presets": {"": "huge"}}, "no model of fixed, learner has a preset 'huge'"),
        ({"presets": {"fixed": "smoke"}}, "model fixed has no preset 'smoke'; it has: none"),
        ({"settings": {"learner": {"dept": 1}}}, r"model learner has no parameter 'dept'; did you mean depth\?"),
        ({"datasets": ("fiv",)}, r"unknown dataset 'fiv'; did you mean five\?"),
        ({"protocols": ("stbench-v2",)}, r"unknown protocol 'stbench-v2'; did you mean stbench-v1"),
    ],
)
def test_what_cannot_be_meant_is_refused(planned: Planner, fields: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        planned("learner", "fixed", **fields)


def test_an_unknown_model(planned: Planner) -> None:
    with pytest.raises(UsageError, match=r"unknown model 'learnr'; did you mean learner\?"):
        planned("learnr")
