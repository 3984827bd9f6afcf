"use strict";
// The script of all pages: charts in the colours of the theme, tables that sort, a gallery with a slider.
(() => {
  const read = (page) => JSON.parse(page.getElementById("data").textContent);
  let data = read(document);
  const root = document.documentElement;
  const touch = matchMedia("(pointer: coarse), (max-width: 560px)").matches;
  const CONFIG = {
    responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"],
    displayModeBar: touch ? false : "hover",
  };
  const find = (selector, parent = document) => parent.querySelector(selector);
  const make = (name, properties = {}, children = []) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  // Theme: that of the system, until the button is pressed.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const remember = (theme) => { try { localStorage.setItem("dupl-theme", theme); } catch { /* storage may be denied */ } };
  try { const kept = localStorage.getItem("dupl-theme"); if (kept) root.dataset.theme = kept; } catch { /* storage may be denied */ }
  const colour = (name) => {
    const probe = document.body.appendChild(make("i", { style: `color: var(--${name})` }));
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };

  // Charts.
  const drawn = new Map();
  let smoothing = 0;
  const dressed = (layout) => {
    const copy = structuredClone(layout);
    copy.font = { ...copy.font, color: colour("ink"), family: getComputedStyle(document.body).fontFamily };
    copy.hoverlabel = { bgcolor: colour("paper"), bordercolor: colour("line"), font: { color: colour("ink") } };
    copy.modebar = { bgcolor: "rgba(0,0,0,0)", color: colour("faint"), activecolor: colour("accent") };
    if (touch) copy.dragmode = false; // a finger scrolls the page
    return copy;
  };
  const smooth = (values) => { // exponential mean, corrected for its start
    let sum = 0, weight = 0;
    return values.map((value) => {
      sum = smoothing * sum + value;
      weight = smoothing * weight + 1;
      return sum / weight;
    });
  };
  const traces = (list) => structuredClone(list).flatMap((trace) => {
    if (trace.type === "heatmap") trace.textfont.color = colour("ink");
    if (!smoothing || !trace.meta?.smooth) return [trace];
    const raw = { ...trace, opacity: 0.3, showlegend: false, hoverinfo: "skip", mode: "lines" };
    return [raw, { ...trace, mode: "lines", y: smooth(trace.y) }];
  });
  const draw = (element, figure) => {
    drawn.set(element, figure);
    return Plotly.react(element, traces(figure.data), dressed(figure.layout), CONFIG);
  };
  const redraw = () => drawn.forEach((figure, element) => draw(element, figure));
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      draw(target, data.plots[target.dataset.plot]);
    }
  }, { rootMargin: "600px" });
  const showCharts = () => {
    for (const element of drawn.keys()) if (!element.isConnected) drawn.delete(element);
    for (const element of document.querySelectorAll("[data-plot]")) {
      const figure = data.plots[element.dataset.plot];
      if (drawn.has(element)) {
        draw(element, figure);
        continue;
      }
      element.style.minHeight = `${figure.layout.height}px`;
      watcher.observe(element);
    }
  };
  find("#theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    redraw();
  });
  system.addEventListener("change", redraw);
  const strength = find("#smoothing");
  strength?.addEventListener("input", () => {
    smoothing = Number(strength.value);
    strength.nextElementSibling.value = smoothing.toFixed(2);
    for (const [element, figure] of drawn) if (figure.data.some((trace) => trace.meta?.smooth)) draw(element, figure);
  });

  // Tables that sort: a click on a column title sorts by it, numbers descending first; the next click reverses the order.
  const before = (a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
  const orders = new WeakMap(); // of each table: the column by which it is sorted, and whether it descends
  function table(element, heads, rows, foot = null) {
    let [by, down] = orders.get(element) ?? [null, false];
    if (by >= heads.length) by = null;
    const body = make("tbody");
    const buttons = heads.map((head, column) => {
      const button = make("button", { type: "button", textContent: head });
      button.addEventListener("click", () => {
        const numeric = rows.some((row) => typeof row[column].value === "number");
        down = by === column ? !down : numeric;
        by = column;
        orders.set(element, [by, down]);
        fill();
      });
      return make("th", { scope: "col" }, [button]);
    });
    const cells = (row) => row.map((cell, column) => {
      const shown = cell.link ? make("a", { href: cell.link, textContent: cell.text })
        : column ? cell.text : make("span", { textContent: cell.text });
      const item = make(column ? "td" : "th", { title: column ? "" : cell.text }, [shown]);
      if (!column) item.scope = "row";
      if (cell.share !== undefined && cell.share !== null) {
        item.className = "share";
        item.style.setProperty("--share", `${cell.share}%`);
      }
      return item;
    });
    function fill() {
      const sorted = by === null ? rows : [...rows].sort((one, other) => {
        const [a, b] = [one[by].value, other[by].value];
        if (a === null || b === null) return (a === null) - (b === null); // cells without a number stay at the bottom
        return down ? before(b, a) : before(a, b);
      });
      body.replaceChildren(...sorted.map((row) => make("tr", {}, cells(row))));
      buttons.forEach((head, column) => head.setAttribute(
        "aria-sort", column !== by ? "none" : down ? "descending" : "ascending"));
    }
    fill();
    const parts = [make("thead", {}, [make("tr", {}, buttons)]), body];
    if (foot) parts.push(make("tfoot", {}, [make("tr", {}, cells(foot))]));
    const focus = [...element.querySelectorAll("a, button")].indexOf(document.activeElement);
    element.replaceChildren(...parts);
    if (focus >= 0) element.querySelectorAll("a, button")[focus]?.focus();
  }
  const showTables = () => {
    for (const element of document.querySelectorAll("table[data-table]")) {
      const { heads, rows, foot } = data.tables[element.dataset.table];
      table(element, heads, rows, foot);
    }
  };

  // Values per class, of one evaluation at a time.
  const showClasses = () => {
    if (!data.classes || !find("#evaluation")) return;
    const [which, measure, map] = ["#evaluation", "#measure", "#map"].map((selector) => find(selector));
    const show = (value, digits = 1) => (value === null ? "–" : value.toFixed(digits));
    const number = (value) => ({ value, text: show(value), share: value });
    const mean = (values) => {
      const known = values.filter((value) => value !== null);
      return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
    };
    const showTable = () => {
      const one = data.classes[which.value];
      const columns = one.values[measure.value];
      const rows = one.names.map((name, c) => [
        { value: name, text: name },
        ...columns.map((values) => number(values[c])),
        { value: one.pixels[c], text: one.pixels[c].toLocaleString("en") },
      ]);
      const means = columns.map((values) => number(mean(measure.value === "OA" ? values.slice(1) : values)));
      const foot = [{ text: measure.value === "OA" ? "mean of foreground" : "mean" }, ...means, { text: "" }];
      table(find("#classes-table"), ["class", ...one.maps.map((m) => m.label), "pixels of truth"], rows, foot);
    };
    const showConfusion = () => {
      const figure = data.plots[data.classes[which.value].confusion[map.value]];
      find("#confusion-missing").hidden = Boolean(figure);
      find("#confusion").hidden = !figure;
      if (!figure) return;
      find("#confusion").parentElement.style.maxWidth = `${240 + 72 * figure.data[0].x.length}px`;
      draw(find("#confusion"), figure);
    };
    const showAll = () => {
      const one = data.classes[which.value], chosen = map.value;
      map.replaceChildren(...one.maps.map((m) => make("option", { value: m.key, textContent: m.label })));
      if (one.maps.some((m) => m.key === chosen)) map.value = chosen;
      find("#never").textContent = one.never.length ? `Never predicted by any map: ${one.never.join(", ")}.` : "";
      showTable();
      showConfusion();
      const bars = find("#bars");
      bars.replaceChildren(...one.bars.map((bar) => make("figure", { className: "card" }, [
        make("figcaption", { textContent: bar.title }), make("div")])));
      one.bars.forEach((bar, n) => draw(bars.children[n].lastChild, data.plots[bar.plot]));
    };
    [which.onchange, measure.onchange, map.onchange] = [showAll, showTable, showConfusion];
    showAll();
  };

  // Gallery and losses, of one iteration at a time, the same in both.
  let playing = 0;
  const sheets = new Map(); // contact sheets by address, each loaded when it is first shown
  const sheet = (address) => {
    if (!sheets.has(address)) sheets.set(address, Object.assign(new Image(), { src: address }));
    return sheets.get(address);
  };
  const showGallery = (fresh) => {
    if (!data.gallery || !find("#play")) return;
    const shots = data.gallery;
    const sliders = [...document.querySelectorAll("input[data-shots]")];
    let large = null; // the column that a click enlarged
    const pane = (picture, shot, column, row) => {
      const image = shot.images[row], [width, height] = image.size;
      const { kind, student } = shot.columns[column];
      const caption = make("figcaption", { textContent: student ? `${kind} ${student}` : kind });
      const figure = (part) => make("figure", { className: column === large ? "large" : "" }, [part, caption]);
      if (!image.filled[column]) return figure(make("div", { className: "none", textContent: "none" }));
      const canvas = make("canvas", { width, height });
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${caption.textContent} of ${image.name} at iteration ${shot.iter}`);
      const place = [column * shot.cell, row * shot.cell, width, height, 0, 0, width, height];
      canvas.getContext("2d").drawImage(picture, ...place);
      const button = make("button", { type: "button", title: "larger or smaller" }, [canvas]);
      button.addEventListener("click", () => {
        large = large === column ? null : column;
        showImages(Number(sliders[0].value));
      });
      return figure(button);
    };
    const showImages = async (n) => {
      const shot = shots[n];
      const picture = sheet(shot.sheet);
      await picture.decode();
      if (Number(sliders[0].value) !== n) return; // the slider has moved on
      find("#gallery-images").replaceChildren(...shot.images.map((image, row) => make("div", { className: "shown" }, [
        make("h3", { textContent: `${image.name} ` }, [make("span", { textContent: image.tags.join(", ") })]),
        make("div", { className: "panes" }, shot.columns.map((_, column) => pane(picture, shot, column, row))),
      ])));
      find("#gallery-legend").replaceChildren(...shot.legend.map((key) => make("li", {}, [
        make("img", { src: key.swatch, alt: "" }), key.text])));
    };
    const showLosses = (n) => {
      const place = find("#losses");
      if (!place) return;
      for (const element of place.querySelectorAll("div")) drawn.delete(element);
      place.replaceChildren(...shots[n].losses.map((one) => make("figure", { className: "card" }, [
        make("figcaption", { textContent: one.title }), make("p", { textContent: one.verdict }), make("div")])));
      shots[n].losses.forEach((one, i) => draw(place.children[i].lastChild, data.plots[one.plot]));
      find("#losses-missing").hidden = shots[n].losses.length > 0;
    };
    const show = (n) => {
      for (const slider of sliders) {
        slider.value = n;
        slider.nextElementSibling.value = shots[n].iter.toLocaleString("en");
      }
      showLosses(n);
      return showImages(n);
    };
    for (const slider of sliders) slider.oninput = () => show(Number(slider.value));
    const play = find("#play");
    const run = (on) => {
      clearInterval(playing);
      playing = on ? setInterval(() => show((Number(sliders[0].value) + 1) % shots.length), 700) : 0;
      play.textContent = on ? "❚❚" : "▶";
    };
    play.onclick = () => run(!playing);
    run(Boolean(playing));
    const last = shots.length - 1, chosen = Number(sliders[0].value);
    return show(fresh || chosen >= (sliders[0].shown ?? 0) ? last : Math.min(chosen, last)).then(() => {
      for (const slider of sliders) slider.shown = last;
    });
  };

  // The first show, and further ones where the live board has news.
  const shows = [showCharts, showTables, showClasses, showGallery];
  const showEach = (fresh) => shows.forEach((show) => show(fresh));
  const update = (page) => {
    data = read(page);
    showEach(false);
  };
  globalThis.dupl = { find, make, before, sheet, data: () => data, shows, update };
  showEach(true);
})();
