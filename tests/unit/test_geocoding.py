"""Where places are: coordinates however they are written, and geocoders over HTTP that are asked politely."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from bots.domain.places import Place, Point
from bots.framework.http import HttpClient
from bots.routing.base import Geocoder, RoutingError
from bots.routing.geocoding import Coordinates, First, Pace, place_at
from bots.routing.nominatim import Nominatim
from bots.routing.photon import Photon
from bots.routing.settings import GeocoderSettings

HERE = Point(52.52, 13.405)
AGENT = "Rialto of the tests (ops@example.org)"
# As Nominatim's jsonv2 is documented: numbers are text.
SEARCH: list[dict[str, Any]] = [
    {
        "place_id": 100149,
        "licence": "Data © OpenStreetMap contributors, ODbL 1.0. http://osm.org/copyright",
        "osm_type": "node",
        "osm_id": "107775",
        "boundingbox": ["51.3473219", "51.6673219", "-0.2876474", "0.0323526"],
        "lat": "51.5073219",
        "lon": "-0.1276474",
        "display_name": "London, Greater London, England, SW1A 2DU, United Kingdom",
        "category": "place",
        "type": "city",
    },
    {"lat": "42.988576", "lon": "-81.246643", "display_name": "London, Ontario, Canada"},
]
REVERSE = {"place_id": 1, "lat": "52.5200066", "lon": "13.404954", "display_name": "Rathausstraße 1, 10178 Berlin"}
NOTHING = {"error": "Unable to geocode"}
# As Photon answers.
PHOTON = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [-0.0998967, 51.5001944]},
            "properties": {
                "osm_type": "W",
                "osm_id": 31765736,
                "name": "Belvedere Buildings",
                "street": "Borough Road",
                "housenumber": "7",
                "postcode": "SE1 0DQ",
                "city": "London",
                "country": "United Kingdom",
                "extent": [-0.1002233, 51.5004093, -0.099547, 51.5000175],
            },
        }
    ],
}


@dataclass
class Service:
    url: str = ""
    asked: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    says: Any = None
    status: int = 200

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, dict(request.query), request.headers.get("User-Agent", "")))
        text = self.says if isinstance(self.says, str) else json.dumps(self.says)
        return web.Response(status=self.status, text=text, content_type="application/json")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async def at_once(_seconds: float) -> None: ...

    client = HttpClient(attempts=2, sleep=at_once, jitter=lambda: 0.0)
    await client.start()
    yield client
    await client.stop()


def nominatim(http: HttpClient, service: Service) -> Nominatim:
    return Nominatim(http, service.url, user_agent=AGENT, per_second=1000)


# Coordinates


@pytest.mark.parametrize(
    ("said", "latitude", "longitude"),
    [
        ("52.52, 13.405", 52.52, 13.405),
        (" 52.52 13.405 ", 52.52, 13.405),
        ("geo:52.52,13.405", 52.52, 13.405),
        ("52.52° N, 13.405° E", 52.52, 13.405),
        ("33.87 S 151.21 E", -33.87, 151.21),
        ("90, 180", 90, 180),
        ("-90,-180", -90, -180),
        ("151.21, -33.87", -33.87, 151.21),  # a latitude of 151 cannot be
    ],
)
async def test_coordinates_however_they_are_written(said: str, latitude: float, longitude: float) -> None:
    (place,) = await Coordinates().find(said)
    assert place.point == Point(latitude, longitude)


@pytest.mark.parametrize(
    "said", ["", "Alexanderplatz", "91, 181", "52.52", "52,52,13,4", "200 200", "nan, nan", "1e3, 2"]
)
async def test_what_is_no_coordinate_is_no_place(said: str) -> None:
    assert await Coordinates().find(said) == ()
    assert await Coordinates().name(HERE) is None


async def test_swapped_coordinates_are_noticed_where_somebody_is() -> None:
    swapped = await Coordinates().find("13.41, 52.53", near=HERE)
    assert [each.point for each in swapped] == [Point(52.53, 13.41), Point(13.41, 52.53)]
    # Without knowing where they are, or when both are far, it is taken as it is written.
    assert [each.point for each in await Coordinates().find("13.41, 52.53")] == [Point(13.41, 52.53)]
    assert [each.point for each in await Coordinates().find("13.41, 52.53", near=Point(0, 0))] == [Point(13.41, 52.53)]
    assert [each.point for each in await Coordinates().find("52.53, 13.41", near=HERE)] == [Point(52.53, 13.41)]
    # With letters there is no doubt.
    assert [each.point for each in await Coordinates().find("13.41 N, 52.53 E", near=HERE)] == [Point(13.41, 52.53)]


def test_texts_of_others_are_made_fit() -> None:
    assert place_at(HERE, "a\nb\u202e  c\x00") == Place("a b c", HERE)
    assert place_at(HERE, "  ").text == "52.52, 13.405"
    assert len(place_at(HERE, "x" * 2000).text) == 500


# Over HTTP


async def test_nominatim_finds_places(service: Service, http: HttpClient) -> None:
    service.says = SEARCH
    found = await nominatim(http, service).find("  London\n ", near=HERE, limit=2, language="de")
    assert [each.text for each in found] == [each["display_name"] for each in SEARCH]
    assert found[0].point == Point(51.5073219, -0.1276474)
    path, query, agent = service.asked[0]
    assert path == "/search" and agent == AGENT
    assert query == {
        "q": "London",
        "format": "jsonv2",
        "limit": "2",
        "accept-language": "de",
        "viewbox": "12.9,52.0,13.9,53.0",
    }


async def test_nominatim_names_a_place(service: Service, http: HttpClient) -> None:
    service.says = REVERSE
    assert await nominatim(http, service).name(HERE, language="fr") == Place("Rathausstraße 1, 10178 Berlin", HERE)
    path, query, _ = service.asked[0]
    assert path == "/reverse" and query["lat"] == "52.520000" and query["accept-language"] == "fr"
    service.says = NOTHING
    assert await nominatim(http, service).name(Point(0, 0)) is None
    service.says = []
    assert await nominatim(http, service).find("nowhere") == ()


async def test_photon_finds_and_names_places(service: Service, http: HttpClient) -> None:
    service.says = PHOTON
    photon = Photon(http, service.url, user_agent=AGENT, per_second=1000)
    (found,) = await photon.find("belvedere", near=HERE, language="de-AT")
    text = "Belvedere Buildings, Borough Road 7, SE1 0DQ London, United Kingdom"
    assert found == Place(text, Point(51.5001944, -0.0998967))
    path, query, agent = service.asked[0]
    assert path == "/api" and agent == AGENT
    assert query == {"q": "belvedere", "limit": "5", "lang": "de", "lat": "52.5", "lon": "13.4"}
    assert await photon.name(HERE, language="ar") == Place(text, HERE)
    assert service.asked[1][0] == "/reverse" and "lang" not in service.asked[1][1]
    service.says = {"features": []}
    assert await photon.find("nowhere") == () and await photon.name(Point(1, 1)) is None


async def test_the_same_is_not_asked_twice(service: Service, http: HttpClient) -> None:
    service.says = SEARCH
    geocoder = nominatim(http, service)
    one = await geocoder.find("London", near=Point(52.52, 13.41))
    assert await geocoder.find("London", near=Point(52.53, 13.42)) == one and len(service.asked) == 1
    await geocoder.find("London", language="de", near=Point(52.52, 13.41))
    assert len(service.asked) == 2


@pytest.mark.parametrize(
    "said", ["<html>", {"features": [{}]}, [{"lat": "x"}], [1], 7, [{"lat": "91", "lon": "0", "display_name": "x"}]]
)
async def test_an_answer_that_makes_no_sense_is_none(service: Service, http: HttpClient, said: Any) -> None:
    service.says = said
    geocoders: list[Geocoder] = [nominatim(http, service), Photon(http, service.url, user_agent=AGENT, per_second=1000)]
    for each in geocoders:
        for ask in (each.find("x"), each.name(HERE)):
            with pytest.raises(RoutingError) as failed:
                await ask
            assert failed.value.code == "geocoder.unavailable"


async def test_a_geocoder_that_is_down_is_not_available(service: Service, http: HttpClient) -> None:
    service.status, service.says = 429, {}
    with pytest.raises(RoutingError):
        await nominatim(http, service).find("x")
    service.status, service.says = 200, SEARCH
    assert await nominatim(http, service).find("x")  # a failure is not remembered


async def test_what_cannot_be_an_address_is_not_asked(service: Service, http: HttpClient) -> None:
    geocoder = nominatim(http, service)
    assert await geocoder.find(" \n ") == () and await geocoder.find("x" * 201) == ()
    assert service.asked == []


async def test_one_request_a_second_and_nobody_waits_for_ever() -> None:
    now, slept = 100.0, []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))

    pace = Pace(1.0, patience=2.5, clock=lambda: now, sleep=sleep)
    await asyncio.gather(*(pace.turn() for _ in range(3)))
    assert slept == [1.0, 2.0]
    with pytest.raises(RoutingError):
        await pace.turn()
    now = 103.0
    await pace.turn()
    assert slept == [1.0, 2.0]


async def test_coordinates_never_leave_the_house(service: Service, http: HttpClient) -> None:
    service.says = SEARCH
    settings = GeocoderSettings.model_validate({"kind": "nominatim", "url": service.url, "user_agent": AGENT})
    geocoder = settings.make(http)
    assert isinstance(geocoder, First) and geocoder.source == "coordinates+nominatim"
    assert (await geocoder.find("52.52, 13.405"))[0].point == HERE
    assert service.asked == []
    assert len(await geocoder.find("London")) == 2
    photon = GeocoderSettings.model_validate(
        {"kind": "photon", "url": service.url, "user_agent": AGENT, "per_second": 9}
    )
    assert photon.make(http).source == "coordinates+photon"
    assert isinstance(GeocoderSettings().make(None), Coordinates)
    with pytest.raises(ValueError, match="client"):
        settings.make(None)
    service.says = REVERSE
    assert await geocoder.name(HERE) == Place("Rathausstraße 1, 10178 Berlin", HERE)
