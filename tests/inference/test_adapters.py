"""Adapters share one base: they come when asked for, go when there is no room, and add their own bytes only."""

import copy
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from coat_ray.inference.adapters import AdapterPool, NoRoom
from coat_ray.inference.errors import AdapterRefused, AdapterTooLarge
from coat_ray.inference.requests import AdapterSource
from coat_ray.registry.licences import Ingredient
from coat_ray.registry.models import ModelRegistry
from coat_ray.storage import Storage
from tests.inference.made import CONFIG, ask, make_model, save
from tests.model.published import PUBLISHED


@pytest.fixture
def open_pool(base):
    """An empty pool on a base of its own."""
    return lambda capacity=1 << 30: AdapterPool(copy.deepcopy(base), capacity)


def nbytes(source: AdapterSource) -> int:
    """Bytes of an adapter's weights on disk."""
    return sum(tensor.nbytes for tensor in load_file(source.folder / "adapter_model.safetensors").values())


def tensor_bytes(pool: AdapterPool) -> int:
    """Bytes of everything that the pool's model and adapters hold, shared memory once."""
    tensors = [*pool._backbone.parameters(), *pool._backbone.buffers(), *pool.mixer.tensors()]
    tensors += [a.rows_3D for a in pool._adapters.values() if a.rows_3D is not None]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_each_adapter_adds_its_lora_and_three_rows_and_nothing_else(open_pool, shelf):
    pool = open_pool()
    bare, embeddings = tensor_bytes(pool), pool._backbone.hf.get_input_embeddings().weight.data_ptr()
    for i, source in enumerate(shelf.sources):
        pool.acquire(source)
        assert tensor_bytes(pool) - bare == sum(map(nbytes, shelf.sources[: i + 1])) == pool.nbytes
    assert pool._backbone.hf.get_input_embeddings().weight.data_ptr() == embeddings


def test_eight_adapters_of_the_published_model_take_less_than_a_seventh_more_than_one():
    """At rank 16 in float32 on a base in bfloat16, all eight side by side in one batch; counted without weights."""
    facts = PUBLISHED["qwen2_audio"]
    with torch.device("meta"):
        base = sum(p.numel() for p in facts.build().parameters()) * 2
    one = 4 * (facts.lora + 3 * facts.hidden)
    assert (base + 2 * 8 * one) / (base + one) < 1.15


def test_the_adapter_used_longest_ago_goes_first_and_comes_back(open_pool, shelf):
    one, two, three = shelf.sources[:3]
    pool = open_pool(nbytes(one) + nbytes(three))
    for source in (one, two, one, three):
        pool.release(pool.acquire(source))
    assert pool.keys == [one.key, three.key]
    pool.release(pool.acquire(two))
    assert pool.keys == [two.key]
    assert (pool.loads, pool.evictions) == (4, 3)
    assert pool.nbytes <= pool.capacity


def test_an_evicted_adapter_leaves_nothing_behind(open_pool, shelf):
    pool = open_pool(nbytes(shelf.sources[7]))
    pool.release(pool.acquire(shelf.sources[0]))
    before = tensor_bytes(pool) - pool.nbytes
    pool.release(pool.acquire(shelf.sources[7]))
    assert pool.keys == [shelf.sources[7].key]
    assert tensor_bytes(pool) - pool.nbytes == before


def test_pinned_adapters_stay_and_those_in_use_too(open_pool, shelf):
    one, two, three = shelf.sources[:3]
    pool = open_pool(nbytes(one) + nbytes(three))
    pool.pin(one)
    held = pool.acquire(two)
    with pytest.raises(NoRoom):
        pool.acquire(three)
    pool.release(held)
    pool.release(pool.acquire(three))
    assert pool.keys == [one.key, three.key]
    with pytest.raises(AdapterTooLarge):
        pool.acquire(shelf.sources[7])
    pool.unpin(one.key)
    pool.pin(two)
    assert one.key not in pool.keys


