"""Pages in a real Chromium: they are drawn without complaint, zoom, sort and filter, and show the numbers of ``--json``."""

import json
from importlib.util import find_spec

import pytest

from tests.browser import CHROMIUM, DRIVER, browser, opened

pytestmark = [pytest.mark.browser,
              pytest.mark.skipif(find_spec("selenium") is None, reason="needs selenium"),
              pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian: chromium-driver)")]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """(page, report) of the demo."""
    return made("demo", tmp_path_factory.mktemp("pages"))


def made(scenario, out):
    from sim.engines.spec import EngineSpec
    from sim.report.views import Views
    from sim.runs.prepare import prepare
    from sim.runs.run import run

    prepared = prepare(scenario)
    views = Views(prepared, html=True)
    result = views.write(run(prepared, engine=EngineSpec(prepared.run.config).make(), watch=views.timeline), out)
    return result.files["page"], json.loads(json.dumps(result.to_json()))


def cells(driver, host):
    return driver.execute_script("""
        return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)]
            .map(row => [...row.cells].map(cell => cell.textContent))""", host)


def complaints(driver):
    return [entry for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


@pytest.mark.parametrize("width, dark", [(1400, False), (400, True)])
def test_a_page_is_drawn(demo, width, dark):
    path, report = demo
    with browser(width=width, dark=dark) as driver:
        opened(driver, path)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        for chart in ("timeline", "stacks", "distribution", "locks", "words"):
            assert driver.execute_script("return document.querySelectorAll(`#${arguments[0]} svg path`).length", chart), chart
        paper = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") is not dark
        assert complaints(driver) == []


def test_it_zooms_sorts_and_filters_and_shows_the_numbers_of_the_report(demo):
    path, report = demo
    with browser() as driver:
        opened(driver, path)
        calls = {call["id"]: call for call in report["calls"]}
        heads = driver.execute_script("return [...document.querySelectorAll('#calls th')].map(head => head.textContent)")
        latency = heads.index("latency")
        rows = cells(driver, "calls")
        assert {row[0]: row[latency] for row in rows} == {name: str(call["latency"]) for name, call in calls.items()}
        assert {row[0]: row[heads.index("at")] for row in rows} == {
            name: str(call["stages"]["call"]) for name, call in calls.items()}
        for name, count in report["messages"].items():
            assert driver.find_element("css selector", f"[data-name=messages-{name}] b").text == str(count)
        # The stacks add up to the latencies.
        sums = driver.execute_script("""
            const sums = {};
            for (const trace of document.getElementById("stacks").data)
                trace.y.forEach((call, index) => sums[call] = (sums[call] || 0) + trace.x[index]);
            return sums""")
        assert sums == {name: call["latency"] for name, call in calls.items()}

        # Sorting, both ways.
        order = sorted(call["latency"] for call in calls.values())
        for wanted in (order, order[::-1]):
            driver.execute_script("document.querySelectorAll('#calls th')[arguments[0]].click()", latency)
            assert [int(row[latency]) for row in cells(driver, "calls")] == wanted

        # A filter shows some rows, and their stacks.
        field = driver.find_element("css selector", "#calls input")
        middle = order[len(order) // 2]
        field.send_keys(f"latency>{middle}")
        left = {name for name, call in calls.items() if call["latency"] > middle}
        assert {row[0] for row in cells(driver, "calls")} == left and 0 < len(left) < len(calls)
        assert set(driver.execute_script("return document.getElementById('stacks').data[0].y")) == left
        field.clear()
        field.send_keys("no such call")
        assert cells(driver, "calls") == []

        # The wheel zooms the timeline; a click on a call shows it; a button shows all.
        zoom = "return document.getElementById('timeline').layout.xaxis.range.map(Number)"
        whole = driver.execute_script(zoom)
        field.clear()
        field.send_keys(" ")
        row = driver.find_element("css selector", "#calls tbody tr")
        name = row.find_element("css selector", "td").text
        driver.execute_script("arguments[0].click()", row)
        low, high = driver.execute_script(zoom)
        assert whole[0] <= low <= calls[name]["stages"]["call"] < calls[name]["stages"]["return"] <= high <= whole[1] + 1
        assert high - low < whole[1] - whole[0]
        driver.execute_script("document.getElementById('whole').click()")
        assert driver.execute_script(zoom) == whole
        plot = driver.find_element("css selector", "#timeline .nsewdrag")
        driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", plot)
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
        from selenium.webdriver.support.ui import WebDriverWait
        ActionChains(driver).scroll_from_origin(ScrollOrigin.from_element(plot), 0, -400).perform()
        WebDriverWait(driver, 20, 0.1).until(lambda driver: driver.execute_script(zoom) != whole)
        low, high = driver.execute_script(zoom)
        assert high - low < whole[1] - whole[0]
        assert complaints(driver) == []


def test_the_early_return_is_told(tmp_path):
    path, report = made("early-return", tmp_path)
    with browser() as driver:
        opened(driver, path)
        assert "violated: O1" in driver.find_element("id", "verdict").text
        steps = driver.find_elements("css selector", "ol.steps li")
        assert report["violations"][0]["sentence"] in [step for step in steps if "violation" in step.get_attribute("class")][0].text
        assert "ends func_work, 181 clocks later" in steps[-1].text
        arrows = driver.execute_script(
            "return document.getElementById('timeline').data.filter(trace => trace.line && trace.line.width == 1.3)[0]")
        visits = report["calls"][0]["per_target"]
        assert sorted(x for x in arrows["x"] if x is not None) == sorted(
            clock for visit in visits.values() for clock in (visit["ipi"], visit["delivered"]))
        short = "Core 2 told the caller at clock 748 that the call was complete. Core 1 was still running func_work then"
        assert short in driver.find_element("tag name", "main").text
        # One call has no distribution.
        assert driver.find_elements("id", "distribution") == []
        # In the right half a label is left of its line, so that it is not cut off.
        assert driver.execute_script("return document.getElementById('timeline').layout.annotations[0].xanchor") == "right"
        steps[4].click()
        low, high = driver.execute_script("return document.getElementById('timeline').layout.xaxis.range.map(Number)")
        assert high - low < 120
        assert complaints(driver) == []


def test_a_page_of_many_runs_is_drawn(tmp_path):
    from sim.report.campaign_page import write_litmus_page
    states = [{"state": {"x": value}, "count": 5 - value, "forbidden": False} for value in range(2)]
    test = {"name": "SB", "mode": None, "states": states, "asks": True, "expected": "allowed", "observed": True, "verdict": "ok"}
    write_litmus_page(tmp_path / "litmus.html", {"memory": "tso", "runs": 9, "seed": 0, "tests": [test], "refused": []})
    with browser() as driver:
        opened(driver, tmp_path / "litmus.html")
        assert driver.execute_script("return document.querySelectorAll('#states svg .bars path').length") >= 2
        assert cells(driver, "tests") == [["SB", "allowed", "observed", "ok", "5 × x=0; 4 × x=1"]]
        assert complaints(driver) == []


@pytest.mark.parametrize("width, dark", [(1400, False), (400, True)])
def test_speeds_are_drawn(tmp_path, width, dark):
    from sim.report.speed import write_speed_page
    speeds = {("pysim", 1): 7801, ("lanes", 1): 92_552_069, ("verilator", 1): 1_886_687}
    write_speed_page(tmp_path / "speed.html", {"workload": "bench", "checks": [], "rows": [
        {"engine": engine, "cores": cores, "runs_at_once": 1, "clocks_per_second": speed, "build_seconds": 1}
        for (engine, cores), speed in speeds.items()]})
    with browser(width=width, dark=dark) as driver:
        opened(driver, tmp_path / "speed.html")
        ends = driver.execute_script("return ['clocks', 'ratios'].map(id => document.getElementById(id)._fullLayout.xaxis)"
                                     ".map(axis => [axis.type, axis.range[0], axis.range[1]])")
        assert ends == [["log", 3, 9], ["log", -3, 2]]
        for chart, count in (("clocks", 3), ("ratios", 2)):
            bars = driver.execute_script("return [...document.querySelectorAll(`#${arguments[0]} svg .bars path`)]"
                                         ".map(bar => bar.getBoundingClientRect().width)", chart)
            assert len(bars) == count and min(bars) > 3
        assert len(cells(driver, "speeds")) == 3
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert complaints(driver) == []


@pytest.mark.parametrize("width", [1400, 400])
def test_curves_of_latency_are_drawn(tmp_path, width):
    from sim.bench.latency import bench_latency, points_of
    from sim.report.latency import LatencyReport, curves

    report = LatencyReport(tmp_path, html=True, table=False)
    bench_latency(points_of(protocols=["v4"], memories=[None], settings={}, cores=[3], callers=[1, 2], targets=[1, 2]), calls=2,
                  done=report.add)
    report.write()
    with browser(width=width) as driver:
        opened(driver, tmp_path / "latency.html")
        for chart in curves(report.rows):
            drawn = driver.execute_script("return document.getElementById(arguments[0]).data.map(line => [line.name, [...line.x], "
                                          "[...line.y]])", chart["name"])
            assert drawn == [[line["name"], line["x"], line["y"]] for line in chart["lines"]]
        assert len(cells(driver, "points")) == len(report.rows) == 4
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert complaints(driver) == []
