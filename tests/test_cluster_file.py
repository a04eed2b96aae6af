"""Ray accepts the guide's cluster file, which has eight GPUs, a token and no dashboard."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide" / "long-renders.md"


def test_the_cluster_file_is_valid_and_closed() -> None:
    yaml = pytest.importorskip("yaml")
    found = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == 1
    cluster = yaml.safe_load(found[0])
    starts = [
        line for part in ("head", "worker") for line in cluster[f"{part}_start_ray_commands"] if "ray start" in line
    ]
    head, worker = starts
    machines = 1 + len(cluster["provider"]["worker_ips"])
    gpus = {int(number) for line in starts for number in re.findall(r"--num-gpus=(\d+)", line)}
    assert machines * gpus.pop() == 8
    assert not gpus
    assert all(line.startswith("RAY_AUTH_MODE=token ") and "--disable-usage-stats" in line for line in starts)
    assert "--include-dashboard=false" in head
    assert f"--node-ip-address={cluster['provider']['head_ip']}" in head
    assert "--address=$RAY_HEAD_IP:6379" in worker
    assert "~/.ray/auth_token" in cluster["file_mounts"]


def test_ray_accepts_the_cluster_file() -> None:
    yaml = pytest.importorskip("yaml")
    jsonschema = pytest.importorskip("jsonschema")
    ray = importlib.util.find_spec("ray")
    if ray is None or not ray.submodule_search_locations:
        pytest.skip("the extra [ray] is not installed")
    schema = json.loads(Path(ray.submodule_search_locations[0], "autoscaler", "ray-schema.json").read_text("utf-8"))
    text = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[0]
    jsonschema.validate(yaml.safe_load(text), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text) | {"gpus": 8}, schema)
