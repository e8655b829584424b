"""A third party's plugin: `tests/toy` on PYTHONPATH installs it."""

from __future__ import annotations

from stbench.registry import DatasetSpec, ModelSpec, hookimpl

STBENCH_API = "1"

MODELS = {
    "toy-good": "Good",
    "toy-blind": "Blind",
    "toy-streams": "Streams",
    "toy-chatty": "Chatty",
    "toy-cheats-validation": "CheatsValidation",
    "toy-flaky": "Flaky",
    "toy-sleeps": "Sleeps",
    "toy-wrong-shape": "WrongShape",
    "toy-nan": "NotFinite",
    "toy-fit-error": "FitError",
    "toy-predict-error": "PredictError",
    "toy-killed": "Killed",
    "toy-exits": "Exits",
    "toy-dies": "Dies",
    "toy-scaled": "Scaled",
    "toy-between": "Between",
    "toy-forks": "Forks",
    "toy-hungry": "Hungry",
    "toy-leaks": "Leaks",
}


@hookimpl
def stbench_models() -> list[ModelSpec]:
    params = {
        "Good": "GoodParams",
        "Sleeps": "SleepsParams",
        "Dies": "DiesParams",
        "Scaled": "ScaledParams",
        "Forks": "ForksParams",
    }
    return [
        ModelSpec(
            name=name,
            factory=f"stbench_toy_models:{model}",
            params=f"stbench_toy_params:{params.get(model, 'NoParams')}",
            deterministic=model not in ("Good", "Sleeps"),
            imports=(),
        )
        for name, model in MODELS.items()
    ]


@hookimpl
def stbench_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(name="toy", factory="stbench_toy_data:Toy", title="three patients"),
        DatasetSpec(name="toy-others", factory="stbench_toy_data:ToyOthers", title="two other patients, fewer genes"),
        DatasetSpec(name="toy-single", factory="stbench_toy_data:ToySingle", title="one patient, two sections"),
    ]
