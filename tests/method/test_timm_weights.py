"""Weights from the hub: its cache first, and without a network a message within seconds."""

import socket
import time

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from dupl.cli import main
from dupl.errors import UserError
from dupl.method import timm_weights
from dupl.method.backbone import Backbone

NAME = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture
def no_hub(monkeypatch):
    """No network, no proxy, and an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for variable in timm_weights.PROXIES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(timm_weights, "cached_weights", lambda name: None)
    monkeypatch.setattr("dupl.method.timm_vit.cached_weights", lambda name: None)

    def refuse(address, timeout):
        assert address == ("huggingface.co", 443) and timeout <= 3
        raise socket.gaierror("Temporary failure in name resolution")

    monkeypatch.setattr(timm_weights.socket, "create_connection", refuse)


def test_without_network_and_file_it_ends_at_once_with_the_command(no_hub):
    begin = time.monotonic()
    with pytest.raises(UserError, match=f"cannot be reached: Temporary.*`dupl data prepare weights {NAME}`"):
        Backbone(NAME, pretrained=True)
    assert time.monotonic() - begin < 5


def test_the_command_says_the_same(no_hub, capsys):
    assert main(["data", "prepare", "weights", NAME]) == 2
    assert "huggingface.co cannot be reached" in capsys.readouterr().err


def test_what_is_in_the_cache_is_taken_without_asking(monkeypatch, tmp_path):
    model, file = timm.create_model(NAME, num_classes=0), tmp_path / "model.safetensors"
    state = {key: torch.full_like(value, 0.01) for key, value in model.state_dict().items()}
    save_file({**state, "head.weight": torch.zeros(1000, 192), "head.bias": torch.zeros(1000)}, str(file))
    monkeypatch.setattr("dupl.method.timm_vit.cached_weights", lambda name: file)
    loaded = Backbone(NAME, pretrained=True).vit.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["weights"], "weights of what"),
        (["weights", "no_such_model"], "timm has no weights of 'no_such_model'"),
        (["voc"], "add --root DIR"),
        (["voc", "x", "--root", "y"], "voc takes no 'x'"),
    ],
)
def test_mistakes_are_one_line(words, told, capsys):
    assert main(["data", "prepare", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
