"""The menu above the page, as a visitor with a mouse uses it."""

from playwright.sync_api import Page

from app.shell.navigation import PAGES

GROUPS = {page.title: page.group for page in PAGES}


def go_to(page: Page, title: str) -> None:
    """Choose a page by its title, in its group where it stands in one."""
    group = GROUPS.get(title, "")
    nav = page.get_by_test_id("stTopNav")
    if not group:
        nav.get_by_role("link", name=title, exact=True).click()
        return
    nav.get_by_role("button", name=group, exact=True).click()
    page.get_by_role("menuitem", name=title, exact=True).click()


def titles(page: Page) -> list[str]:
    """Those of all pages in the menu, in its order."""
    nav = page.get_by_test_id("stTopNav")
    nav.get_by_role("link").first.wait_for()
    found = nav.get_by_role("link").all_text_contents()
    for group in nav.get_by_role("button").all():
        group.click()
        items = page.get_by_test_id("stTopNavDropdownLink")
        items.first.wait_for()
        found += items.all_text_contents()
        page.keyboard.press("Escape")
        items.first.wait_for(state="detached")
    return found
