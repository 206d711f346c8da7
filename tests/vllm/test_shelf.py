"""Places and files of adapters, whatever vLLM says; vLLM itself is not needed here."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from coat_ray.inference.adapter_files import AdapterFiles
from coat_ray.inference.requests import AdapterSource, Sampling
from coat_ray.inference.vllm.asking import Asker
from coat_ray.inference.vllm.base import Base
from coat_ray.inference.vllm.limits import VllmLimits
from coat_ray.inference.vllm.shelf import AdapterShelf
from coat_ray.model.backbones import outline_backbone
from coat_ray.model.block import BlockIds
from tests.inference.made import CONFIG

pytestmark = pytest.mark.usefixtures("vllm_names")


class Llm:
    """Takes and drops adapters; fails once where it is told to."""

    def __init__(self) -> None:
        self.fails = ""
        self.ended = False

    async def add_lora(self, lora) -> None:
        self._may_fail("add")

    async def remove_lora(self, number) -> None:
        self._may_fail("remove")

    async def collective_rpc(self, method, args) -> None:
        self._may_fail(method)

    def shutdown(self) -> None:
        self.ended = True

    def _may_fail(self, what: str) -> None:
        if self.fails == what:
            self.fails = ""
            raise RuntimeError(f"{what} failed")


@pytest.fixture(scope="module")
def outline():
    return outline_backbone(CONFIG)


@pytest.fixture
def shelf(outline, tmp_path, monkeypatch) -> AdapterShelf:
    """One with a single place, whose adapters are empty files."""

    def prepare(self, source, folder):
        folder.mkdir()
        (folder / "weights").write_text("")
        return AdapterFiles(None, {}, None)

    monkeypatch.setattr(AdapterShelf, "_prepare", prepare)
    return AdapterShelf(Llm(), outline, [BlockIds(1, 2, 3)], 8, tmp_path)


ONE, TWO = AdapterSource("one", None), AdapterSource("two", None)


def test_who_waits_for_a_place_does_not_stop_those_that_need_none(shelf) -> None:
    async def ask() -> None:
        held = await shelf.acquire(ONE)
        waiting = asyncio.ensure_future(shelf.acquire(TWO))
        await asyncio.sleep(0.05)
        again = await asyncio.wait_for(shelf.acquire(ONE), 5)
        assert again is held
        assert again.users == 2
        for _ in range(2):
            shelf.release(held)
        assert (await asyncio.wait_for(waiting, 5)).users == 1
        assert shelf.keys == ("two",)

    asyncio.run(ask())


def test_an_adapter_that_vllm_does_not_take_leaves_no_files_and_a_free_place(shelf, tmp_path) -> None:
    async def ask() -> None:
        shelf._llm.fails = "add"
        with pytest.raises(RuntimeError, match="add failed"):
            await shelf.acquire(ONE)
        assert list(tmp_path.iterdir()) == []
        await asyncio.wait_for(shelf.acquire(TWO), 5)

    asyncio.run(ask())


def test_an_adapter_that_vllm_does_not_drop_gives_its_place_back(shelf, tmp_path) -> None:
    async def ask() -> None:
        shelf.release(await shelf.acquire(ONE))
        shelf._llm.fails = "remove"
        with pytest.raises(RuntimeError, match="remove failed"):
            await shelf.acquire(TWO)
        assert list(tmp_path.iterdir()) == []
        await asyncio.wait_for(shelf.acquire(TWO), 5)

    asyncio.run(ask())


def test_vllm_ends_where_the_block_cannot_be_settled(vllm_names, outline, monkeypatch) -> None:
    llm = Llm()
    llm.fails = "settle_block"
    vllm_names("vllm.v1.engine.async_llm", AsyncLLM=SimpleNamespace(from_engine_args=lambda arguments: llm))
    base = Base(CONFIG, VllmLimits(), outline, None, merged=False, block=False, places=[])
    with pytest.raises(RuntimeError, match="settle_block failed"):
        asyncio.run(base.open())
    assert llm.ended


@pytest.mark.parametrize("ignored", [False, True])
def test_the_end_of_the_turn_ends_an_answer_unless_it_is_ignored(outline, ignored) -> None:
    params = Asker(None, outline.front)._params(Sampling(ignore_end=ignored), 4)
    assert params.stop_token_ids == ([] if ignored else [outline.front.end_of_turn_id])
