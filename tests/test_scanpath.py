import pytest
import torch
from safetensors.torch import save_file

from saccade.retina import Retina
from saccade.scanpath import Scanpath


def some(count=3, steps=4, size=5, height=20):
    return Scanpath(
        locations=torch.rand(count, steps, 2),
        glimpses=torch.rand(count, steps, 2, 1, size, size),
        beliefs=torch.rand(count, steps, 7).softmax(-1),
        values=torch.rand(count, steps),
        rewards=torch.rand(count, steps),
        stop=torch.randint(1, steps + 1, (count,)),
        retina=Retina(size, 2),
        height=height,
        width=30,
    )


def test_saves_and_loads_everything(tmp_path):
    path = tmp_path / "a.safetensors"
    one = some()
    one.save(path)
    other = Scanpath.load(path)
    assert (other.retina, other.height, other.width) == (Retina(5, 2), 20, 30)
    for name, value in one.tensors.items():
        assert torch.equal(value, other.tensors[name]), name
    assert [each.name for each in tmp_path.iterdir()] == ["a.safetensors"]


def test_selects_and_joins():
    one = some()
    assert len(one[1]) == 1
    assert torch.equal(one[-1].locations, one.locations[2:])
    joined = Scanpath.cat([one[0], one[1:]])
    assert all(torch.equal(value, joined.tensors[name]) for name, value in one.tensors.items())


def test_refuses_what_does_not_belong_together(tmp_path):
    with pytest.raises(ValueError, match="different retinas or scene sizes"):
        Scanpath.cat([some(), some(height=21)])
    with pytest.raises(ValueError, match="no scanpaths"):
        Scanpath.cat([])
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="not a scanpath"):
        Scanpath.load(tmp_path / "x.safetensors")
    with pytest.raises(FileNotFoundError):
        Scanpath.load(tmp_path / "none.safetensors")
