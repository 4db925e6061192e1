"""MEND's algebra: the identity at the start, the rank, the file, and what is said without one."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

import core.editing.mend_network as networks
from core import EditError, answers, edit, load_model
from core.editing.comparison import preflight
from core.editing.gradient_step import descent
from core.editing.mend_network import MendNetwork, keep_mend_network, mend_network
from core.model.edited import turn
from core.model.edits import Change, Fact
from tests.conftest import PROMPT, TARGET
from tests.core.mend_networks import identity_mend, random_mend

pytestmark = pytest.mark.usefixtures("own_cache")


def plain_step(model, network, prompt=PROMPT, target=TARGET):
    with turn(model, (), gradients=True):
        steps, _ = descent(model, Fact(prompt, None, target), network.matrices, network.layers)
    return {(change.matrix, change.layer): change for change in steps}


def test_at_the_start_the_edit_is_the_gradient_step(model):
    network = identity_mend(model, alpha=-0.25)
    keep_mend_network(model, network)
    made = edit(model, PROMPT, TARGET, method="mend")
    steps = plain_step(model, network)
    assert {(c.matrix, c.layer) for c in made.changes} == set(network.sites)
    for change in made.changes:
        step = steps[change.matrix, change.layer]
        torch.testing.assert_close(change.weight_change, 0.25 * step.weight_change)
    twice = edit(model, PROMPT, TARGET, method="mend", scale=2.0)
    torch.testing.assert_close(twice.changes[0].u, 2 * made.changes[0].u)


def test_the_strength_can_be_searched(model):
    keep_mend_network(model, identity_mend(model))
    place = {"layers": (model.n_layers - 1,), "matrices": ("ff2",)}
    made = edit(model, PROMPT, TARGET, method="mend", scale="auto", **place)
    scale = made.hyperparameters["scale"]
    first = model.target(PROMPT, TARGET).token
    for factor, works in ((1, True), (0.95, False)):
        again = edit(model, PROMPT, TARGET, method="mend", scale=factor * scale, **place)
        answer = answers(model, PROMPT, edits=[again], top_k=1)["token"][0]
        assert (answer == first) == works


def test_the_formula_by_hand(model):
    """x~ and delta~ of one token, written out."""
    network = random_mend(model)
    site, shape = network.sites[-1], network.shapes[-1]
    mode, name = network.shapes[:-1].count(shape), f"{shape[0]}x{shape[1]}"
    t, x, delta = network.tensors, torch.randn(1, shape[0]), torch.randn(1, shape[1])
    y = torch.cat(
        [
            (x[0] - t[f"{name}.x_mean"][mode]) / t[f"{name}.x_std"][mode],
            (delta[0] - t[f"{name}.delta_mean"][mode]) / t[f"{name}.delta_std"][mode],
        ]
    )
    for i in (0, 1):
        inner = t[f"{name}.{i}.u"] @ (t[f"{name}.{i}.v"] @ y) + t[f"{name}.{i}.bias"]
        inner = t[f"{name}.{i}.mode_scale"][mode] * inner + t[f"{name}.{i}.mode_shift"][mode]
        y = y + torch.relu(inner)
    expected = t["alpha"][-1] * torch.outer(y[: shape[0]], y[shape[0] :])
    (change,) = network.edit([Change(*site, u=x.mT, v=-delta.mT)])
    torch.testing.assert_close(change.weight_change, expected)


def test_the_rank_is_at_most_the_number_of_tokens(model):
    keep_mend_network(model, random_mend(model))
    made = edit(model, PROMPT, TARGET, method="mend")
    tokens = len(model.encode(PROMPT)) + len(model.target(PROMPT, TARGET).ids) - 1
    last = [c for c in made.changes if c.layer == model.n_layers - 1]
    assert all(change.rank <= tokens for change in made.changes)
    # Above the last layer's attention only the places of the target have a gradient.
    assert {change.rank for change in last} == {len(model.target(PROMPT, TARGET).ids)}
    for change in made.changes:
        assert torch.linalg.matrix_rank(change.weight_change) <= change.rank


def test_it_can_be_kept_to_some_of_its_layers(model):
    keep_mend_network(model, random_mend(model))
    last = model.n_layers - 1
    made = edit(model, PROMPT, TARGET, method="mend", layers=(last,), matrices=("ff2",))
    assert [(c.matrix, c.layer) for c in made.changes] == [("ff2", last)]
    with pytest.raises(EditError, match="edits ff1.* of layers 2, 3"):
        edit(model, PROMPT, TARGET, method="mend", layers=(0,))
    with pytest.raises(EditError, match="scale is -1"):
        edit(model, PROMPT, TARGET, method="mend", scale=-1)


def test_gradients_of_every_parameter_are_finite_differences(model):
    """Of a loss of the edit's factors, in float64; relu's corners are far away."""
    network = random_mend(model)
    tensors = {name: tensor.double() for name, tensor in network.tensors.items()}
    steps = [
        Change(c.matrix, c.layer, u=c.u.double(), v=c.v.double())
        for c in plain_step(model, network).values()
    ]

    def loss(values):
        changes = dataclasses.replace(network, tensors=values).edit(steps)
        return sum((change.u.sum(1) @ change.u.sum(1)) for change in changes) + sum(
            change.v.pow(2).sum() for change in changes
        )

    learned = {n: t.clone().requires_grad_() for n, t in tensors.items() if "_" not in n}
    learned |= {n: t.clone().requires_grad_() for n, t in tensors.items() if ".mode_" in n}
    loss(tensors | learned).backward()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in learned.items():
        way = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        ends = [loss(tensors | {name: tensors[name] + s * 1e-6 * way}) for s in (1, -1)]
        expected = (ends[0] - ends[1]) / 2e-6
        torch.testing.assert_close((tensor.grad * way).sum(), expected, rtol=1e-4, atol=1e-6)


def test_a_network_that_begins_at_zero_can_learn(model):
    """relu's own gradient at 0 is 0: U would stay 0 for ever."""
    network = identity_mend(model)
    name = network.tensors.keys() - {"alpha"}
    first = next(n for n in sorted(name) if n.endswith(".0.u"))
    network.tensors[first.replace(".u", ".v")].normal_()
    network.tensors[first].requires_grad_()
    changes = network.edit(list(plain_step(model, network).values()))
    sum(change.u.sum() + change.v.sum() for change in changes).backward()
    assert network.tensors[first].grad.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_its_file_gives_it_back(model, dtype, tmp_path):
    network = dataclasses.replace(random_mend(model), made={"steps": 3, "seed": 0})
    network.save(tmp_path / "network", dtype)
    again = MendNetwork.load(tmp_path / "network", model)
    assert (again.sites, again.shapes, again.made) == (network.sites, network.shapes, network.made)
    for name, tensor in network.tensors.items():
        assert again.tensors[name].dtype == torch.float32
        near = {"rtol": 0, "atol": 0} if dtype == torch.float32 else {"rtol": 1e-3, "atol": 1e-3}
        torch.testing.assert_close(again.tensors[name], tensor, **near)
    torch.testing.assert_close(again.tensors["alpha"], network.tensors["alpha"], rtol=0, atol=0)


