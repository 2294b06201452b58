"""The maps that are drawn here: where things lie on them, at the edges of the earth too."""

from __future__ import annotations

import math
from io import BytesIO
from xml.etree import ElementTree

import pytest
from PIL import Image

from bots.domain.places import EARTH_M, Circle, Point, Polygon, distance_m
from bots.rides.pages.map import (
    EDGE,
    Area,
    Drawing,
    Line,
    Sign,
    Spot,
    Tiles,
    View,
    corners,
    fit,
    png,
    scale_bar,
    svg,
)

CENTRE, STATION = Point(52.52, 13.405), Point(52.525, 13.369)
SVG = "{http://www.w3.org/2000/svg}"


def trip() -> Drawing:
    """A car on its way."""
    spots = [Spot(CENTRE, Sign.PICKUP, "A"), Spot(STATION, Sign.DROPOFF, "B"), Spot(CENTRE, Sign.CAR, heading=90)]
    return Drawing("A car on its way", spots, [Line([CENTRE, STATION])])


def inside(view: View, point: Point) -> bool:
    x, y = view.place(point)
    return 0 <= x <= view.width and 0 <= y <= view.height


@pytest.mark.parametrize(
    "points",
    [
        [CENTRE, STATION],
        [CENTRE],
        [CENTRE, CENTRE],
        [Point(0.01, 179.98), Point(-0.01, -179.97)],
        [Point(90.0, 0.0), Point(-90.0, 0.0)],
        [Point(52.5, 13.4), Point(-33.9, 151.2)],
        [],
    ],
    ids=["city", "one", "same", "date line", "poles", "continents", "nothing"],
)
def test_everything_is_on_the_picture(points: list[Point]) -> None:
    view = fit(points, 800, 480)
    assert all(inside(view, point) for point in points)
    assert math.isfinite(view.scale)
    Image.open(BytesIO(png(Drawing("–", [Spot(point, Sign.FREE) for point in points]), view))).verify()


def test_north_is_up_and_east_is_right() -> None:
    view = fit([CENTRE, STATION], 800, 480)
    (x, y), (further_x, further_y) = view.place(CENTRE), view.place(STATION)
    assert further_x < x
    assert further_y < y


def test_across_the_date_line_is_near() -> None:
    """Two places three kilometres apart are not drawn at two ends of the earth."""
    one, other = Point(0.0, 179.99), Point(0.0, -179.98)
    view = fit([one, other], 600, 600)
    (x, y), (further_x, further_y) = view.place(one), view.place(other)
    assert x < further_x
    metres = math.hypot(further_x - x, further_y - y) * view.metres_a_pixel
    assert metres == pytest.approx(distance_m(one, other), rel=0.01)


@pytest.mark.parametrize("latitude", [0.0, 52.5, -75.0])
def test_the_scale_bar_tells_the_truth(latitude: float) -> None:
    """So many pixels are so many metres on the earth."""
    one = Point(latitude, 10.0)
    other = Point(latitude, 10.02)
    view = fit([one, other], 900, 500)
    pixels, text = scale_bar(view)
    number, unit = text.split()
    metres = float(number) * (1000 if unit == "km" else 1)
    apart = view.place(other)[0] - view.place(one)[0]
    assert metres == pytest.approx(pixels / apart * distance_m(one, other), rel=0.01)
    assert 20 < pixels <= 225


def test_a_single_place_is_not_magnified_without_end() -> None:
    view = fit([CENTRE], 400, 400)
    assert view.metres_a_pixel * 400 == pytest.approx(400, rel=0.01)


def test_a_circle_has_its_radius_everywhere() -> None:
    for centre in (CENTRE, Point(0.0, 179.999), Point(89.9, 0.0)):
        for point in corners(Circle(centre, 5000)):
            assert distance_m(centre, point) == pytest.approx(5000, rel=0.001)


def test_what_people_write_is_escaped() -> None:
    drawing = Drawing('"><script>', [Spot(CENTRE, Sign.STOP, "<b>", "<script>alert(1)</script>")])
    drawn = svg(drawing, fit([CENTRE], 300, 200))
    root = ElementTree.fromstring(drawn)
    assert root.attrib["aria-label"] == '"><script>'
    assert [each.text for each in root.iter(f"{SVG}title")] == ["<script>alert(1)</script>"]
    assert not list(root.iter(f"{SVG}script"))
    assert not list(root.iter("script"))


