"use strict";
// Draws what is in the packed data. It computes nothing that the report does not say: it selects, sorts and places.
(async () => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, props = {}, ...inside) => { const made = Object.assign(document.createElement(tag), props); made.append(...inside); return made; };
  const unpack = (id) => {
    const octets = Uint8Array.from(atob($(id).textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([octets]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const data = JSON.parse(await unpack("data"));

  // --- tables ---------------------------------------------------------------------------------------------------------
  const MOST_ROWS = 2000;

  // Of two cells: numbers by size, texts as people sort them, what is not there last.
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  };

  // A table into an element. link : called with the index of a row that was clicked; changed : with the indices that are shown.
  function showTable(host, table, { link = null, problem = () => false, changed = () => {} } = {}) {
    const numbers = table.columns.map((_, column) => table.rows.some((row) => typeof row[column] === "number"));
    let sort = null, ascending = true, shown = [];
    const search = make("input", { type: "search", placeholder: "filter: words, or column>number" });
    search.setAttribute("aria-label", `filter ${table.title}`);
    const count = make("span", { className: "dim count" });
    const body = make("tbody");
    const heads = table.columns.map((title, column) => {
      const head = make("th", { textContent: title, className: numbers[column] ? "n" : "" });
      head.onclick = () => { ascending = sort === column ? !ascending : true; sort = column; draw(); };
      return head;
    });
    const columns = new Map(table.columns.map((title, column) => [title.toLowerCase(), column]));
    // "latency>300 many": all of them must be true.
    const tests = () => search.value.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
      const [, name, sign, number] = /^([^<>=]+)([<>=])(-?\d+)$/.exec(word) || [];
      const column = columns.get(name);
      if (column === undefined) return (row) => row.some((cell) => cell !== null && String(cell).toLowerCase().includes(word));
      return (row) => typeof row[column] === "number" &&
        (sign === ">" ? row[column] > number : sign === "<" ? row[column] < number : row[column] === Number(number));
    });
    function draw() {
      const wanted = tests();
      shown = table.rows.map((_, index) => index).filter((index) => wanted.every((test) => test(table.rows[index])));
      if (sort !== null) shown.sort((a, b) => (ascending ? 1 : -1) * compare(table.rows[a][sort], table.rows[b][sort]) || a - b);
      heads.forEach((head, column) => head.setAttribute("aria-sort", column !== sort ? "none" : ascending ? "ascending" : "descending"));
      body.replaceChildren(...shown.slice(0, MOST_ROWS).map((index) => {
        const row = make("tr", { className: (problem(index) ? "problem " : "") + (link ? "link" : "") });
        row.append(...table.rows[index].map((cell, column) =>
          make("td", { textContent: cell === null ? "-" : cell, className: numbers[column] ? "n" : "" })));
        if (link) row.onclick = () => link(index);
        return row;
      }));
      count.textContent = `${shown.length} of ${table.rows.length}` + (shown.length > MOST_ROWS ? `, the first ${MOST_ROWS} shown` : "");
      changed(shown);
    }
    search.oninput = draw;
    host.append(search, count, make("div", { className: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body)));
    // What stands between backticks is code.
    const note = table.note.split("`").map((part, index) => index % 2 ? make("code", { textContent: part }) : part);
    if (table.note) host.append(make("p", { className: "dim" }, ...note));
    draw();
  }

  // --- charts ---------------------------------------------------------------------------------------------------------
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const small = () => innerWidth < 640;
  const layout = (more) => {
    const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line"), automargin: true };
    return { paper_bgcolor: css("--paper"), plot_bgcolor: css("--paper"), font: { color: css("--ink"), size: 12 },
      margin: { l: 10, r: 12, t: 10, b: 36 }, showlegend: false, ...more,
      xaxis: { ...axis, ...more.xaxis }, yaxis: { ...axis, ...more.yaxis } };
  };
  const config = { displaylogo: false, responsive: true, scrollZoom: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const still = { ...config, scrollZoom: false, displayModeBar: false };
  const drawn = [];       // each draws a chart anew, in the colours of the moment
  const chart = (draw) => { drawn.push(draw); draw(); };

  // log : the exponents of 10 between which a logarithmic axis lies; of a linear one, undefined.
  function bars(id, names, traces, title, log) {
    if (!$(id)) return;
    if (!names.length) { $(id).append(make("p", { className: "dim", textContent: "none" })); return; }
    const axis = { title: { text: title }, ...(log ? { type: "log", range: log, dtick: 1 } : {}) };
    chart(() => Plotly.react(id, traces.map((trace) => ({ type: "bar", orientation: "h", y: names, ...trace })), layout({
      barmode: "stack", height: 70 + 22 * Math.max(2, names.length), xaxis: axis,
      yaxis: { type: "category", autorange: "reversed", fixedrange: true },
    }), still));
  }

  // Curves over numbers: each point is marked, and the axis names them if they are few.
  function lines({ name, axis, up, lines: curves }) {
    const points = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
    const ticks = points.length <= 8 ? { tickmode: "array", tickvals: points } : {};
    chart(() => Plotly.react(name, curves.map((curve) => ({ type: "scatter", mode: "lines+markers", ...curve,
      hovertemplate: `${axis}: %{x}, ${up}: %{y}<extra>${curve.name}</extra>` })),
    layout({ height: small() ? 320 + 20 * curves.length : 380, showlegend: curves.length > 1,
      legend: small() ? { orientation: "h", y: -0.35 } : {},
      xaxis: { title: { text: axis }, rangemode: "tozero", ...ticks }, yaxis: { title: { text: up }, rangemode: "tozero" } }), still));
  }

  // --- the run --------------------------------------------------------------------------------------------------------
  const timeline = data.timeline;
  let zoomTo = () => {};

  function showTimeline() {
    const host = $("timeline"), { spans, sent, steps, violations, n_cores: cores } = timeline;
    const count = spans.start.length;
    const lane = cores <= 8 ? 54 : cores <= 16 ? 34 : 22, thick = Math.round(lane * 0.55);
    const lanes = Array.from({ length: cores }, () => []);
    for (let index = 0; index < count; index++) lanes[spans.core[index]].push(index);
    for (const spansOf of lanes) spansOf.sort((a, b) => spans.start[a] - spans.start[b]);

    const bands = timeline.stages.map((stage, number) => ({ type: "scatter", mode: "lines", name: stage, x: [], y: [], hoverinfo: "skip",
      line: { color: timeline.colours[number], width: thick, simplify: false } }));
    for (let index = 0; index < count; index++) {
      const band = bands[spans.stage[index]];
      band.x.push(spans.start[index], spans.end[index], null);
      band.y.push(spans.core[index], spans.core[index], null);
    }
    const MOST_LABELS = 250, MOST_HEADS = 400;
    let range = [timeline.first, timeline.last];
    const visible = (list) => list.filter(([clock, , at]) => at >= range[0] && clock <= range[1]);
    // From the edge of one lane to the edge of the other.
    const edge = (from, to) => from + Math.sign(to - from) * 0.28;
    const arrows = (list, more) => {
      // So many that they cover the lanes are pale.
      const trace = { type: "scatter", mode: "lines", x: [], y: [], hoverinfo: "skip", line: { width: 1.3, ...more },
        opacity: visible(list).length > MOST_HEADS ? 0.25 : 1 };
      for (const [clock, from, at, to] of list) { trace.x.push(clock, at, null); trace.y.push(edge(from, to), edge(to, from), null); }
      return trace;
    };

    // Above the lanes: the schedule holds the core.
    const pauses = () => ({ type: "scatter", mode: "lines", x: timeline.held.flatMap(([, from, to]) => [from, to, null]), hoverinfo: "skip",
      y: timeline.held.flatMap(([core]) => [core - 0.34, core - 0.34, null]), line: { color: css("--ink"), width: 3, simplify: false } });

    // What is drawn only where there is room for it: labels, and the heads of arrows.
    function details() {
      const [low, high] = range, scale = Math.max(200, host.clientWidth - 80) / (high - low);
      const label = { type: "scatter", mode: "text", x: [], y: [], text: [], hoverinfo: "skip", textfont: { color: "#ffffff", size: 11 }, cliponaxis: true };
      for (const spansOf of lanes) for (const index of spansOf) {
        const start = Math.max(low, spans.start[index]), end = Math.min(high, spans.end[index]), room = (end - start) * scale;
        if (room < 26 || label.x.length >= MOST_LABELS) continue;
        const call = timeline.calls[spans.call[index]] || "", stage = timeline.stages[spans.stage[index]];
        const text = room > 7 * (call.length + stage.length + 2) ? `${call} ${stage}` : call && room > 7 * call.length + 4 ? call : "";
        if (text) { label.x.push((start + end) / 2); label.y.push(spans.core[index]); label.text.push(text); }
      }
      const seen = visible(sent);
      const heads = { type: "scatter", mode: "markers", x: [], y: [], hoverinfo: "skip",
        marker: { symbol: "arrow", angleref: "previous", size: [], color: css("--ink") } };
      if (seen.length <= MOST_HEADS) for (const [clock, from, at, to] of seen) {
        heads.x.push(clock, at, null); heads.y.push(edge(from, to), edge(to, from), null); heads.marker.size.push(0, 9, 0);
      }
      return [heads, label];
    }
    function figure() {
      const marks = { type: "scatter", mode: "markers+text", x: steps.map((step) => step.clock), y: steps.map((step) => step.core + 0.4),
        text: steps.map((_, index) => index + 1), textfont: { size: 9, color: css("--paper") },
        hovertext: steps.map((step) => `clock ${step.clock}, core ${step.core}: it ${step.sentence}`), hoverinfo: "text",
        marker: { size: 15, color: css("--ink"), opacity: 0.9 } };
      const lines = violations.map((item) => ({ type: "line", x0: item.clock, x1: item.clock, y0: 0, y1: 1, yref: "paper", line: { color: css("--bad"), width: 2 } }));
      // The buttons, and below them rows of labels.
      const top = violations.length ? 52 + 14 * Math.min(2, violations.length - 1) : 26;
      const notes = violations.slice(0, 8).map((item, index) => ({ x: item.clock, y: 1, yref: "paper", yanchor: "bottom", showarrow: false,
        xanchor: item.clock > (range[0] + range[1]) / 2 ? "right" : "left",
        yshift: 14 * (index % 3), text: `${item.oracle} violated`, font: { color: css("--bad"), size: 12 } }));
      return [[...bands, pauses(), arrows(sent, { color: css("--ink") }), arrows(timeline.unsent, { color: css("--dim"), dash: "dot" }), ...details(), marks],
        layout({ height: 64 + top + lane * cores, dragmode: "pan", hovermode: "closest", shapes: lines, annotations: notes,
          margin: { l: 10, r: 12, t: top, b: 40 },
          xaxis: { range: [...range], title: { text: "clock" }, tickformat: "d", minallowed: Math.min(0, timeline.first), maxallowed: timeline.clocks + 20 },
          yaxis: { range: [cores - 0.4, -0.6], fixedrange: true, tickmode: "array", tickvals: lanes.map((_, core) => core),
            ticktext: lanes.map((_, core) => small() ? core : `core ${core}`), showgrid: false, zeroline: false } })];
    }
    const draw = () => Plotly.react(host, ...figure(), { ...config, displayModeBar: !small() });
    chart(draw);
    host.on("plotly_relayout", () => {
      const now = host.layout.xaxis.range.map(Number);
      if (now[0] !== range[0] || now[1] !== range[1]) { range = now; draw(); }
    });
    zoomTo = (low, high, scroll = true) => {
      const room = Math.max(10, (high - low) * 0.06);
      range = [Math.max(timeline.first < 0 ? timeline.first : 0, low - room), Math.min(timeline.clocks + 20, high + room)];
      draw();
      if (scroll) host.scrollIntoView({ behavior: "smooth", block: "center" });
    };
    const whole = [timeline.first, timeline.last];
    $("whole").onclick = () => { range = [...whole]; draw(); };
    document.querySelectorAll("li[data-clock]").forEach((item) => {
      item.classList.add("link");
      item.onclick = () => zoomTo(Number(item.dataset.clock) - 40, Number(item.dataset.clock) + 40);
    });

    // What is under the pointer.
    const tip = $("tip");
    host.addEventListener("mousemove", (event) => {
      const { xaxis, yaxis, _size: size } = host._fullLayout, box = host.getBoundingClientRect();
      const clock = xaxis.p2d(event.clientX - box.left - size.l), at = yaxis.p2d(event.clientY - box.top - size.t), core = Math.round(at);
      const spansOf = Math.abs(at - core) < 0.32 ? lanes[core] || [] : [];
      let low = 0, high = spansOf.length;
      while (low < high) { const middle = (low + high) >> 1; if (spans.start[spansOf[middle]] <= clock) low = middle + 1; else high = middle; }
      const index = spansOf[low - 1];
      if (index === undefined || spans.end[index] <= clock) { tip.style.display = "none"; return; }
      const call = timeline.calls[spans.call[index]];
      tip.textContent = `core ${core}: ${timeline.stages[spans.stage[index]]}${call ? `, call ${call}` : ""}\n` +
        `${timeline.meanings[spans.stage[index]]}\nclocks ${spans.start[index]} to ${spans.end[index]} (${spans.end[index] - spans.start[index]})`;
      const held = timeline.held.find(([number, from, to]) => number === core && from <= clock && clock < to);
      if (held) tip.textContent += `\nheld by the schedule, clocks ${held[1]} to ${held[2]} (${held[2] - held[1]})`;
      Object.assign(tip.style, { display: "block", left: `${Math.min(event.clientX + 14, innerWidth - 330)}px`, top: `${event.clientY + 16}px` });
    });
    host.addEventListener("mouseleave", () => { tip.style.display = "none"; });
  }

  const MOST_STACKS = 60;

  function showCalls() {
    const calls = data.report.calls, problems = new Set(data.report.violations.flatMap((item) => item.calls));
    const stacks = (shown) => {
      const some = shown.filter((index) => data.stacks[index]).slice(0, MOST_STACKS);
      const names = some.map((index) => calls[index].id);
      $("stacks-note").textContent = `Calls: ${some.length} of ${calls.length}, those that the table shows, in its order.`;
      Plotly.react("stacks", timeline.stages.map((stage, number) => ({
        type: "bar", orientation: "h", name: stage, y: names, x: some.map((index) => data.stacks[index][stage] || 0),
        marker: { color: timeline.colours[number] }, hovertemplate: `call %{y}, clocks in ${stage}: %{x}<extra></extra>` })),
      layout({ barmode: "stack", height: 80 + 22 * Math.max(2, names.length), xaxis: { title: { text: "clocks of latency" } },
        yaxis: { type: "category", autorange: "reversed", fixedrange: true, title: { text: "call" } } }), still);
    };
    let shown = [];
    showTable($("calls"), data.calls, { link: (index) => {
      const call = calls[index], ends = Object.values(call.per_target).map((visit) => visit.exit ?? 0);
      zoomTo(call.stages.call, Math.max(call.stages.return ?? 0, ...ends, call.stages.call + 20));
    }, problem: (index) => problems.has(calls[index].id), changed: (now) => { shown = now; stacks(now); } });
    drawn.push(() => stacks(shown));

    if (!$("distribution")) return;
    const names = [...new Set(calls.map((call) => call.name))];
    chart(() => Plotly.react("distribution", names.map((name) => ({
      type: "histogram", name, x: calls.filter((call) => call.name === name && call.latency !== null).map((call) => call.latency), nbinsx: 30,
    })), layout({ barmode: "stack", bargap: 0.06, height: 280, showlegend: names.length > 1, legend: { orientation: "h", y: 1.15 },
      xaxis: { title: { text: "latency in clocks" } }, yaxis: { title: { text: "calls" }, ...(calls.length <= 8 ? { dtick: 1 } : {}) } }), still));
  }

  function showTraffic() {
    const { locks, bouncing } = data.traffic, held = Object.entries(locks).slice(0, 20), words = Object.entries(bouncing).slice(0, 20);
    bars("locks", held.map(([name]) => name), [{ x: held.map(([, lock]) => lock.clocks), marker: { color: "#5b8ff9" },
      customdata: held.map(([, lock]) => [lock.taken, lock.failed, lock.longest]),
      hovertemplate: "%{y}, clocks held: %{x}<br>taken: %{customdata[0]}, failed tries: %{customdata[1]}, longest: %{customdata[2]}<extra></extra>" }],
    "clocks for which it was held");
    bars("words", words.map(([name]) => name), [{ x: words.map(([, count]) => count), marker: { color: "#e8684a" },
      hovertemplate: "%{y}: %{x}<extra></extra>" }], "moves between cores");
  }

  if ($("library")) {
    const script = document.createElement("script");
    script.textContent = await unpack("library");
    document.head.append(script);
  }
  if (timeline) { showTimeline(); showCalls(); showTraffic(); }
  for (const item of data.lines || []) lines(item);
  for (const item of data.bars || []) bars(item.name, item.names, item.traces, item.title, item.log);
  for (const item of data.tables) showTable($(item.name), item);
  dark.addEventListener("change", () => drawn.forEach((draw) => draw()));
  document.body.dataset.ready = "yes";
  $("state").remove();
})().catch((error) => { document.getElementById("state").textContent = `The charts cannot be drawn: ${error}`; throw error; });