def test_an_adapter_that_waits_for_room_is_answered_when_there_is(open_engine, shelf):
    first, second = shelf.sources[6], shelf.sources[7]
    engine = open_engine(adapter_bytes=nbytes(second))
    handles = [engine.submit(ask(source, i, max_tokens=5)) for i, source in ((6, first), (7, second), (6, first))]
    answers = [list(handle.result(120).tokens) for handle in handles]
    assert answers == [shelf.alone(i, i)[:5] for i in (6, 7, 6)]
    assert engine.stats().adapter_evictions == 2


def test_an_adapter_without_a_block_runs_beside_one_with_it(engine, shelf, base, tmp_path):
    plain = make_model(base, 4, seed=40, block=False)
    source = save(plain, tmp_path, "plain")
    results = [engine.submit(ask(s, 0, max_tokens=4)).result(120) for s in (source, shelf.sources[3])]
    assert [result.usage.block > 0 for result in results] == [False, True]


def _changed(source: AdapterSource, folder, **changes) -> AdapterSource:
    shutil.copytree(source.folder, folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return AdapterSource("changed", folder)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"r": 7}, "shape"),
        ({"trainable_token_indices": {"embed_tokens": [1, 2, 3]}}, "token rows"),
    ],
)
def test_what_cannot_be_mixed_is_refused_and_leaves_the_base_as_it_was(open_pool, shelf, tmp_path, changes, complaint):
    pool = open_pool()
    before = tensor_bytes(pool)
    with pytest.raises(AdapterRefused, match=complaint):
        pool.acquire(_changed(shelf.sources[3], tmp_path / "changed", **changes))
    assert (pool.keys, tensor_bytes(pool)) == ([], before)


def test_an_adapter_of_the_tower_or_of_another_model_is_refused(open_pool, shelf, tmp_path):
    for name, place, complaint in (
        ("tower", "audio_tower.layers.0.self_attn", "tower is shared"),
        ("deeper", "language_model.layers.77.self_attn", "does not have"),
    ):
        source = _changed(shelf.sources[3], tmp_path / name)
        file = source.folder / "adapter_model.safetensors"
        tensors = load_file(file)
        save_file({k.replace("language_model.layers.0.self_attn", place): v for k, v in tensors.items()}, file)
        with pytest.raises(AdapterRefused, match=complaint):
            open_pool().acquire(source)


def test_weights_that_are_not_finite_are_refused_for_they_would_spoil_the_rows_of_others(open_pool, shelf, tmp_path):
    source = _changed(shelf.sources[3], tmp_path / "nan")
    file = source.folder / "adapter_model.safetensors"
    tensors = load_file(file)
    next(tensor for name, tensor in tensors.items() if "lora_B" in name)[0, 0] = float("inf")
    save_file(tensors, file)
    with pytest.raises(AdapterRefused, match="finite"):
        open_pool().acquire(source)


def test_adapters_that_run_side_by_side_take_their_bytes_once_more(open_pool, shelf):
    pool = open_pool()
    bare = tensor_bytes(pool)
    slots = [pool.acquire(source).slot for source in shelf.sources]
    with pool.mixer.rows(slots):
        pass
    assert tensor_bytes(pool) - bare <= 2 * pool.nbytes
    with pool.mixer.rows([slots[0], None]):
        pass
    assert tensor_bytes(pool) - bare <= 2 * pool.nbytes


def test_a_version_has_one_key_for_its_tenant_and_those_it_is_shared_with(tmp_path):
    registries = [ModelRegistry(Storage(tmp_path / tenant)) for tenant in ("speech", "music")]
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "file").write_text("weights")
    free = Ingredient("base", "small", "Apache-2.0", commercial_use=True)
    speech, music = (r.add("coat", adapter, base=CONFIG.model_dump(), ingredients=[free]) for r in registries)
    (tmp_path / "shared").symlink_to(registries[0].adapter_folder(speech))
    own = AdapterSource.of(speech, registries[0].adapter_folder(speech))
    assert own.key == AdapterSource.of(speech, tmp_path / "shared").key
    assert own.key != AdapterSource.of(music, registries[1].adapter_folder(music)).key
    assert str(tmp_path) not in own.key


def test_damaged_weights_are_refused(open_pool, shelf, tmp_path):
    source = _changed(shelf.sources[3], tmp_path / "damaged")
    (source.folder / "adapter_model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(AdapterRefused, match="damaged"):
        open_pool().acquire(source)
