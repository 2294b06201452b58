"""Media: bounded, named when wrong, with thumbnail and BlurHash, and repeatable; a real HTTP server stands for the
homeserver's media repository.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image

from appservice.e2ee import attachments
from appservice.homeserver import Homeserver, HomeserverError
from appservice.media import Media, MediaChanged, MediaError, MediaMissing, MediaTooLarge, Memory
from bots.framework import content

BOT = "@bot:x.example"
LIMIT = 200_000


class Repository:
    """Keeps what is uploaded, by its address."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.asked: list[str] = []
        self.status = 200
        self.hold: asyncio.Event | None = None
        self.arrived = asyncio.Queue[str]()

    async def upload(self, request: web.Request) -> web.Response:
        data = await request.read()
        self.asked.append("upload")
        if self.status != 200:
            return web.json_response({"errcode": "M_X"}, status=self.status)
        name = f"m{len(self.files)}"
        self.files[name] = data
        self.types[name] = request.headers["Content-Type"]
        return web.json_response({"content_uri": f"mxc://x.example/{name}"})

    async def download(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self.asked.append(name)
        self.arrived.put_nowait(name)
        if self.hold is not None:
            await self.hold.wait()
        if self.status != 200:
            return web.json_response({"errcode": "M_X"}, status=self.status)
        if name not in self.files:
            return web.json_response({"errcode": "M_NOT_FOUND"}, status=404)
        return web.Response(body=self.files[name])


@pytest.fixture
def repository() -> Repository:
    return Repository()


@pytest.fixture
async def homeserver(repository: Repository) -> AsyncIterator[Homeserver]:
    app = web.Application(client_max_size=2 * LIMIT)
    app.router.add_post("/_matrix/media/v3/upload", repository.upload)
    app.router.add_get("/_matrix/client/v1/media/download/{server}/{name}", repository.download)
    server = TestServer(app)
    await server.start_server()
    client = Homeserver(str(server.make_url("/")), "token", timeout=20)
    await client.start()
    yield client
    await client.stop()
    await server.close()


@pytest.fixture
def media(homeserver: Homeserver) -> Media:
    return Media(homeserver, LIMIT, 4 * LIMIT)


def picture(width: int, height: int, kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    written = BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert(mode).save(written, kind, **options)
    return written.getvalue()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("size", [0, 1, 1000, LIMIT])
async def test_what_is_stored_comes_back(media: Media, repository: Repository, encrypted: bool, size: int) -> None:
    data = random.Random(size).randbytes(size)
    stored = await media.upload_file(BOT, data, "text/plain", encrypted=encrypted)
    assert stored["info"] == {"mimetype": "text/plain", "size": size}
    assert ("file" in stored, "url" in stored) == (encrypted, not encrypted)
    assert repository.types["m0"] == ("application/octet-stream" if encrypted else "text/plain")
    if encrypted and size > 20:
        assert repository.files["m0"] != data
    assert await media.download(BOT, stored) == data
    assert media.memory.free == 4 * LIMIT


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_picture_brings_its_thumbnail(media: Media, repository: Repository, encrypted: bool) -> None:
    stored = await media.upload_image(BOT, picture(1600, 900, "JPEG", quality=95), encrypted=encrypted)
    message = content.image(stored, "gradient.jpg")
    info = message["info"]
    assert (info["mimetype"], info["w"], info["h"], len(info["xyz.amorgan.blurhash"])) == ("image/jpeg", 1600, 900, 28)
    small = info["thumbnail_info"]
    assert (small["mimetype"], small["w"], small["h"]) == ("image/jpeg", 800, 450)
    thumbnail = {"file": info["thumbnail_file"]} if encrypted else {"url": info["thumbnail_url"]}
    data = await media.download(BOT, thumbnail)
    assert len(data) == small["size"]
    with Image.open(BytesIO(data)) as image:
        assert image.size == (800, 450)
    assert len(repository.files) == 2
    assert ("url" in message, "thumbnail_url" in info) == (not encrypted, not encrypted)


async def test_what_is_no_picture_is_not_stored(media: Media, repository: Repository) -> None:
    with pytest.raises(MediaError):
        await media.upload_image(BOT, b"GIF89a but not really", encrypted=True)
    with pytest.raises(MediaError):
        await media.upload_audio(BOT, b"words", encrypted=True)
    assert repository.asked == []


async def test_too_large_is_said_before_anything_is_sent(media: Media, repository: Repository) -> None:
    for store in (media.upload_file, media.upload_image, media.upload_audio):
        with pytest.raises(MediaTooLarge, match="195 kB") as refused:
            await store(BOT, bytes(LIMIT + 1), encrypted=False)
        assert (refused.value.code, refused.value.fields) == ("media_too_large", {"limit": LIMIT})
    assert repository.asked == []


async def test_what_the_homeserver_finds_too_large(media: Media, repository: Repository) -> None:
    repository.status = 413
    with pytest.raises(MediaTooLarge, match="the homeserver takes"):
        await media.upload_file(BOT, b"data", encrypted=False)


async def test_downloads_have_a_limit_each(media: Media, repository: Repository) -> None:
    repository.files["a"] = bytes(5000)
    assert len(await media.download(BOT, {"url": "mxc://x.example/a"}, limit=5000)) == 5000
    with pytest.raises(MediaTooLarge):
        await media.download(BOT, {"url": "mxc://x.example/a"}, limit=4999)
    repository.files["b"] = bytes(LIMIT + 1)
    with pytest.raises(MediaTooLarge):
        await media.download(BOT, {"url": "mxc://x.example/b"}, limit=10 * LIMIT)
    assert media.memory.free == 4 * LIMIT


@pytest.mark.parametrize("said", [0, 10, 49_999, 50_000, 10**12, -1, "x", True])
async def test_a_size_that_is_wrong_costs_at_most_one_more_request(
    media: Media, repository: Repository, said: Any
) -> None:
    repository.files["a"] = bytes(50_000)
    got = await media.download(BOT, {"url": "mxc://x.example/a", "info": {"size": said}})
    assert len(got) == 50_000
    assert len(repository.asked) <= 2


async def test_missing_is_not_the_same_as_unwilling(media: Media, repository: Repository) -> None:
    with pytest.raises(MediaMissing) as missing:
        await media.download(BOT, {"url": "mxc://x.example/none"})
    assert missing.value.code == "media_missing"
    repository.status = 503
    with pytest.raises(HomeserverError) as unwilling:
        await media.download(BOT, {"url": "mxc://x.example/none"})
    assert unwilling.value.temporary
    with pytest.raises(HomeserverError):
        await media.upload_file(BOT, b"", encrypted=False)


async def test_bytes_of_another_hash_are_refused(media: Media, repository: Repository) -> None:
    stored = await media.upload_file(BOT, b"pay 5 to bob", encrypted=True)
    repository.files["m0"] = b"pay 9" + repository.files["m0"][5:]
    with pytest.raises(MediaChanged, match="hash does not match"):
        await media.download(BOT, stored)
    with pytest.raises(MediaChanged):
        await media.download(BOT, {"file": {**stored["file"], "v": "v9"}})


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"url": 7},
        {"url": "https://x.example/a"},
        {"url": "http://127.0.0.1/a"},
        {"url": "file:///etc/passwd"},
        {"url": "mxc://x.example/../a"},
        {"url": "mxc://../a"},
        {"url": "mxc://x.example/a?b"},
        {"url": "mxc://x.example/a\n"},
        {"url": "mxc:///a"},
        {"url": "mxc://x.example/a", "file": {"url": "https://x.example/a"}},
    ],
    ids=str,
)
async def test_nothing_but_mxc_is_followed(media: Media, repository: Repository, made: dict[str, Any]) -> None:
    with pytest.raises(MediaError, match="mxc"):
        await media.download(BOT, made)
    assert repository.asked == []


