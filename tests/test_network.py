import pytest
import torch

from saccade.network import CORES, GaussianPolicy, GazeNetwork, GlimpseEncoder, GlimpseMaps
from saccade.retina import Retina


def test_sizes_are_the_papers():
    network = GazeNetwork(Retina(8, 1), channels=1, classes=10)
    counted = {
        name: sum(each.numel() for each in module.parameters())
        for name, module in network.named_children()
    }
    assert counted == {
        "encoder": (64 * 128 + 128) + (2 * 128 + 128) + 2 * (128 * 256 + 256),
        "core": 2 * (256 * 256 + 256),
        "policy": (256 * 128 + 128) + (128 * 2 + 2),
        "classifier": 256 * 10 + 10,
        "baseline": 257,
    }


@pytest.mark.parametrize("join", ["add", "multiply"])
def test_encoder_by_hand(join):
    encoder = GlimpseEncoder(inputs=4, what=1, where=1, outputs=1, join=join)
    with torch.no_grad():
        for each in encoder.parameters():
            each.zero_()
        encoder.what[0].weight.fill_(1.0)
        encoder.where[0].weight.copy_(torch.tensor([[1.0, 2.0]]))
        encoder.what_out.weight.fill_(3.0)
        encoder.where_out.weight.fill_(5.0)
    glimpse = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 1, 1, 2, 2)
    location = torch.tensor([[0.5, -0.1]])
    want = 3 * 1.0 + 5 * 0.3 if join == "add" else (3 * 1.0) * (5 * 0.3)
    assert float(encoder(glimpse, location).detach()) == pytest.approx(want)


def test_rectified_core_by_hand():
    core, _ = CORES["rnn"]
    cell = core(1, 1)
    with torch.no_grad():
        for each, value in zip(cell.parameters(), (2.0, 0.5, 3.0, -1.0), strict=True):
            each.fill_(value)
    (state,) = cell(torch.tensor([[1.0]]), (torch.tensor([[4.0]]),))
    assert float(state.detach()) == 2 * 1 + 0.5 + 3 * 4 - 1
    (state,) = cell(torch.tensor([[-9.0]]), (torch.tensor([[0.0]]),))
    assert float(state.detach()) == 0


def test_normalized_core_by_hand():
    core, _ = CORES["rnn-norm"]
    cell = core(1, 2)
    with torch.no_grad():
        for each in cell.parameters():
            each.zero_()
        cell.inputs.weight.copy_(torch.tensor([[1.0], [3.0]]))
        cell.state.weight.copy_(torch.tensor([[0.0, 10.0], [0.0, 0.0]]))
        cell.norm.weight.copy_(torch.tensor([2.0, 7.0]))
        cell.norm.bias.copy_(torch.tensor([0.5, 1.0]))
    (state,) = cell(torch.tensor([[4.0]]), (torch.tensor([[-1.0, 2.0]]),))
    # W h + V g = (20 + 4, 0 + 12): of mean 18 and deviation 6, so 1 and -1 when normalized.
    torch.testing.assert_close(state.detach(), torch.tensor([[2 * 1 + 0.5, 0.0]]))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize(("channels", "scales"), [(1, 1), (3, 4)])
def test_any_core_sees_any_glimpse(core, channels, scales):
    network = GazeNetwork(Retina(5, scales), channels, classes=4, hidden=16, core=core)
    state = network.start(3)
    for _ in range(2):
        state = network.see(torch.rand(3, scales, channels, 5, 5), torch.zeros(3, 2), state)
    assert len(state) == CORES[core][1]
    assert all(each.shape == (3, 16) for each in state)
    mean = network.policy(state[0], torch.zeros(3, 2))
    assert mean.shape == (3, 2)
    assert mean.abs().max() < 1


def test_a_relative_aim_is_a_move_from_where_the_eye_is():
    absolute, relative = (GaussianPolicy(4, 8, aim) for aim in ("absolute", "relative"))
    relative.load_state_dict(absolute.state_dict())
    features = torch.randn(6, 4)
    gaze = torch.tensor([[0.5, -0.25]]).expand(6, 2)
    place = absolute(features, gaze)
    torch.testing.assert_close(place, absolute(features, -gaze))
    torch.testing.assert_close(relative(features, torch.zeros(6, 2)), place)
    # tanh(a + atanh(g)) = (tanh a + g) / (1 + g tanh a): velocities that add below a limit of 1.
    torch.testing.assert_close(relative(features, gaze), (place + gaze) / (1 + gaze * place))


def test_a_relative_aim_leaves_the_edge_again():
    policy = GaussianPolicy(1, 1, "relative")
    with torch.no_grad():
        for each in policy.parameters():
            each.zero_()
        edge = policy(torch.zeros(1, 1), torch.tensor([[1.0, -1.0]]))
        assert edge.tolist()[0] == pytest.approx([0.95, -0.95])  # and finite
        policy.net[2].bias.copy_(torch.tensor([-3.0, 3.0]))
        back = policy(torch.zeros(1, 1), torch.tensor([[1.0, -1.0]]))
        assert back[0, 0] < -0.5
        assert back[0, 1] > 0.5


def test_density_is_of_the_sample_however_far_outside():
    means = torch.zeros(1, 2, requires_grad=True)
    GaussianPolicy.log_prob(torch.tensor([[1.5, 0.0]]), means, 0.5).sum().backward()
    assert means.grad.tolist() == [[6, 0]]  # (1.5 - 0) / 0.25, not that of a copy clipped to 1


def test_unknown_cores_are_named():
    with pytest.raises(ValueError, match="choose from rnn, rnn-norm, gru, lstm"):
        GazeNetwork(Retina(8, 1), 1, 10, core="gpt")


def test_maps_of_a_glimpse_by_hand():
    maps = GlimpseMaps(layers=2, size=3, maps=2)
    assert maps.outputs == 2 * 2 * 2
    with torch.no_grad():
        for each in maps.parameters():
            each.zero_()
        maps[1].weight[0, 0, 1, 1] = 1.0  # the first map: the pixel itself, of the first layer
        maps[1].weight[1, 1, 1, 2] = 1.0  # the second: its right neighbor in the other layer,
        maps[1].bias[1] = -5.0  # less 5
    first, second = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, -9]]), torch.arange(9).view(3, 3)
    out = maps(torch.stack([first, second]).float().view(1, -1))
    # The largest of each 2x2, cut where the glimpse ends, and nothing below 0.
    assert out.tolist() == [[5, 6, 8, 0, 0, 0, 3, 0]]


def test_maps_come_before_the_layer_that_reads_and_change_nothing_else():
    with_maps = GazeNetwork(Retina(5, 2), 3, 10, maps=4, what=16)
    without = GazeNetwork(Retina(5, 2), 3, 10, what=16)
    shapes = {name: tuple(value.shape) for name, value in with_maps.state_dict().items()}
    plain = {name: tuple(value.shape) for name, value in without.state_dict().items()}
    assert shapes.pop("encoder.maps.1.weight") == (4, 6, 3, 3)
    assert shapes.pop("encoder.maps.1.bias") == (4,)
    assert shapes.pop("encoder.what.0.weight") == (16, 4 * 3 * 3)
    assert plain.pop("encoder.what.0.weight") == (16, 2 * 3 * 5 * 5)
    assert shapes == plain
    glimpses = torch.rand(7, 2, 3, 5, 5)
    (state,) = with_maps.see(glimpses, torch.zeros(7, 2), with_maps.start(7))
    assert state.shape == (7, 256)
