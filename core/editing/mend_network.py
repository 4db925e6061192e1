"""MEND's hyper-network: what makes an edit of the x and delta of one backward pass (Mitchell et
al. 2022), and where a model's own network is found.

A matrix changes by alpha sum_i x~_i^T delta~_i over the tokens i of prompt and target. x~ and
delta~ come from the token's own x and delta: set side by side, each dimension normalised, and sent
through two layers y = y + relu(scale * (U V y + bias) + shift). With U, bias and shift 0 that does
nothing: the edit is then a gradient step on normalised factors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from core.editing import mend_files
from core.editing.second_moments import cache_folder
from core.errors import EditError
from core.model.edits import Change, matrix_shape
from core.model.fingerprint import fingerprint
from core.model.language_model import LanguageModel
from core.model.workplace import WRITING, workplace

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "mend"
LAYERS = (0, 1)  # of a hyper-network
Site = tuple[str, int]  # (matrix, layer)
Shape = tuple[int, int]  # (d_in, d_out)


@dataclass(frozen=True, eq=False)
class MendNetwork:
    """The trained hyper-networks of exactly one model's weights.

    Matrices of the same shape share one hyper-network, in which each site has a row of its own, its
    mode: its place among the `sites` of that shape. `tensors` holds float32 by these names, with
    D = d_in + d_out and "<shape>" written as "<d_in>x<d_out>", i a layer of the network, 0 or 1:

        alpha                     (site,)    signed: a matrix changes by + alpha sum x~^T delta~
        <shape>.<i>.u             (D, rank)
        <shape>.<i>.v             (rank, D)
        <shape>.<i>.bias          (D,)
        <shape>.<i>.mode_scale    (mode, D)
        <shape>.<i>.mode_shift    (mode, D)
        <shape>.x_mean, x_std             (mode, d_in)
        <shape>.delta_mean, delta_std     (mode, d_out)

    x and delta are normalised by (value - mean) / (std + epsilon). delta = dL/dz of the output z,
    L the mean of the target tokens' losses in nats, teacher forced. Networks as they were
    published have one mean and std for all modes: repeat them. `made` says how the network came
    about, in plain values.
    """

    model_name: str
    model_fingerprint: str
    sites: tuple[Site, ...]
    shapes: tuple[Shape, ...]  # of each site
    tensors: Mapping[str, Tensor] = field(repr=False)
    epsilon: float = 1e-7
    made: Mapping[str, object] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[int, ...]:
        """The model's layers that it edits."""
        return tuple(sorted({layer for _, layer in self.sites}))

    @property
    def matrices(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(matrix for matrix, _ in self.sites))

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    def edit(self, step: Sequence[Change]) -> tuple[Change, ...]:
        """The changes that it makes of a gradient step, whose factors are u = x^T, v = -delta^T.

        Tokens whose x or delta is zero everywhere are dropped, as are sites without any token and
        those that the network does not know: a change has at most the rank of its step.
        """
        changes = []
        for change in step:
            site = (change.matrix, change.layer)
            if site not in self.sites:
                continue
            x, delta = change.u.mT, -change.v.mT  # (token, d_in), (token, d_out)
            there = (x != 0).any(-1) & (delta != 0).any(-1)
            if there.any():
                u, v = self.factors(site, x[there], delta[there])
                changes.append(Change(*site, u=u, v=v))
        return tuple(changes)

    def factors(self, site: Site, x: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """u (d_in, token) and v (d_out, token) of a site's change U V^T, alpha included."""
        place = self.sites.index(site)
        shape = self.shapes[place]
        mode = self.shapes[:place].count(shape)
        name = shape_name(shape)
        parts = [
            (values - self.tensors[f"{name}.{kind}_mean"][mode])
            / (self.tensors[f"{name}.{kind}_std"][mode] + self.epsilon)
            for kind, values in (("x", x), ("delta", delta))
        ]
        both = torch.cat(parts, -1)  # (token, D)
        for layer in LAYERS:
            both = transformed(self.tensors, f"{name}.{layer}", mode, both)
        new_x, new_delta = both.split(shape, -1)
        return self.tensors["alpha"][place] * new_x.mT, new_delta.mT

    @property
    def header(self) -> dict[str, object]:
        """All but its tensors, as its file keeps it. Raises EditError for tensors that are not
        those of its sites."""
        check_tensors(
            {name: tuple(tensor.shape) for name, tensor in self.tensors.items()},
            self.sites,
            self.shapes,
        )
        return {
            "model_name": self.model_name,
            "model_fingerprint": self.model_fingerprint,
            "sites": [list(site) for site in self.sites],
            "epsilon": self.epsilon,
            "made": dict(self.made),
        }

    def to_bytes(self, dtype: torch.dtype = torch.float32) -> bytes:
        """The content of its file, in float32 or float16. Raises EditError."""
        return mend_files.written(self.header, self.tensors, dtype)

    def save(self, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
        """Write its file whole or not at all. Raises OSError and EditError."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with workplace(path.parent, WRITING) as place:
            mend_files.write(place / path.name, self.header, self.tensors, dtype)
            os.replace(place / path.name, path)

    @staticmethod
    def load(path: str | Path, model: LanguageModel) -> MendNetwork:
        """Read a network's file. Raises EditError, and changes nothing, for one that is damaged,
        too large or made for other weights than the model's."""
        path = Path(path)
        with mend_files.damage_is_a_sentence(path):
            found, header = mend_files.opened(path)
            network = MendNetwork(shapes=(), tensors={}, **header)
            check_for(model, network)
            if not network.sites or len(set(network.sites)) < len(network.sites):
                raise ValueError("no sites, or one of them twice")
            shapes = site_shapes(model, network.sites)
            check_tensors(found, network.sites, shapes)
            return replace(network, shapes=shapes, tensors=mend_files.read_tensors(path))


def transformed(tensors: Mapping[str, Tensor], name: str, mode: int, y: Tensor) -> Tensor:
    """One layer of a hyper-network: (token, D) in and out."""
    inner = (y @ tensors[f"{name}.v"].mT) @ tensors[f"{name}.u"].mT + tensors[f"{name}.bias"]
    inner = inner * tensors[f"{name}.mode_scale"][mode] + tensors[f"{name}.mode_shift"][mode]
    # Not relu: at 0, where training begins, its gradient is 0 and nothing would ever be learned.
    return y + inner.clamp(min=0)


def shape_name(shape: Shape) -> str:
    return f"{shape[0]}x{shape[1]}"


def check_tensors(
    found: Mapping[str, tuple[int, ...]], sites: Sequence[Site], shapes: Sequence[Shape]
) -> None:
    """Refuse tensors whose names or shapes are not those of a network for these sites."""
    with mend_files.damage_is_a_sentence(Path("The network")):
        expected = expected_shapes(sites, shapes, mend_files.ranks_of(found))
    for name in sorted(expected.keys() | found.keys()):
        if found.get(name) != expected.get(name):
            raise EditError(
                f"The MEND network's tensor {name[:60]!r} has the shape {found.get(name)}; for "
                f"this model it is {expected.get(name)}. Train or import the network again."
            )


def expected_shapes(
    sites: Sequence[Site], shapes: Sequence[Shape], ranks: Mapping[str, int]
) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a network for these sites; ranks by "<shape>.<layer>"."""
    expected: dict[str, tuple[int, ...]] = {"alpha": (len(sites),)}
    for shape in dict.fromkeys(shapes):
        name, modes, wide = shape_name(shape), shapes.count(shape), sum(shape)
        for kind, width in zip(("x", "delta"), shape, strict=True):
            expected |= {f"{name}.{kind}_{part}": (modes, width) for part in ("mean", "std")}
        for layer in LAYERS:
            own = f"{name}.{layer}"
            expected |= {f"{own}.u": (wide, ranks[own]), f"{own}.v": (ranks[own], wide)}
            expected |= {f"{own}.bias": (wide,)}
            expected |= {f"{own}.mode_{part}": (modes, wide) for part in ("scale", "shift")}
    return expected


def usual_sites(model: LanguageModel, layers: int = 3) -> tuple[Site, ...]:
    """What MEND edits: all MLP matrices of the last three layers, FF2 last."""
    first = max(0, model.n_layers - layers)
    matrices = [name for name in ("ff1", "gate", "ff2") if name in model.matrices]
    return tuple((matrix, n) for n in range(first, model.n_layers) for matrix in matrices)


def site_shapes(model: LanguageModel, sites: Sequence[Site]) -> tuple[Shape, ...]:
    """(d_in, d_out) of each site. Raises EditError for one that the model does not have."""
    return tuple(matrix_shape(model, *site) for site in sites)


def own_file(model: LanguageModel) -> Path:
    """Where a network that the user trained or imported is kept."""
    return cache_folder() / f"mend-{fingerprint(model)}.safetensors"


def shipped_file(model: LanguageModel) -> Path:
    return SHIPPED / f"{Path(model.name).name}-{fingerprint(model)}.safetensors"


def keep_mend_network(model: LanguageModel, network: MendNetwork) -> Path:
    """Keep a network as the user's own, from now on used for these weights.

    Raises EditError if it was made for other weights, or if the disk cannot be written."""
    check_for(model, network)
    path = own_file(model)
    try:
        network.save(path)
    except OSError as error:
        raise EditError(
            f"The network cannot be written to {path}: {error.strerror}. Make room there, or set "
            "BACKWARD_LENS_CACHE to another folder."
        ) from None
    return path


def forget_mend_network(model: LanguageModel) -> None:
    """Back to the network that ships for the model, or to none."""
    own_file(model).unlink(missing_ok=True)


def check_for(model: LanguageModel, network: MendNetwork) -> None:
    """Refuse a network of another model."""
    if network.model_fingerprint != fingerprint(model):
        raise EditError(
            f"This MEND network was trained for {network.model_name}, with other weights than "
            f"those of {model.name}. Choose that model, or train one for this model."
        )


_networks: WeakKeyDictionary[LanguageModel, tuple[tuple, MendNetwork]] = WeakKeyDictionary()


def mend_network(model: LanguageModel) -> MendNetwork | None:
    """The user's own network for the model's weights, else the shipped one, else None.

    A file that is damaged counts as none. Read again only when the file has changed.
    """
    for path in (own_file(model), shipped_file(model)):
        try:
            state = path.stat()
            key = (path, state.st_mtime_ns, state.st_size)
            known = _networks.get(model)
            if known is None or known[0] != key:
                known = (key, MendNetwork.load(path, model))
                _networks[model] = known
        except (OSError, EditError):
            continue
        return known[1]
    return None
