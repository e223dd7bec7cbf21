"""What the identity of a user's own model covers: whatever it reaches, reads or imports."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pathorob_checks.errors import ModelError
from pathorob_checks.models import loading
from pathorob_checks.models.loading import PreparedModel, prepare, resolve
from pathorob_checks.models.model_settings import ModelSettings
from pathorob_checks.models.reachable import reach
from pathorob_checks.models.spec import parse_spec
from pathorob_checks.models.user_sources import OwnCode, is_installed

OWN = OwnCode(f"{__name__}:build")
FACTOR = [1.0]


class Plain:
    def __init__(self, value: Any) -> None:
        self.value = value

    def apply(self, number: float) -> Any:
        return number * self.value


class Slotted:
    __slots__ = ("__hidden", "value")

    def __init__(self, value: Any) -> None:
        self.value, self.__hidden = 1, value


class Holder(dict[str, Any]):
    pass


def linear(value: float) -> torch.nn.Linear:
    network = torch.nn.Linear(2, 2)
    torch.nn.init.constant_(network.weight, value)
    torch.nn.init.zeros_(network.bias)
    return network


def with_attribute(holder: Any, value: Any) -> Any:
    holder.extra = value
    return holder


def with_default(value: float) -> Any:
    return lambda x, factor=value: x * factor


def closed_over(value: float) -> Any:
    return lambda x: x * value


def in_a_buffer(value: float) -> torch.nn.Module:
    network = torch.nn.Module()
    network.register_buffer("mean", torch.tensor(value), persistent=False)
    return network


def with_a_hook(value: float) -> torch.nn.Module:
    network = torch.nn.Identity()
    network.register_forward_hook(lambda module, inputs, output: output * value)
    return network


def in_a_cycle(value: float) -> Any:
    first = SimpleNamespace(value=value)
    first.other = SimpleNamespace(back=first)
    return first


# From a number to an object that reaches it, by every way that a number can be kept.
WAYS: dict[str, Any] = {
    "attribute": Plain,
    "slot": Slotted,
    "list": lambda value: [value],
    "dict": lambda value: {"a": {"b": value}},
    "subclass of dict": lambda value: with_attribute(Holder(), value),
    "set": lambda value: {("a", value), "b"},
    "closure": closed_over,
    "default": with_default,
    "partial": lambda value: functools.partial(max, value),
    "bound method": lambda value: Plain(value).apply,
    "weak reference": lambda value: (kept := Plain(value), weakref.ref(kept)),
    "cycle": in_a_cycle,
    "second network": lambda value: Plain([torch.nn.Identity(), linear(value)]),
    "network in a dict": lambda value: Plain({"head": linear(value)}),
    "attribute of a network": lambda value: with_attribute(torch.nn.Identity(), value),
    "tensor of a network": lambda value: with_attribute(torch.nn.Identity(), torch.tensor(value)),
    "buffer that is not saved": in_a_buffer,
    "hook": with_a_hook,
    "compiled network": lambda value: torch.compile(linear(value)),
    "half precision": lambda value: torch.tensor([value], dtype=torch.bfloat16),
    "sparse": lambda value: (torch.eye(3) * value).to_sparse(),
    "complex": lambda value: torch.tensor([value * 1j]).conj(),
    "quantized": lambda value: torch.quantize_per_tensor(torch.ones(2), value, 0, torch.qint8),
    "quantized network": lambda value: torch.ao.quantization.quantize_dynamic(
        torch.nn.Sequential(linear(value))
    ),
    "view": lambda value: torch.full((4, 4), value)[:, 1].T,
    "array": lambda value: np.full(3, value),
    "array of objects": lambda value: np.array([Plain(value), None], dtype=object),
    "structured array": lambda value: np.array([(1, value)], dtype=[("a", "i4"), ("b", "f8")]),
    "number of numpy": np.float32,
    "path": lambda value: Path(str(value)),
    "namespace": lambda value: SimpleNamespace(value=value),
    "nested": lambda value: functools.reduce(lambda inner, _: [inner], range(50), value),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore")
def test_a_number_is_seen_wherever_it_is_kept(way: str) -> None:
    make = WAYS[way]
    first, again, other = (reach(make(value), OWN) for value in (1.0, 1.0, 2.0))
    assert first == again
    assert first.sha256 != other.sha256
    assert not first.unreadable


def uses_a_global() -> float:
    return FACTOR[0]


def calls_another() -> float:
    def inside() -> float:
        return uses_a_global()

    return inside()


@pytest.mark.parametrize("function", [uses_a_global, calls_another, Plain(uses_a_global)])
def test_globals_are_seen_through_the_functions_that_name_them(
    function: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = reach(function, OWN)
    monkeypatch.setattr(f"{__name__}.FACTOR", [2.0])
    assert reach(function, OWN).sha256 != before.sha256


@pytest.mark.parametrize(
    "opaque",
    [Path(os.devnull).open(), (number for number in (1, 2)), memoryview(b"a")],  # noqa: SIM115
    ids=["file", "generator", "memory"],
)
def test_what_cannot_be_read_is_named(opaque: Any) -> None:
    reached = reach(Plain({"session": opaque}), OWN)
    assert reached.unreadable == (f"Plain.value['session'] ({type(opaque).__name__})",)


def test_a_generator_of_random_numbers_and_a_lock_are_no_part_of_a_model() -> None:
    def state(seed: int) -> Any:
        return [np.random.default_rng(seed), torch.Generator().manual_seed(seed), threading.Lock()]

    assert reach(state(1), OWN) == reach(state(2), OWN)
    assert not reach(state(1), OWN).unreadable


def test_what_is_nested_too_deeply_is_not_taken_for_read() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert reach(deep, OWN).unreadable == ("list (nested too deeply)",)


@pytest.mark.slow
def test_the_same_object_has_the_same_digest_in_another_process() -> None:
    code = (
        "import torch; from pathorob_checks.models.reachable import reach; "
        "from pathorob_checks.models.user_sources import OwnCode; "
        "f = lambda x, k={'a', 'b', 'c'}: (x, 'd'); m = torch.nn.Conv2d(1, 1, 1); "
        "m.register_forward_hook(print); [torch.nn.init.ones_(p) for p in m.parameters()]; "
        "print(reach([f, m], OwnCode('enc:build')).sha256)"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


ENCODER = """
import os
import numpy as np, torch
{above}
class Encoder:
    def __init__(self):
        self.model = torch.nn.Linear(1, 1)
        torch.nn.init.ones_(self.model.weight)
        torch.nn.init.zeros_(self.model.bias)
        {init}
    def preprocess(self, image):
        return torch.zeros(3, 4, 4)
    def embed(self, batch):
        {embed}
        return batch.flatten(1) * factor
    {more}
