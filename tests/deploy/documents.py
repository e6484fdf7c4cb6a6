"""What is deployed, as data: manifests, the compose file, the Dockerfile."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "compose"
OVERLAYS = ("try", "production")

Document = dict[str, Any]


@cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def documents(path: Path) -> list[Document]:
    return list(yaml.safe_load_all(text(path)))


@cache
def built(overlay: str) -> tuple[Document, ...]:
    """What kustomize makes of an overlay."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not here: its kustomize builds the overlays")
    command = ["kubectl", "kustomize", str(DEPLOY / "overlays" / overlay)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return tuple(yaml.safe_load_all(result.stdout))


def base() -> list[Document]:
    """The manifests as they stand, before any overlay."""
    names = yaml.safe_load(text(DEPLOY / "base" / "kustomization.yaml"))["resources"]
    return [one for name in names for one in documents(DEPLOY / "base" / name)]


def of_kind(found: list[Document] | tuple[Document, ...], kind: str, name: str) -> Document:
    (one,) = [one for one in found if one["kind"] == kind and one["metadata"]["name"] == name]
    return one


def compose() -> Document:
    (one,) = documents(COMPOSE / "compose.yaml")
    return one


def compose_nodes() -> dict[str, Document]:
    return {name: one for name, one in compose()["services"].items() if name.startswith("node-")}


def image_environment() -> dict[str, str]:
    """The variables that the image sets."""
    (block,) = re.findall(r"^ENV (.+?[^\\])$", text(COMPOSE / "Dockerfile"), re.MULTILINE | re.DOTALL)
    return dict(pair.split("=", 1) for pair in block.replace("\\\n", " ").split())


def pod(found: list[Document] | tuple[Document, ...]) -> Document:
    spec: Document = of_kind(found, "StatefulSet", "zraft")["spec"]["template"]["spec"]
    return spec


def container(found: list[Document] | tuple[Document, ...]) -> Document:
    (one,) = pod(found)["containers"]
    assert isinstance(one, dict)
    return one
