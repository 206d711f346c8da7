"""Clips are remembered for their tenant, within the bytes that there are."""

import torch

from coat_ray.inference.encoder_cache import ClipKey, EncoderCache

OUTPUT = torch.zeros(10, 10)
BYTES = OUTPUT.nbytes


def key(clip: str, tenant: str = "speech") -> ClipKey:
    return ClipKey(clip, "base", tenant)


def test_what_was_put_is_found_for_the_same_clip_base_and_tenant_only():
    cache = EncoderCache(10 * BYTES)
    cache.put(key("one"), OUTPUT)
    assert cache.get(key("one")) is OUTPUT
    assert key("one") in cache
    for other in (key("two"), key("one", "music"), ClipKey("one", "another base", "speech")):
        assert cache.get(other) is None
        assert other not in cache


def test_the_clip_used_longest_ago_goes_first():
    cache = EncoderCache(2 * BYTES)
    cache.put(key("one"), OUTPUT)
    cache.put(key("two"), OUTPUT)
    cache.get(key("one"))
    cache.put(key("three"), OUTPUT)
    assert [clip for clip in ("one", "two", "three") if key(clip) in cache] == ["one", "three"]
    assert cache.nbytes == 2 * BYTES


def test_a_tenant_with_many_clips_pushes_out_its_own():
    cache = EncoderCache(4 * BYTES)
    cache.put(key("quiet", "music"), OUTPUT)
    for i in range(20):
        cache.put(key(f"clip{i}"), OUTPUT)
    assert key("quiet", "music") in cache
    assert cache.nbytes == 4 * BYTES


def test_what_is_larger_than_the_cache_is_not_kept():
    cache = EncoderCache(BYTES - 1)
    cache.put(key("one"), OUTPUT)
    assert key("one") not in cache
    assert cache.nbytes == 0