async def test_downloads_wait_their_turn(media: Media, repository: Repository) -> None:
    repository.hold = asyncio.Event()
    repository.files |= {name: bytes(10) for name in "abcd"}
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = [group.create_task(media.download(BOT, {"url": f"mxc://x.example/{name}"})) for name in "abcd"]
        first = {await repository.arrived.get(), await repository.arrived.get()}
        assert media.memory.waiting == 2  # each may become LIMIT bytes, twice; there is room for two such
        assert media.memory.free == 0
        assert repository.arrived.empty()
        assert len(first) == 2
        repository.hold.set()
    assert [await task for task in tasks] == [bytes(10)] * 4
    assert media.memory.free == 4 * LIMIT


async def test_what_says_its_size_waits_for_no_more_than_that(media: Media, repository: Repository) -> None:
    repository.hold = asyncio.Event()
    repository.files |= {str(name): bytes(10) for name in range(8)}
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for name in range(8):
            group.create_task(media.download(BOT, {"url": f"mxc://x.example/{name}", "info": {"size": 10}}))
        for _ in range(8):
            await repository.arrived.get()
        assert media.memory.waiting == 0
        repository.hold.set()


async def test_the_memory_is_first_come_first_served() -> None:
    memory = Memory(10)
    order: list[str] = []

    async def taker(name: str, wanted: int, leave: asyncio.Event) -> None:
        async with memory.take(wanted):
            order.append(name)
            await leave.wait()

    leave = {name: asyncio.Event() for name in "abcd"}
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        for name, wanted in [("a", 6), ("b", 8), ("c", 1), ("d", 100)]:
            group.create_task(taker(name, wanted, leave[name]))
        await until(lambda: memory.waiting == 3)
        assert order == ["a"]  # there is room for c, but b was first
        leave["a"].set()
        await until(lambda: order == ["a", "b", "c"])
        leave["b"].set()
        leave["c"].set()
        await until(lambda: "d" in order)  # more than there is: all of it
        assert memory.free == 0
        leave["d"].set()
    assert memory.free == 10


async def test_who_gives_up_waiting_leaves_no_hole() -> None:
    memory = Memory(10)
    leave = asyncio.Event()
    order: list[str] = []

    async def taker(name: str, wanted: int) -> None:
        async with memory.take(wanted):
            order.append(name)
            await leave.wait()

    first = asyncio.create_task(taker("a", 9))
    second = asyncio.create_task(taker("b", 9))
    third = asyncio.create_task(taker("c", 1))
    await until(lambda: memory.waiting == 2)
    second.cancel()
    await until(lambda: order == ["a", "c"])
    first.cancel()
    await asyncio.wait([first, second])
    # Its turn comes and it is cancelled in the same moment: what it was given goes to the next.
    fourth = asyncio.create_task(taker("d", 10))
    await until(lambda: memory.waiting == 1)
    leave.set()
    await third
    fourth.cancel()
    await asyncio.wait([fourth])
    assert (memory.free, memory.waiting) == (10, 0)
    async with memory.take(10):
        assert memory.free == 0


async def test_a_memory_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        Memory(0)


async def test_a_large_file_is_encrypted_beside_the_event_loop(homeserver: Homeserver, repository: Repository) -> None:
    media = Media(homeserver, LIMIT, 1024)  # less memory than the file: it goes alone
    data = bytes(LIMIT)
    stored = await media.upload(BOT, data, "nonsense\r\nX: y", encrypted=True)
    assert attachments.decrypt(stored.content["file"], repository.files["m0"]) == data
    assert await media.download(BOT, stored.content) == data