def test_nobody_else_is_asked_for_anything() -> None:
    drawn = svg(trip(), fit(trip().points(), 800, 480))
    assert "href" not in drawn
    assert drawn.count("http") == 1  # the name of the format


def test_tiles_lie_where_they_belong() -> None:
    """Each corner of the picture is covered, and a tile's corner is where the projection has it."""
    view = fit([CENTRE, STATION], 800, 480, tiled=True)
    assert view.scale == 256 * 2.0**view.zoom
    tiles = Tiles("https://tiles.example/{z}/{x}/{y}.png?a=1&b=2", "© People")
    assert tiles.origin == "https://tiles.example"
    root = ElementTree.fromstring(svg(trip(), view, tiles))
    boxes = [(float(each.attrib["x"]), float(each.attrib["y"])) for each in root.iter(f"{SVG}image")]
    assert min(x for x, _ in boxes) <= 0
    assert min(y for _, y in boxes) <= 0
    assert max(x for x, _ in boxes) + 256 >= 800
    assert max(y for _, y in boxes) + 256 >= 480
    one = next(each for each in root.iter(f"{SVG}image"))
    zoom, x, y = (
        int(part) for part in one.attrib["href"].removeprefix(f"{tiles.origin}/").partition(".")[0].split("/")
    )
    west = x / 2**zoom * 360 - 180
    north = math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * y / 2**zoom))))
    corner = view.place(Point(north, west))
    assert corner == pytest.approx((float(one.attrib["x"]), float(one.attrib["y"])), abs=0.1)
    assert "© People" in "".join(root.itertext())


def test_tiles_stay_on_the_earth() -> None:
    """At the pole there are no rows of tiles that do not exist, and at the date line columns begin anew."""
    view = fit([Point(90.0, 179.9), Point(60.0, -179.9)], 600, 600, tiled=True)
    root = ElementTree.fromstring(svg(Drawing("–"), view, Tiles("https://t.example/{z}/{x}/{y}", "–")))
    for each in root.iter(f"{SVG}image"):
        zoom, x, y = (int(part) for part in each.attrib["href"].rsplit("/", 3)[1:])
        assert 0 <= x < 2**zoom
        assert 0 <= y < 2**zoom


def test_a_long_way_is_short_to_send() -> None:
    """100,000 points within a street are not sent to a browser."""
    points = [Point(52.52 + number * 1e-8, 13.4) for number in range(100_000)]
    drawn = svg(Drawing("–", lines=[Line(points)]), fit([CENTRE, STATION], 800, 480))
    assert len(drawn) < 5000


def test_the_png_shows_what_the_view_says() -> None:
    """Where the car is drawn, its colour is; where nothing is, the background."""
    drawing = Drawing("–", [Spot(CENTRE, Sign.FREE)], areas=[Area(Polygon((CENTRE, STATION, Point(52.53, 13.41))))])
    view = fit(drawing.points(), 640, 360)
    image = Image.open(BytesIO(png(drawing, view)))
    assert image.size == (640, 360)
    x, y = view.place(CENTRE)
    assert image.getpixel((round(x), round(y))) == (21, 128, 61)
    assert image.getpixel((639, 0)) != (21, 128, 61)


def test_the_same_map_is_the_same_picture() -> None:
    view = fit(trip().points(), 320, 200)
    assert png(trip(), view) == png(trip(), view)
    assert svg(trip(), view) == svg(trip(), view)


def test_the_projection_ends_where_it_is_square() -> None:
    view = View(256, 256, 256.0, 0.0, 0.0, 0.0)
    assert view.place(Point(EDGE, -180.0)) == pytest.approx((0, 0), abs=1e-6)
    assert view.place(Point(-90.0, 180.0)) == pytest.approx((256, 256), abs=1e-6)
    assert view.metres_a_pixel == pytest.approx(2 * math.pi * EARTH_M / 256)
