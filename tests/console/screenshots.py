"""The README's two pictures of the console, made anew by `make screenshots` from the shop that the tests fill.

They are small: a palette of few colours, which flat pages need no more of. The shop's work is of today; so that charts
have something to show, days before it are given the usage of today's models in other amounts, on this stack alone.
"""

from datetime import date, timedelta
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import expect, sync_playwright
from sqlalchemy import Connection, insert, select, update

from shared.db.models import daily_usage, monthly_spend
from tests.console.visitor import Visitor
from tests.console.world import World

FOLDER = Path(__file__).parents[2] / "deploy" / "screenshots"
#: A picture's name, the page (with an id of the shop's), and how high the part of it is, in pixels.
PICTURES = (("overview", "/console", 720), ("batch", "/console/batches/{batch}", 720))
WIDTH = 1200
COLOURS = 64
#: For each day before today, and for each model of a day, in turn: how many times today's usage.
DAYS = (3, 4, 5, 2, 1, 4, 6, 5, 6, 3, 2, 5, 7, 6, 8, 4, 2, 6, 7, 9, 7, 3, 2, 8, 7, 9, 8, 4)
MODELS = (7, 11, 5, 9, 13)
#: Of a model that makes images, which cost more than all else.
IMAGES = 1


def main() -> None:
    """Make them."""
    world = World.load()
    shop = world.customers["shop"]
    world.write(add_days, shop.id)
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


def add_days(connection: Connection, account_id: str) -> None:
    """Give the account a past."""
    own = select(daily_usage).where(daily_usage.c.account_id == account_id)
    today = [dict(row) for row in connection.execute(own).mappings()]
    month, spent = today[0]["day"][:7], 0
    for back, times in enumerate(DAYS[::-1], start=1):
        for turn, row in enumerate(today):
            factor = times * (IMAGES if row["images"] else MODELS[(turn + back) % len(MODELS)])
            day = str(date.fromisoformat(row["day"]) - timedelta(days=back))
            sums = {name: value * factor for name, value in row.items() if type(value) is int}
            spent += sums["charged_micros"] if day.startswith(month) else 0
            connection.execute(insert(daily_usage).values({**row, **sums, "day": day}))
    this_month = (monthly_spend.c.account_id == account_id, monthly_spend.c.month == month)
    more = monthly_spend.c.spent_micros + spent
    connection.execute(update(monthly_spend).where(*this_month).values(spent_micros=more))


def with_palette(png: bytes, colours: int = COLOURS) -> bytes:
    """The same picture in so many colours."""
    small = BytesIO()
    picture = Image.open(BytesIO(png)).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    picture.save(small, "PNG", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    main()
