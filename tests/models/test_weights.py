"""Missing weights are found before anything runs, without a minute of retries and without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stbench.models.weights import local_weights, require_pretrained

ASK = """
import sys, time
start = time.monotonic()
from stbench.errors import DataError
from stbench.models.weights import require_pretrained
from pathlib import Path
try:
    require_pretrained(sys.argv[1], Path(sys.argv[2]))
    print("found")
except DataError as error:
    print(error)
print(time.monotonic() - start, "torch" in sys.modules or "timm" in sys.modules)
"""
NO_NETWORK = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}


def ask(encoder: str, hub: Path, **env: str) -> tuple[str, float, bool]:
    """Answer, seconds it took, and whether torch or timm was imported, in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", ASK, encoder, str(hub / "stbench")],
        env=kept | {"HF_HUB_CACHE": str(hub)} | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer, facts = done.stdout.strip().rsplit("\n", 1)
    seconds, heavy = facts.split()
    return answer, float(seconds), heavy == "True"


def cached(hub: Path, repo: str, file: str) -> None:
    """The layout in which the hub's client keeps a downloaded file."""
    folder = hub / f"models--{repo.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "snapshots" / commit / file).write_bytes(b"weights")


def test_offline_it_is_said_at_once_what_is_missing_and_what_to_do(tmp_path: Path) -> None:
    answer, seconds, heavy = ask("resnet18", tmp_path, HF_HUB_OFFLINE="1")

    assert answer == (
        "encoder resnet18: its pretrained weights are not here and HF_HUB_OFFLINE is set. Put model.safetensors of "
        f"timm/resnet18.tv_in1k at {tmp_path}/stbench/weights/resnet18.safetensors, or give it with "
        "--set weights=FILE; go online once; or say --set weights=random (flagged in "
        "every table)"
    )
    assert seconds < 3
    assert not heavy


def test_a_network_that_does_not_answer_is_tried_once(tmp_path: Path) -> None:
    answer, seconds, _ = ask("resnet50", tmp_path, **NO_NETWORK)

    assert answer.startswith("encoder resnet50: its pretrained weights are not here and cannot be fetched")
    assert "go online once" in answer
    assert "\n" not in answer
    assert seconds < 6


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_cached_file_is_found(file: str, tmp_path: Path) -> None:
    cached(tmp_path, "timm/resnet18.tv_in1k", file)

    answer, _, heavy = ask("resnet18", tmp_path, HF_HUB_OFFLINE="1")

    assert answer == "found"
    assert not heavy
    assert ask("resnet50", tmp_path, HF_HUB_OFFLINE="1")[0].startswith("encoder resnet50: ")


def test_a_timm_model_that_is_not_registered_is_looked_up_there(tmp_path: Path) -> None:
    answer, _, _ = ask("resnet26", tmp_path, HF_HUB_OFFLINE="1")

    assert "Put model.safetensors of timm/resnet26." in answer


def test_a_file_put_into_the_cache_by_hand_is_enough(tmp_path: Path) -> None:
    published = local_weights("resnet18", tmp_path / "stbench")
    published.parent.mkdir(parents=True)
    published.write_bytes(b"weights")

    assert ask("resnet18", tmp_path, HF_HUB_OFFLINE="1")[0] == "found"


@pytest.mark.parametrize("name", ["nonesuch", "mobilenetv2_035"])  # the second has no published weights
def test_names_without_a_file_on_the_hub_are_the_loaders_business(name: str, tmp_path: Path) -> None:
    require_pretrained(name, tmp_path)
