"""The report, as a reader uses it: in a real browser, by mouse, keys and on a phone."""

import pytest
import torch

from saccade.agents.report import write_report
from tests.browser import Browser, find_chromium
from tests.episodes import CLASSES, episodes


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report of 64 episodes of four glimpses; the second stopped after two."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    scenes, scanpath = episodes(64, stop=[4, 2] + [4] * 62)
    write_report(
        path,
        title="A run",
        config={"lr": 0.001},
        summary={"accuracy": {"learned": [0.4, 0.6, 0.7, 0.9], "random": [0.4] * 4}},
        metrics=[{"update": t, "accuracy": [0.1 * t] * 4} for t in range(1, 9)],
        scenes=scenes,
        scanpath=scanpath,
        labels=torch.arange(64) % 3,
        classes=CLASSES,
        without=scanpath.beliefs.flip(1),
    )
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_chromium()
    if program is None:
        pytest.skip("there is no chromium (on Debian: apt-get install chromium)")
    browser = Browser(program, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def shown(page, browser):
    """The report, just opened; whatever a test does with it must leave the console silent."""
    browser.open(page)
    yield browser
    assert browser.complaints == []


def count(browser):
    return browser.run("find('count').textContent")


def pixels(browser, canvas):
    return browser.run(f"find('{canvas}').toDataURL()")


def middle(browser, element):
    x, y, width, height = browser.run(
        f"(box => [box.x, box.y, box.width, box.height])({element}.getBoundingClientRect())"
    )
    return x + width / 2, y + height / 2


def test_loads_silently_and_asks_nobody_for_anything(shown):
    assert {address.split(":")[0] for address in shown.requests} <= {"file", "data"}
    assert shown.run("document.title") == "A run"
    assert count(shown) == "glimpse 4 of 4"
    assert shown.run("thumbs.children.length") == 64
    assert shown.run("[...document.images].every(image => image.naturalWidth > 0)")


def test_the_slider_moves_the_fixation(shown):
    shown.run("slider.focus()")
    seen = [(pixels(shown, "gaze"), pixels(shown, "seen"))]
    for glimpse in (3, 2, 1):
        shown.press("ArrowLeft")
        assert count(shown) == f"glimpse {glimpse} of 4"
        seen.append((pixels(shown, "gaze"), pixels(shown, "seen")))
    assert len({gaze for gaze, _ in seen}) == len({what for _, what in seen}) == 4
    shown.press("ArrowRight")
    assert (pixels(shown, "gaze"), pixels(shown, "seen")) == seen[2]
    shown.run("slider.value = 4; slider.dispatchEvent(new Event('input'))")
    assert (pixels(shown, "gaze"), pixels(shown, "seen")) == seen[0]


def test_the_gaze_is_drawn_where_it_was(shown):
    shown.run("show(1)")
    color = shown.run(
        "(([x, y]) => [...gaze.getContext('2d').getImageData((x * gaze.width / data.width) - 9,"
        "y * gaze.height / data.height, 1, 1).data].slice(0, 3))(episode.spots[0])"
    )
    wanted = shown.run("data.colors[0].match(/\\w\\w/g).map(part => parseInt(part, 16))")
    assert color == wanted


def test_keys_go_through_glimpses_and_episodes(shown):
    shown.press("ArrowLeft", "ArrowLeft")
    assert count(shown) == "glimpse 2 of 4"
    shown.press("n")
    assert count(shown) == "glimpse 2 of 2"
    assert shown.run("order.indexOf(episode)") == 1
    assert shown.run("thumbs.querySelector(':checked') === episode.input")
    shown.press("p", "p")
    assert shown.run("order.indexOf(episode)") == 63


def test_a_click_goes_to_a_fixation_or_an_episode(shown):
    shown.run("show(1)")
    box = shown.run("(box => [box.x, box.y, box.width])(gaze.getBoundingClientRect())")
    x, y = shown.run("episode.spots[2]")
    shown.click(box[0] + x * box[2] / 30, box[1] + y * box[2] / 30)
    assert count(shown) == "glimpse 3 of 4"
    shown.click(*middle(shown, "thumbs.children[1]"))
    assert count(shown) == "glimpse 2 of 2"
    x, y = middle(shown, "changes")
    for aside, glimpse in ((-60, 1), (60, 2)):
        shown.click(x + aside, y)
        assert count(shown) == f"glimpse {glimpse} of 2"


def test_scales_and_overlays_turn_on_and_off(shown):
    before = {name: pixels(shown, name) for name in ("gaze", "seen")}
    for key, changed in (("1", "gaze seen"), ("3", "gaze seen"), ("a", "gaze"), ("w", "gaze")):
        shown.press(key)
        for name in before:
            assert (pixels(shown, name) != before[name]) == (name in changed), (key, name)
        shown.press(key)
        assert {name: pixels(shown, name) for name in before} == before
    for name in ("earlier windows", "other episodes"):
        chip = f"[...find('chips').children].find(each => each.textContent === '{name}')"
        assert shown.run(f"{chip}.getAttribute('aria-pressed')") == "false"
        shown.run(f"{chip}.click()")
        assert shown.run(f"{chip}.getAttribute('aria-pressed')") == "true"
        assert pixels(shown, "gaze") != before["gaze"]
        shown.run(f"{chip}.click()")
    for key in "123":
        shown.press(key)
    unseen = shown.run("[...seen.getContext('2d').getImageData(5, 5, 1, 1).data].slice(0, 3)")
    assert unseen == [38, 43, 57]
    assert shown.run("new Set(seen.getContext('2d').getImageData(0, 0, 99, 99).data).size") == 4


def test_episodes_are_sorted_and_chosen(shown):
    certainty = "order.map(each => each.certainty)"
    everything = shown.run(certainty)
    for value, wanted in (("1", sorted(everything)), ("-1", sorted(everything)[::-1])):
        shown.run(f"find('sort').value = '{value}'; find('sort').onchange()")
        assert shown.run(certainty) == wanted
        first = "thumbs.firstChild.querySelector('input').getAttribute('aria-label')"
        assert f"{round(wanted[0] * 100)}% certain" in shown.run(first)
    right = shown.run("data.episodes.filter(each => each.right).length")
    labels = shown.run("[...find('filter').children].map(each => each.textContent)")
    assert labels == ["all 64", f"right {right}", f"wrong {64 - right}"]
    shown.run("find('filter').children[2].click()")
    shown.settle()
    assert shown.run("thumbs.children.length") == 64 - right
    assert shown.run("thumbs.querySelectorAll('span.right').length") == 0
    assert shown.run("find('said').className") == "wrong"


def test_a_class_tells_what_changed_its_belief(shown):
    said = shown.run("find('changed').textContent")
    final, left = shown.run("[episode.beliefs.at(-1)[0], episode.without.at(-1)[0]]")
    assert f"would be {left:.0%} instead of {final:.0%}" in said
    chart = pixels(shown, "changes")
    shown.run("bars.children[1].focus()")
    shown.press("Enter")
    name = shown.run("data.classes[episode.shown[1]]")
    assert shown.run("find('about').textContent").endswith(f"belief in {name}")
    assert shown.run("bars.children[1].getAttribute('aria-pressed')") == "true"
    assert pixels(shown, "changes") != chart


def test_plays_to_the_end_and_stops(shown):
    shown.run("show(3)")
    shown.press("k")
    assert shown.run("find('play').textContent") == "Pause"
    shown.run("new Promise(done => setTimeout(done, 1700)).then(() => 0)")
    assert count(shown) == "glimpse 4 of 4"
    assert shown.run("find('play').textContent") == "Play"


def test_everything_can_be_reached_by_keyboard(shown):
    reached = set()
    for _ in range(40):
        shown.call(
            "Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9
        )
        name = "(each => each.id || each.name || each.parentElement.id)(document.activeElement)"
        reached.add(shown.run(name))
        outline = shown.run(
            "(each => getComputedStyle(each.type === 'radio' ? each.parentElement : each)"
            ".outlineStyle)(document.activeElement)"
        )
        assert outline == "solid" or shown.run("document.activeElement === document.body")
    assert {"filter", "sort", "episode", "gaze", "play", "slider", "chips", "bars"} <= reached


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 390, 700, 1200, 1900])
def test_fits_any_screen_light_and_dark(page, browser, width, dark):
    browser.open(page, width=width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") == width
    for canvas in ("gaze", "seen", "changes"):
        box = browser.run(f"(box => [box.width, box.right])({canvas}.getBoundingClientRect())")
        assert box[0] > 130
        assert box[1] <= width
    paper, ink = (
        browser.run(f"getComputedStyle(document.body).{name}.match(/\\d+/g).map(Number)")
        for name in ("backgroundColor", "color")
    )
    assert (sum(paper) < sum(ink)) == dark
    assert browser.complaints == []
