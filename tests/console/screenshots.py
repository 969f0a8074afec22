"""The README's two pictures of the console, made anew by `make screenshots` from the shop that the tests fill.

They are small: a palette of few colours, which flat pages need no more of.
"""

from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright

from tests.console.visitor import Visitor
from tests.console.world import World

FOLDER = Path(__file__).parents[2] / "deploy" / "screenshots"
#: A picture's name, the page (with an id of the shop's), and how high the part of it is, in pixels.
PICTURES = (("overview", "/console", 720), ("batch", "/console/batches/{batch}", 720))
WIDTH = 1200
COLOURS = 64


def main() -> None:
    """Make them."""
    world = World.load()
    shop = world.customers["shop"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=world.chromium)
        for name, path, height in PICTURES:
            visitor = Visitor(world, browser, world.url, width=WIDTH, color_scheme="light")
            visitor.page.set_viewport_size({"width": WIDTH, "height": height})
            visitor.sign_in(shop.live_key)
            visitor.open(path.format(**shop.ids))
            expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
            png = visitor.page.screenshot()
            assert visitor.watch.unexpected() == [], visitor.watch.faults
            visitor.close()
            FOLDER.mkdir(exist_ok=True)
            (FOLDER / f"{name}.png").write_bytes(small := with_palette(png))
            print(f"{FOLDER / name}.png: {len(small)} bytes")
        browser.close()


def with_palette(png: bytes, colours: int = COLOURS) -> bytes:
    """The same picture in so many colours."""
    small = BytesIO()
    picture = Image.open(BytesIO(png)).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    picture.save(small, "PNG", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    main()