def damage(data: bytes, kind: str) -> bytes:
    length = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + length])
    header = json.loads(head["__metadata__"]["backward_lens_mend"])
    if kind == "cut":
        return data[: len(data) // 2]
    if kind == "empty":
        return b""
    if kind == "no network":
        return b"PK" + data
    if kind == "endless header":
        return (10**15).to_bytes(8, "little") + data[8:]
    if kind == "another format":
        header["format"] = 2
    if kind == "another site":
        header["sites"][0] = ["ff2", 99]
    if kind == "a site twice":
        header["sites"][0] = header["sites"][1]
    if kind == "epsilon":
        header["epsilon"] = "x"
    if kind == "no sites":
        header["sites"] = []
    if kind == "a missing tensor":
        head.pop("alpha")
    if kind == "numbers":
        return data[:-4] + b"\xff" * 4
    head["__metadata__"]["backward_lens_mend"] = json.dumps(header)
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


KINDS = ["cut", "empty", "no network", "endless header", "another format", "another site"]
KINDS += ["a site twice", "epsilon", "no sites", "a missing tensor", "numbers"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_a_sentence_and_counts_as_none(model, kind, tmp_path):
    data = random_mend(model).to_bytes()
    path = networks.own_file(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(damage(data, kind))
    with pytest.raises(EditError) as found:
        MendNetwork.load(path, model)
    assert str(found.value).endswith(".")
    assert mend_network(model) is None
    path.write_bytes(data)
    assert mend_network(model).sites == random_mend(model).sites


def test_a_network_of_other_weights_is_refused(model, tmp_path):
    other = dataclasses.replace(random_mend(model), model_fingerprint="0" * 32)
    other.save(tmp_path / "network")
    with pytest.raises(EditError, match="with other weights"):
        MendNetwork.load(tmp_path / "network", model)


def test_tensors_of_another_shape_are_not_written(model):
    network = random_mend(model)
    tensors = {**network.tensors, "alpha": torch.zeros(1)}
    with pytest.raises(EditError, match="'alpha' has the shape"):
        dataclasses.replace(network, tensors=tensors).to_bytes()


def test_without_a_network_it_says_how_to_get_one(model):
    assert mend_network(model) is None
    with pytest.raises(EditError, match=r"train_mend.*minutes"):
        edit(model, PROMPT, TARGET, method="mend")
    assert preflight(model, PROMPT, "mend").bytes > 0


def test_the_users_own_network_comes_before_the_shipped_one(model, monkeypatch, tmp_path):
    monkeypatch.setattr(networks, "SHIPPED", tmp_path)
    random_mend(model, 1).save(networks.shipped_file(model))
    assert torch.equal(mend_network(model).tensors["alpha"], random_mend(model, 1).tensors["alpha"])
    keep_mend_network(model, random_mend(model, 2))
    assert torch.equal(mend_network(model).tensors["alpha"], random_mend(model, 2).tensors["alpha"])
    assert mend_network(model) is mend_network(model)  # read once


@pytest.mark.parametrize("name", ["tiny-gpt2", "tiny-llama2"])
def test_the_shipped_networks_fit_and_work(name):
    model = load_model(name)
    path = networks.shipped_file(model)
    assert Path(path).stat().st_size < 5_000_000
    network = mend_network(model)
    assert network.made["steps"] >= 1000
    made = edit(model, "Jack Dorsey founded", "IBM", method="mend")
    assert made.hyperparameters["scale"] == 1
    assert len(made.changes) == len(network.sites)