def build():
    return Encoder()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(loading, "_TRACES", {})
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def fresh(target: str = "own_model:build") -> PreparedModel:
    """Prepared as by a new process."""
    for name in ("own_model", "own_helper", "own_package", "own_package.part"):
        sys.modules.pop(name, None)
    loading._TRACES.clear()
    return prepare(resolve(parse_spec(f"python:{target}"), "mine"), ModelSettings(device="cpu"))


def write_encoder(
    folder: Path, *, above: str = "", init: str = "pass", embed: str = "factor = 1", more: str = ""
) -> None:
    (folder / "own_model.py").write_text(ENCODER.format(above=above, init=init, embed=embed, more=more))


def write_number(folder: Path, value: float) -> None:
    np.save(folder / "w.npy", np.array(value))
    torch.save(torch.tensor(value), folder / "w.pt")
    save_file({"w": torch.tensor(value)}, folder / "w.safetensors")
    (folder / "w.txt").write_text(str(value))
    (folder / "own_helper.py").write_text(f"W = {value}\n")
    (folder / "own_package").mkdir(exist_ok=True)
    (folder / "own_package" / "__init__.py").write_text("")
    (folder / "own_package" / "part.py").write_text(f"W = {value}\n")
    os.environ["OWN_FACTOR"] = str(value)


