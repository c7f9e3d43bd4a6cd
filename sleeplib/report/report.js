"use strict";
// Zoom and pan of all panels at once by their view boxes, and what is known of the moment under the pointer.
(() => {
  const night = JSON.parse(document.getElementById("night").textContent);
  const find = (id) => document.getElementById(id);
  const panels = find("panels"), cursor = find("cursor"), readout = find("readout"), live = find("live");
  const plots = [...panels.querySelectorAll(".plot")].map((svg) => ({
    svg, height: svg.viewBox.baseVal.height, grid: svg.querySelector(".grid"),
  }));
  const axes = [...panels.querySelectorAll(".axis > div")];
  const n = night.posteriors.length, least = Math.min(n, 4);
  const names = ["W", "N1", "N2", "N3", "REM"], shown = [0, 4, 1, 2, 3];
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  let first = 0, width = n, at = null;

  const two = (x) => String(x).padStart(2, "0");
  function clock(epochs, withSeconds) {
    let s = Math.round(epochs * 30 + (night.begins ?? 0));
    if (night.begins !== null) s = ((s % 86400) + 86400) % 86400;
    const h = Math.floor(s / 3600);
    return (night.begins === null ? h : two(h)) + ":" + two(Math.floor(s / 60) % 60) + (withSeconds ? ":" + two(s % 60) : "");
  }

  function marks(most) {
    const span = width * 30;
    const step = steps.find((s) => span / s <= most) ?? 86400 * Math.ceil(span / most / 86400);
    const begins = night.begins ?? 0, found = [];
    for (let t = Math.ceil((first * 30 + begins) / step) * step; t <= (first + width) * 30 + begins + 1e-6; t += step) {
      const epoch = (t - begins) / 30;
      found.push([epoch, clock(epoch, step < 60)]);
    }
    return found;
  }

  function draw(most = Math.max(axes[0].clientWidth / 62, 2)) {
    const ticks = marks(most);
    for (const { svg, height, grid } of plots) {
      svg.setAttribute("viewBox", `${first} 0 ${width} ${height}`);
      grid.setAttribute("d", ticks.map(([epoch]) => `M${epoch} 0V${height}`).join(""));
    }
    for (const axis of axes) {
      axis.replaceChildren(...ticks.map(([epoch, text]) => {
        const span = document.createElement("span");
        span.style.left = (100 * (epoch - first)) / width + "%";
        span.textContent = text;
        return span;
      }));
    }
    place();
  }

  function show(from, wide) {
    width = Math.min(Math.max(wide, least), n);
    first = Math.min(Math.max(from, 0), n - width);
    draw();
  }
  const zoom = (by, where = first + width / 2) => {
    const wide = Math.min(Math.max(width * by, least), n);
    show(where - ((where - first) * wide) / width, wide);
  };

  // The cursor is one epoch wide, over all panels.
  function place() {
    const epoch = at === null ? -1 : Math.floor(at);
    cursor.hidden = at === null || epoch + 1 <= first || epoch >= first + width;
    if (cursor.hidden) return;
    const box = plots[0].svg.getBoundingClientRect(), left = box.left - panels.getBoundingClientRect().left;
    const a = Math.max(epoch, first), b = Math.min(epoch + 1, first + width);
    cursor.style.left = left + ((a - first) / width) * box.width + "px";
    cursor.style.width = ((b - a) / width) * box.width + "px";
  }

  function words(where) {
    const epoch = Math.floor(where), p = night.posteriors[epoch];
    const told = [clock(night.fine ? Math.floor(where * night.per_epoch) / night.per_epoch : epoch, true),
      `epoch ${epoch + 1} of ${n}`, names[night.stages[epoch]] || "no stage"];
    if (night.fine) told.push("fine: " + (names[night.fine[Math.floor(where * night.per_epoch)]] || "no stage"));
    const rest = [shown.map((k) => `${names[k]} ${p[k]} %`).join(", ")];
    const weights = night.attention[Math.floor(epoch / night.window)];
    if (weights) {
      const best = weights.map((w, i) => [w, night.channels[i]]).sort((a, b) => b[0] - a[0]);
      rest.push("attention: " + best.slice(0, 5).map(([w, name]) => `${name} ${w} %`).join(", ") +
        (best.length > 5 ? ` and ${best.length - 5} more` : ""));
    }
    return [told.join(" · "), rest.join(" · ")];
  }

  function tell(where, aloud) {
    at = Math.min(Math.max(where, 0), n - 1e-6);
    const [strong, rest] = words(at), bold = document.createElement("b");
    bold.textContent = strong;
    readout.replaceChildren(bold, " · " + rest);
    if (aloud) live.textContent = strong + ". " + rest;
    place();
  }

  const hint = "Point at a panel, or press an arrow key, to read time, stage, probabilities and attention.";
  const whole = () => { at = null; readout.textContent = hint; show(0, n); };
  function jump(epoch) {
    const wide = Math.min(n, 40);
    show(epoch + 0.5 - wide / 2, wide);
    tell(epoch, true);
    panels.focus({ preventScroll: true });
    panels.scrollIntoView({ block: "start" }); // below the bar, by its scroll margin
  }
  function step(by) {
    tell(Math.floor(at ?? first + width / 2) + by, true);
    if (at < first || at >= first + width) show(at - width / 2, width);
  }

  const where = (event) => {
    const box = plots[0].svg.getBoundingClientRect();
    return first + ((event.clientX - box.left) / box.width) * width;
  };
  const within = (x) => x >= first && x < first + width;

  panels.addEventListener("wheel", (event) => {
    if (event.ctrlKey && event.deltaY === 0) return;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const before = first;
      show(first + ((event.deltaX || event.deltaY) / 800) * width, width);
      if (first !== before) event.preventDefault();
      return;
    }
    const before = width;
    zoom(Math.exp(Math.min(Math.max(event.deltaY, -200), 200) / 500), Math.min(Math.max(where(event), 0), n));
    if (width !== before) event.preventDefault(); // the page scrolls on where there is nothing left to zoom
  }, { passive: false });

  let drag = null;
  panels.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    drag = { x: event.clientX, first };
    try { panels.setPointerCapture(event.pointerId); } catch { /* a pointer that is already gone */ }
  });
  panels.addEventListener("pointermove", (event) => {
    if (drag && width < n) {
      const box = plots[0].svg.getBoundingClientRect();
      show(drag.first - ((event.clientX - drag.x) / box.width) * width, width);
    }
    if (within(where(event))) tell(where(event), false);
  });
  for (const end of ["pointerup", "pointercancel"]) panels.addEventListener(end, () => { drag = null; });
  panels.addEventListener("dblclick", whole);

  const keys = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => step(-n), End: () => step(n),
    "+": () => zoom(0.5, at ?? undefined), "=": () => zoom(0.5, at ?? undefined), "-": () => zoom(2, at ?? undefined),
    0: whole, Escape: whole,
  };
  panels.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const side = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.shiftKey && side) show(first + (side * width) / 2, width);
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  });

  const buttons = {
    left: () => show(first - width / 2, width), right: () => show(first + width / 2, width),
    in: () => zoom(0.5), out: () => zoom(2), all: whole,
  };
  for (const [id, action] of Object.entries(buttons)) find(id).addEventListener("click", action);
  for (const button of document.querySelectorAll(".jump")) {
    button.addEventListener("click", () => jump(Number(button.dataset.epoch)));
  }
  const paper = matchMedia("print"); // a page of 19 cm, whatever the window
  addEventListener("resize", () => draw(paper.matches ? 10 : undefined));
  addEventListener("beforeprint", () => draw(10));
  addEventListener("afterprint", () => draw());
  for (const hidden of document.querySelectorAll(".tools, .readout")) hidden.hidden = false;
  whole();
})();
