"""Where a command's cells run: pure arithmetic, no GPU needed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stbench.errors import UsageError
from stbench.execution.slots import Slot, names_of_gpus, slots_of


@given(jobs=st.integers(1, 5), n=st.integers(1, 8), device=st.sampled_from(["cuda", "auto"]))
def test_every_gpu_has_so_many_places_and_none_has_two_before_all_have_one(jobs: int, n: int, device: str) -> None:
    gpus = [str(i) for i in range(n)]

    slots = slots_of(device, jobs, gpus)

    assert Counter(slot.visible for slot in slots) == dict.fromkeys(gpus, jobs)
    assert [slot.visible for slot in slots[:n]] == gpus
    assert {slot.device for slot in slots} == {"cuda:0"}  # the only one that such a worker sees


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda:1", "auto"])
def test_other_devices_are_one(device: str) -> None:
    assert slots_of(device, 3, [] if device == "auto" else ["0", "1"]) == [Slot(device)] * 3


def test_cuda_without_a_gpu_is_a_sentence() -> None:
    with pytest.raises(UsageError, match="no GPU is visible here"):
        slots_of("cuda", 1, [])


def test_gpus_keep_the_names_by_which_they_were_made_visible() -> None:
    assert names_of_gpus(3, {}) == ["0", "1", "2"]
    assert names_of_gpus(2, {"CUDA_VISIBLE_DEVICES": "5, GPU-8f3a"}) == ["5", "GPU-8f3a"]
    assert names_of_gpus(1, {"CUDA_VISIBLE_DEVICES": "3,99"}) == ["3"]  # CUDA stops at the first that is not there
    assert names_of_gpus(0, {"CUDA_VISIBLE_DEVICES": ""}) == []