@pytest.mark.parametrize(
    "parts",
    [
        {"init": "self.w = torch.load('w.pt')", "embed": "factor = self.w"},
        {"init": "self.w = np.load('w.npy')", "embed": "factor = float(self.w)"},
        {"init": "import own_helper; self.w = own_helper.W", "embed": "factor = self.w"},
        {"embed": "import own_helper; factor = own_helper.W"},
        {"embed": "from own_package import part; factor = part.W"},
        {"embed": "import importlib; factor = importlib.import_module('own_' + 'helper').W"},
        {"above": "W = float(open('w.txt').read())", "embed": "factor = W"},
        {"above": "S = {}", "init": "S['w'] = np.load('w.npy')", "embed": "factor = float(S['w'])"},
        {"embed": "factor = float(np.load('w.npy'))"},
        {"embed": "self.w = getattr(self, 'w', None) or torch.load('w.pt'); factor = self.w"},
        {"embed": "from safetensors.torch import load_file; factor = load_file('w.safetensors')['w']"},
        {"above": "from safetensors.torch import load_file", "init": "self.path = 'w.' + 'safetensors'",
         "embed": "factor = load_file(self.path)['w']"},
        {"above": "from pathlib import Path", "init": "self.path = Path('.').absolute() / 'w.npy'",
         "embed": "factor = float(np.load(self.path, mmap_mode='r'))"},
        {"embed": "factor = float(os.environ['OWN_FACTOR'])"},
        {"more": "w = float(open('w.txt').read())", "embed": "factor = self.w"},
        {"init": "w = np.load('w.npy'); self.scale = lambda: float(w)", "embed": "factor = self.scale()"},
    ],
)  # fmt: skip
def test_a_model_that_changes_anywhere_gets_another_identity(
    folder: Path, parts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_FACTOR", "")
    write_encoder(folder, **parts)
    write_number(folder, 1.5)
    first, again = fresh(), fresh()
    assert first.identity == again.identity
    assert not first.notes
    write_number(folder, 2.5)
    other = fresh()
    assert other.load().embed(torch.ones(1, 3, 4, 4)).mean() == 2.5
    assert other.identity != first.identity


def test_a_second_model_of_one_process_is_the_first(folder: Path) -> None:
    write_encoder(folder, init="import own_helper; self.w = np.load('w.npy')")
    write_number(folder, 1.5)
    first = fresh()
    resolved = resolve(parse_spec("python:own_model:build"), "mine")
    assert prepare(resolved, ModelSettings(device="cpu")).identity == first.identity


def test_the_same_model_in_another_folder_is_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identities = []
    for name in ("a", "b"):
        (folder / name).mkdir()
        monkeypatch.chdir(folder / name)
        sys.path[:] = [path for path in sys.path if not path.startswith(str(folder))]
        write_encoder(folder / name, embed="factor = float(np.load('w.npy'))")
        write_number(folder / name, 1.5)
        identities.append(fresh().identity)
    assert identities[0] == identities[1]
    assert str(folder) not in str(identities)


def test_a_model_that_cannot_be_seen_whole_is_embedded_anew_and_says_so(folder: Path) -> None:
    write_encoder(folder, init="self.session = open('w.txt')")
    write_number(folder, 1.5)
    first = fresh()
    assert first.identity != fresh().identity
    assert "Encoder.session (TextIOWrapper)" in first.notes[0]
    assert "computed anew in each run" in first.notes[0]
    resolved = resolve(parse_spec("python:own_model:build"), "mine")
    one, same = (prepare(resolved, ModelSettings(device="cpu")) for _ in range(2))
    assert one.identity == same.identity, "a run shares its embeddings"


def test_a_model_that_asks_another_process_is_embedded_anew(folder: Path) -> None:
    write_encoder(folder, embed="import subprocess; factor = int(subprocess.check_output(['echo', '1']))")
    assert "another process in embed" in fresh().notes[0]


def test_an_identity_of_the_users_stands_for_what_cannot_be_seen(folder: Path) -> None:
    session = "self.session = open('w.txt'); self.w = np.load('w.npy')"
    write_encoder(folder, init=session, more="def identity(self): return {'weights': 'v1'}")
    write_number(folder, 1.5)
    first = fresh()
    assert (fresh().identity, first.notes) == (first.identity, ())
    assert first.identity["stated"] == {"weights": "v1"}
    # What can be seen counts all the same.
    write_number(folder, 2.5)
    assert fresh().identity != first.identity


@pytest.mark.parametrize(
    "stated", ["lambda: 1 / 0", "lambda: {1: 2}", "lambda: float('nan').hex", "object()"]
)
def test_an_identity_that_is_no_text_of_json_is_refused(folder: Path, stated: str) -> None:
    write_encoder(folder, init=f"self.identity = {stated}")
    with pytest.raises(
        ModelError, match=r"identity of python:own_model:build cannot be used \(\w+"
    ) as caught:
        fresh()
    assert "\n" not in str(caught.value)


def test_a_layer_called_identity_is_no_identity(folder: Path) -> None:
    write_encoder(folder, init="self.identity = torch.nn.Identity()")
    assert "stated" not in fresh().identity


def test_libraries_are_told_by_where_they_are_installed(tmp_path: Path) -> None:
    assert is_installed("torch", torch.__file__)
    assert is_installed("json", os.__file__)
    for path in ("encoders.py", "deep/encoders/__init__.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert not is_installed("encoders", str(tmp_path / "encoders.py"))
    # As `pip install --target` leaves it.
    (tmp_path / "deep" / "encoders-1.0.dist-info").mkdir()
    (tmp_path / "deep" / "encoders-1.0.dist-info" / "RECORD").write_text("encoders/__init__.py,,\n")
    assert is_installed("encoders", str(tmp_path / "deep" / "encoders" / "__init__.py"))


def test_torch_is_a_library_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__file__", "/somewhere/build/torch/__init__.py")
    assert "torch" not in OWN
    assert "torch.nn" not in OWN
    assert __name__ in OWN
