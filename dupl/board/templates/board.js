"use strict";
// The script of the live board: the table of runs, galleries side by side, and news while runs train.
(() => {
  const { find, make, before, sheet, data, shows, update } = globalThis.dupl;
  const root = document.documentElement;
  const EVERY = 3000; // milliseconds between two questions
  const MOST = 1000; // rows that are shown at first

  // The table of runs: filter, sort, groups, and a choice of runs to compare.
  const chosen = new Set();
  const closed = new Set(); // groups
  let all = false;
  const wanted = new URLSearchParams(location.hash.slice(1)); // kept in the address, so that a reload keeps it
  const remember = (name, value) => {
    if (value) wanted.set(name, value);
    else wanted.delete(name);
    history.replaceState(null, "", `#${wanted}`);
  };
  const matches = (row, words, state) => (!state || row.state === state)
    && words.every((word) => row.text.includes(word));
  const mean = (rows, column) => {
    const known = rows.map((row) => row.cells[column].value).filter((value) => typeof value === "number");
    return known.length ? (known.reduce((a, b) => a + b, 0) / known.length).toFixed(2) : "";
  };
  const showChosen = () => {
    const link = find("#compare");
    const query = new URLSearchParams([...chosen].map((id) => ["run", id]));
    link.textContent = chosen.size ? `Compare ${chosen.size} run${chosen.size > 1 ? "s" : ""}` : "Choose runs to compare";
    if (chosen.size) link.href = `${root.dataset.root}compare?${query}`;
    else link.removeAttribute("href");
  };
  const rowOf = (row) => {
    const box = make("input", { type: "checkbox", checked: chosen.has(row.id) });
    box.setAttribute("aria-label", `compare ${row.name}`);
    box.dataset.key = row.id;
    box.onchange = () => {
      if (box.checked) chosen.add(row.id);
      else chosen.delete(row.id);
      showChosen();
    };
    const link = make("a", { href: row.link, textContent: row.name });
    link.dataset.key = `${row.id} link`;
    const state = make("span", { className: `state ${row.state}`, textContent: row.state });
    const cells = row.cells.map((cell) => {
      const item = make("td", { textContent: cell.text, className: cell.wide ? "left wide" : cell.left ? "left" : "" });
      if (cell.share !== undefined) {
        item.classList.add("share");
        item.style.setProperty("--share", `${cell.share}%`);
      }
      return item;
    });
    const parts = [make("td", { className: "left" }, [state]), ...cells];
    return make("tr", {}, [make("th", { scope: "row" }, [make("span", { className: "pick" }, [box, link])]), ...parts]);
  };
  const showRuns = () => {
    const place = find("#runs-table");
    if (!place) return;
    const { heads, rows } = data().board;
    const [text, state, group] = ["filter", "state", "group"].map((name) => find(`#${name}`).value);
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const by = Number(wanted.get("by") ?? -1), down = wanted.get("down") === "1";
    const value = (row) => (by === 0 ? row.name : by === 1 ? row.state : row.cells[by - 2].value);
    const found = rows.filter((row) => matches(row, words, state));
    if (by >= 0 && by < heads.length) {
      found.sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        if (a === null || b === null) return (a === null) - (b === null); // rows without a number stay at the bottom
        return down ? before(b, a) : before(a, b);
      });
    }
    const groups = new Map();
    for (const row of found) {
      for (const key of group ? row.groups[group] : [""]) {
        if (!groups.has(key)) groups.set(key, []);
        groups.get(key).push(row);
      }
    }
    const body = make("tbody");
    let room = all ? Infinity : MOST;
    for (const [key, members] of groups) {
      if (group) {
        const open = !closed.has(key);
        const button = make("button", { type: "button", textContent: `${open ? "▾" : "▸"} ${key} (${members.length})` });
        button.setAttribute("aria-expanded", String(open));
        button.dataset.key = `group ${key}`;
        button.onclick = () => {
          if (open) closed.add(key);
          else closed.delete(key);
          showRuns();
        };
        const means = heads.slice(2).map((head, column) => make("td", { textContent: head.mean ? mean(members, column) : "" }));
        body.append(make("tr", { className: "grouped" }, [
          make("th", { scope: "rowgroup" }, [button]), make("td", { className: "left", textContent: "mean" }), ...means]));
        if (!open) continue;
      }
      body.append(...members.slice(0, Math.max(0, room)).map(rowOf));
      room -= members.length;
    }
    const titles = heads.map((head, column) => {
      const button = make("button", { type: "button", textContent: head.text });
      button.dataset.key = `head ${column}`;
      button.onclick = () => {
        const numeric = column > 1 && rows.some((row) => typeof row.cells[column - 2].value === "number");
        remember("down", (by === column ? !down : numeric) ? "1" : "");
        remember("by", String(column));
        showRuns();
      };
      const cell = make("th", { scope: "col", className: head.left ? "left" : "" }, [button]);
      cell.setAttribute("aria-sort", column !== by ? "none" : down ? "descending" : "ascending");
      return cell;
    });
    const focus = document.activeElement?.dataset?.key;
    place.replaceChildren(make("thead", {}, [make("tr", {}, titles)]), body);
    if (focus) [...place.querySelectorAll("[data-key]")].find((item) => item.dataset.key === focus)?.focus();
    find("#shown").textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} runs`;
    find("#all").hidden = all || found.length <= MOST;
    showChosen();
  };
  if (find("#runs-table")) {
    for (const name of ["filter", "state", "group"]) {
      const control = find(`#${name}`);
      control.value = wanted.get(name) ?? "";
      control.addEventListener("input", () => {
        remember(name, control.value);
        showRuns();
      });
    }
    find("#all").onclick = () => {
      all = true;
      showRuns();
    };
    shows.push(showRuns);
    showRuns();
  }

  // Galleries of several runs, at one iteration and of one kind of picture at a time.
  const showGalleries = async () => {
    const runs = data().galleries, kind = find("#kind"), moment = find("#moment");
    if (!runs || !kind) return;
    const named = (column) => (column.student ? `${column.kind} ${column.student}` : column.kind);
    const shots = runs.flatMap((run) => run.shots);
    const kinds = [...new Set(shots.flatMap((shot) => shot.columns.map(named)))];
    const times = [...new Set(shots.map((shot) => shot.iter))].sort((a, b) => a - b);
    const names = [...new Set(shots.flatMap((shot) => shot.images.map((image) => image.name)))];
    const [old, at] = [kind.value, moment.times?.[Number(moment.value)]];
    const wasLast = !moment.times || Number(moment.value) === moment.times.length - 1;
    kind.replaceChildren(...kinds.map((name) => make("option", { value: name, textContent: name })));
    kind.value = kinds.includes(old) ? old : kinds.find((name) => name.startsWith("Prediction")) ?? kinds[0];
    moment.max = times.length - 1;
    moment.times = times;
    moment.value = wasLast || !times.includes(at) ? times.length - 1 : times.indexOf(at);
    const iteration = times[Number(moment.value)];
    moment.nextElementSibling.value = iteration.toLocaleString("en");
    const panes = await Promise.all(names.map(async (name) => {
      const figures = await Promise.all(runs.map(async (run) => {
        const caption = make("figcaption", { textContent: run.name });
        const shot = run.shots.find((one) => one.iter === iteration);
        const column = shot ? shot.columns.findIndex((one) => named(one) === kind.value) : -1;
        const row = shot ? shot.images.findIndex((one) => one.name === name) : -1;
        const none = (text) => make("figure", {}, [make("div", { className: "none", textContent: text }), caption]);
        if (!shot) return none("no evaluation here");
        if (column < 0 || row < 0 || !shot.images[row].filled[column]) return none("none");
        const picture = sheet(shot.sheet);
        try { await picture.decode(); } catch { return none("damaged"); }
        const [width, height] = shot.images[row].size;
        const canvas = make("canvas", { width, height });
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `${kind.value} of ${name} by ${run.name} at iteration ${iteration}`);
        canvas.getContext("2d").drawImage(picture, column * shot.cell, row * shot.cell, width, height, 0, 0, width, height);
        return make("figure", {}, [canvas, caption]);
      }));
      return make("div", { className: "shown" }, [make("h3", { textContent: name }), make("div", { className: "panes" }, figures)]);
    }));
    if (moment.times[Number(moment.value)] !== iteration) return; // the slider has moved on
    find("#side-by-side").replaceChildren(...panes);
    const legend = shots.filter((shot) => shot.iter === iteration).flatMap((shot) => shot.legend);
    const texts = new Map(legend.map((key) => [key.text, key]));
    find("#side-by-side-legend").replaceChildren(...[...texts.values()].map((key) => make("li", {}, [
      make("img", { src: key.swatch, alt: "" }), key.text])));
  };
  if (find("#kind")) {
    find("#kind").oninput = showGalleries;
    find("#moment").oninput = showGalleries;
    shows.push(showGalleries);
    showGalleries();
  }

  // News: the page is asked for again, and what is new in it is taken over. What a person has chosen, opened or is
  // reading stays: elements are kept, and only what differs is changed.
  const OWN = "[data-own], [data-plot], [data-table], output, canvas";
  const KEPT = new Set(["style", "open", "hidden", "aria-sort"]);
  const attributes = (old, fresh) => {
    for (const { name } of [...old.attributes]) if (!KEPT.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (!KEPT.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  };
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(document.importNode(fresh, true));
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return undefined;
    }
    if (old.matches(OWN)) {
      if (fresh.dataset.plot) old.dataset.plot = fresh.dataset.plot;
      return undefined;
    }
    attributes(old, fresh);
    const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
    after.forEach((child, n) => (n < before.length ? morph(before[n], child) : old.append(document.importNode(child, true))));
    before.slice(after.length).forEach((child) => child.remove());
    return undefined;
  };
  let asking = false;
  const say = (text) => { const place = find("#live"); if (place && place.textContent !== text) place.textContent = text; };
  const ask = async () => {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const address = location.href.split("#")[0];
      const answer = await fetch(address, { headers: { "If-None-Match": root.dataset.tag }, cache: "no-store" });
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        root.dataset.tag = page.documentElement.dataset.tag;
        for (const part of ["header", "main"]) morph(find(part), find(part, page));
        update(page);
      }
      say(answer.ok || answer.status === 304 ? "live" : "gone");
    } catch {
      say("not reached");
    } finally {
      asking = false;
    }
  };
  if ("live" in root.dataset) {
    say("live");
    setInterval(ask, EVERY);
    document.addEventListener("visibilitychange", ask);
  }
})();
