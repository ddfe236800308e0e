import torch

from saccade.counter import fold, integers, make_key, normal, row_keys, uniform


def splitmix_finalizer(z: int) -> int:
    mask = 2**64 - 1
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_folding_is_the_published_mixer():
    golden, mask, key, value = 0x9E3779B97F4A7C15, 2**64 - 1, 12345, 678
    inner = splitmix_finalizer((key + golden) & mask)
    want = splitmix_finalizer((inner + value * golden) & mask)
    assert int(fold(torch.tensor(key), value)) & mask == want


def test_rows_do_not_depend_on_the_batch():
    keys = row_keys(make_key(3), 100)
    whole = uniform(keys, 4, 2)
    assert torch.equal(whole[17:18], uniform(keys[17:18], 4, 2))
    assert torch.equal(row_keys(make_key(3), 5), keys[:5])


def test_purposes_counters_and_seeds_give_other_numbers():
    keys = row_keys(make_key(0), 1000)
    draws = [uniform(fold(keys, each), 1) for each in ("a", "b", 0, 1)]
    draws.append(uniform(row_keys(make_key(1), 1000), 1))
    for i, one in enumerate(draws):
        for other in draws[:i]:
            assert abs(torch.corrcoef(torch.cat([one, other], 1).T)[0, 1]) < 0.15


def test_distributions():
    keys = row_keys(make_key(9), 20_000)
    flat, whole, bell = uniform(keys, 3), integers(keys, 10, 3), normal(keys, 3)
    assert flat.min() >= 0
    assert flat.max() < 1
    assert abs(flat.mean() - 0.5) < 0.005
    counts = torch.bincount(whole.reshape(-1), minlength=10)
    assert len(counts) == 10
    assert (counts / 6000 - 1).abs().max() < 0.06
    assert abs(bell.mean()) < 0.02
    assert abs(bell.std() - 1) < 0.02
    assert bell.isfinite().all()
    assert (bell.abs() > 3).float().mean() < 0.004


def test_no_loop_counter_is_multiplied_in_a_compiled_graph():
    """C++ may take a wrapping product of it for impossible; loops then ran past their end."""
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def draw(key):
        return uniform(row_keys(key, 3), 40)

    torch._dynamo.reset()
    key = make_key(0)
    traced = torch.compile(draw, backend=keep, fullgraph=True)
    assert torch.equal(traced(key), draw(key))
    (graph,) = graphs
    kinds = [str(node.target) for node in graph.graph.nodes]
    assert any("mul" in kind for kind in kinds)
    assert not any("arange" in kind for kind in kinds)
    torch._dynamo.reset()
