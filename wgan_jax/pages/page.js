"use strict";
// Colours: as the system, light or dark.
{
  const button = document.querySelector(".theme"), root = document.documentElement;
  const themes = ["", "light", "dark"], names = ["as the system", "light", "dark"];
  let store = null;
  // A page that is opened from a file may not store anything.
  try { store = window.localStorage; } catch {}
  const show = (theme) => {
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
    const text = "Colours: " + names[themes.indexOf(theme)];
    button.title = text;
    button.setAttribute("aria-label", text);
  };
  const saved = store && store.getItem("wgan-theme");
  let now = themes.includes(saved) ? saved : "";
  show(now);
  button.addEventListener("click", () => {
    now = themes[(themes.indexOf(now) + 1) % 3];
    show(now);
    if (store) store.setItem("wgan-theme", now);
  });
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const text = button.previousElementSibling;
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    } catch {
      getSelection().selectAllChildren(text);
    }
  });
}

// Samples over training.
for (const film of document.querySelectorAll(".film")) {
  const images = [...film.querySelectorAll("img")], play = film.querySelector(".play");
  const slider = film.querySelector("input"), output = film.querySelector("output");
  if (!slider) continue;
  const show = () => {
    images.forEach((image, i) => (image.hidden = i !== +slider.value));
    const caption = images[+slider.value].dataset.caption;
    output.textContent = caption;
    slider.setAttribute("aria-valuetext", caption);
  };
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    play.textContent = "▶";
    play.setAttribute("aria-label", "Play");
  };
  const step = () => {
    slider.value = +slider.value + 1;
    show();
    if (+slider.value === images.length - 1) stop();
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (+slider.value === images.length - 1) slider.value = 0;
    show();
    timer = setInterval(step, 450);
    play.textContent = "❚❚";
    play.setAttribute("aria-label", "Pause");
  });
  slider.addEventListener("input", () => { stop(); show(); });
  show();
}

// Charts: the same layout as pages/charts.py, at the width of the screen.
const niceTicks = (low, high, count) => {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const ticks = [];
  for (let n = Math.ceil(low / step - 1e-9); n <= Math.floor(high / step + 1e-9); n++) ticks.push(n * step);
  return ticks;
};
const logTicks = (low, high, count) => {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), ticks = [];
  const apart = Math.max(1, Math.floor((last - first) / (2 * count)));
  for (let p = first; p <= last; p += apart)
    for (const digit of last - first > 3 ? [1] : [1, 2, 5]) {
      const tick = digit * 10 ** p;
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  return ticks.length > 1 ? ticks : niceTicks(low, high, count);
};
const format = (value, digits) => {
  const size = Math.abs(value);
  if (size && (size >= 1e7 || size < 1e-3)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e").replace(/-/g, "\u2212");
  const options = digits ? { maximumSignificantDigits: Math.max(digits, Math.ceil(Math.log10(size + 1))) } : { maximumFractionDigits: 6 };
  return value.toLocaleString("en", options).replace(/^-/, "\u2212").replace(/^\u22120$/, "0");
};
const escapeHtml = (text) => text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

class Chart {
  constructor(figure) {
    this.data = JSON.parse(figure.querySelector("script").textContent);
    this.series = this.data.s.map((s) => ({ ...s, x: this.data.xs[s.x] }));
    const ends = this.series.flatMap((s) => [s.x[0], s.x[s.x.length - 1]]).filter((x) => x !== undefined);
    this.full = [Math.min(...ends), Math.max(...ends)];
    this.figure = figure;
    this.plot = figure.querySelector(".plot");
    if (!ends.length || this.full[0] === this.full[1]) return;
    this.range = this.full;
    this.log = this.data.log;
    this.hidden = new Set();
    this.cursor = null;
    this.plot.textContent = "";
    this.plot.classList.add("live");
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "application");
    this.plot.setAttribute("aria-label", `Chart: ${this.data.t}. Arrow keys read values, plus and minus zoom, Escape resets.`);
    this.canvas = document.createElement("div");
    this.tip = document.createElement("output");
    this.tip.className = "tip";
    this.tip.hidden = true;
    this.plot.append(this.canvas, this.tip);
    this.addTools();
    this.addLegend();
    this.addPointer();
    this.plot.addEventListener("keydown", (event) => this.key(event));
    this.plot.addEventListener("blur", () => this.point(null));
    new ResizeObserver(() => this.render()).observe(this.plot);
    document.addEventListener("wgan-zoom", (event) => {
      const { range, from } = event.detail;
      if (from === this || from.data.x !== this.data.x) return;
      const [low, high] = [Math.max(range[0], this.full[0]), Math.min(range[1], this.full[1])];
      if (low < high) this.setRange([low, high]);
    });
  }

  addTools() {
    const tools = document.createElement("div");
    tools.className = "tools";
    const add = (text, action) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.addEventListener("click", () => action(button));
      tools.append(button);
      return button;
    };
    this.reset = add("Reset zoom", () => this.zoom(this.full));
    this.reset.hidden = true;
    const positive = this.series.some((s) => s.y.some((y) => y > 0));
    if (positive) {
      const button = add("Log", () => {
        this.log = !this.log;
        button.setAttribute("aria-pressed", this.log);
        this.render();
      });
      button.setAttribute("aria-label", "Logarithmic values");
      button.setAttribute("aria-pressed", this.log);
    }
    this.figure.querySelector("figcaption").append(tools);
  }

  addLegend() {
    if (this.series.length < 2) return;
    const legend = document.createElement("div");
    legend.className = "legend";
    this.series.forEach((s, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Show or hide";
      button.setAttribute("aria-pressed", "true");
      const mark = document.createElement("i");
      mark.style.borderColor = s.c;
      mark.className = (s.d ? "d " : "") + (s.f ? "f" : "");
      button.append(mark, s.n);
      button.addEventListener("click", () => {
        if (!this.hidden.delete(i)) this.hidden.add(i);
        button.setAttribute("aria-pressed", String(!this.hidden.has(i)));
        this.render();
      });
      legend.append(button);
    });
    this.plot.before(legend);
  }

  addPointer() {
    let start = null;
    const at = (event) => event.clientX - this.plot.getBoundingClientRect().left;
    this.plot.addEventListener("pointerdown", (event) => {
      if (event.button === 0) start = at(event);
    });
    this.plot.addEventListener("pointermove", (event) => {
      this.point(this.valueAt(at(event)));
      if (start === null || Math.abs(at(event) - start) < 5) return;
      this.plot.setPointerCapture(event.pointerId);
      this.select(start, at(event));
    });
    const end = (event) => {
      if (start === null) return;
      const [a, b] = [start, at(event)].sort((x, y) => x - y);
      start = null;
      this.select(0, 0);
      if (event.type === "pointerup" && b - a > 8) this.zoom([this.valueAt(a), this.valueAt(b)]);
    };
    this.plot.addEventListener("pointerup", end);
    this.plot.addEventListener("pointercancel", end);
    this.plot.addEventListener("pointerleave", () => { if (start === null) this.point(null); });
    this.plot.addEventListener("dblclick", () => this.zoom(this.full));
  }

  key(event) {
    const [low, high] = this.range, xs = this.steps();
    let place = xs.indexOf(this.cursor);
    const middle = this.cursor ?? (low + high) / 2;
    const near = (share) => {
      const half = ((high - low) * share) / 2;
      return [Math.max(middle - half, this.full[0]), Math.min(middle + half, this.full[1])];
    };
    const actions = {
      ArrowRight: () => this.point(xs[Math.min(place + 1, xs.length - 1)]),
      ArrowLeft: () => this.point(xs[place < 0 ? xs.length - 1 : Math.max(place - 1, 0)]),
      Home: () => this.point(xs[0]),
      End: () => this.point(xs[xs.length - 1]),
      "+": () => this.zoom(near(0.5)),
      "=": () => this.zoom(near(0.5)),
      "-": () => this.zoom(near(2)),
      Escape: () => { this.point(null); this.zoom(this.full); },
    };
    if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
  }

  zoom(range) {
    const least = (this.full[1] - this.full[0]) / 1e4;
    if (!(range[1] - range[0] > least)) return;
    this.setRange(range);
    document.dispatchEvent(new CustomEvent("wgan-zoom", { detail: { range, from: this } }));
  }

  setRange(range) {
    this.range = range;
    this.reset.hidden = range[0] <= this.full[0] && range[1] >= this.full[1];
    this.render();
  }

  shown() { return this.series.filter((_, i) => !this.hidden.has(i)); }

  // All steps in the range, ascending.
  steps() {
    const [low, high] = this.range;
    const all = new Set(this.shown().filter((s) => !s.d).flatMap((s) => s.x).filter((x) => x >= low && x <= high));
    return [...all].sort((a, b) => a - b);
  }

  valueAt(pixel) {
    const { left, right } = this.box, [low, high] = this.range;
    const share = Math.min(Math.max((pixel - left) / (right - left), 0), 1);
    return low + (high - low) * share;
  }

  select(a, b) {
    const band = this.canvas.querySelector(".band");
    const [left, right] = [Math.min(a, b), Math.max(a, b)].map((x) => Math.min(Math.max(x, this.box.left), this.box.right));
    band.setAttribute("x", left);
    band.setAttribute("width", a === b ? 0 : right - left);
  }

  point(value) {
    const xs = value === null ? [] : this.steps();
    const rule = this.canvas.querySelector(".rule");
    this.tip.hidden = !xs.length;
    if (!rule) return;
    rule.setAttribute("visibility", xs.length ? "visible" : "hidden");
    this.cursor = null;
    if (!xs.length) return;
    const x = xs.reduce((best, at) => (Math.abs(at - value) < Math.abs(best - value) ? at : best));
    this.cursor = x;
    const rows = this.shown().filter((s) => !s.d).map((s) => [s, s.x.indexOf(x)]).filter(([s, i]) => i >= 0 && s.y[i] !== null);
    this.tip.innerHTML = `<b>${format(x, 6)} ${escapeHtml(this.data.x)}</b>` + rows.map(([s, i]) => {
      const spread = s.l.length ? ` (${format(s.l[i], 4)} to ${format(s.h[i], 4)})` : "";
      return `<span><i style="background:${s.c};opacity:${s.f ? 0.4 : 1}"></i>${escapeHtml(s.n)}: ${format(s.y[i], 4)}${spread}</span>`;
    }).join("");
    const place = this.toX(x), width = this.plot.clientWidth;
    rule.setAttribute("x1", place);
    rule.setAttribute("x2", place);
    const wide = this.tip.offsetWidth;
    const left = place + 14 + wide > width ? place - 14 - wide : place + 14;
    this.tip.style.transform = `translate(${Math.max(0, Math.min(left, width - wide))}px, 26px)`;
  }

  render() {
    const width = this.plot.clientWidth;
    if (!width) return;
    const height = this.figure.classList.contains("wide") && width > 700 ? 340 : width > 400 ? 270 : 230;
    const box = (this.box = { left: 54, right: width - 14, top: this.data.y ? 24 : 10, bottom: height - 40 });
    const [low, high] = this.range, log = this.log;
    const usable = (y) => y !== null && (!log || y > 0);
    const values = this.shown().flatMap((s) => s.x.flatMap((x, i) => (x < low || x > high ? [] : [s.y[i], s.l[i], s.h[i]].filter((y) => y !== undefined && usable(y)))));
    let bottom = values.length ? values.reduce((a, b) => Math.min(a, b)) : 0.5;
    let top = values.length ? values.reduce((a, b) => Math.max(a, b)) : 2;
    if (top === bottom) {
      const reach = Math.abs(top) / 2 || 1;
      [bottom, top] = log ? [bottom / 2, top * 2] : [bottom - reach, top + reach];
    } else if (log) {
      const pad = (top / bottom) ** 0.04;
      [bottom, top] = [bottom / pad, top * pad];
    } else {
      const pad = 0.05 * (top - bottom);
      bottom = bottom >= 0 && bottom < 0.4 * top ? 0 : bottom - pad;
      top += pad;
    }
    const of = log ? Math.log10 : (y) => y;
    const toY = (y) => box.bottom - ((of(y) - of(bottom)) / (of(top) - of(bottom))) * (box.bottom - box.top);
    const toX = (this.toX = (x) => box.left + ((x - low) / (high - low)) * (box.right - box.left));
    const text = (x, y, anchor, content) => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escapeHtml(content)}</text>`;
    const rule = (x1, y1, x2, y2, opacity) => `<path d="M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}" stroke="currentColor" stroke-opacity="${opacity}"/>`;
    let svg = "", labels = "";
    for (const tick of (log ? logTicks : niceTicks)(bottom, top, Math.max(2, Math.floor(height / 48)))) {
      svg += rule(box.left, toY(tick), box.right, toY(tick), tick === 0 ? 0.3 : 0.12);
      labels += text(box.left - 8, toY(tick) + 4, "end", format(tick));
    }
    svg += rule(box.left, box.bottom, box.right, box.bottom, 0.45);
    for (const tick of niceTicks(low, high, Math.max(2, Math.floor(width / 80)))) {
      svg += rule(toX(tick), box.bottom, toX(tick), box.bottom + 4, 0.45);
      const label = format(tick), half = 3.4 * label.length;
      labels += text(Math.min(toX(tick), width - half), box.bottom + 18, "middle", label);
    }
    labels += text(box.right, box.bottom + 35, "end", this.data.x) + text(2, 12, "start", this.data.y);
    const id = (this.id ??= `clip-${(Chart.count = (Chart.count ?? 0) + 1)}`);
    let lines = "";
    for (const s of this.shown()) {
      const at = (y, i) => `${toX(s.x[i]).toFixed(1)},${toY(y).toFixed(1)}`;
      const seen = s.x.map((_, i) => i).filter((i) => usable(s.y[i]) && (!s.l.length || (usable(s.l[i]) && usable(s.h[i]))));
      if (s.l.length) {
        const around = [...seen.map((i) => at(s.l[i], i)), ...seen.reverse().map((i) => at(s.h[i], i))];
        seen.reverse();
        lines += `<polygon points="${around.join(" ")}" fill="${s.c}" fill-opacity=".18"/>`;
      }
      const points = seen.map((i) => at(s.y[i], i));
      lines += points.length === 1
        ? `<circle cx="${points[0].split(",")[0]}" cy="${points[0].split(",")[1]}" r="3" fill="${s.c}"/>`
        : `<polyline points="${points.join(" ")}" fill="none" stroke="${s.c}" stroke-width="${s.f ? 1 : 2}" stroke-opacity="${s.f ? 0.45 : 1}" stroke-linejoin="round"${s.d ? ' stroke-dasharray="6 4"' : ""}/>`;
    }
    const inside = `x="${box.left}" y="${box.top - 2}" width="${box.right - box.left + 2}" height="${box.bottom - box.top + 4}"`;
    this.canvas.innerHTML = `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" aria-hidden="true">` +
      `<clipPath id="${id}"><rect ${inside}/></clipPath>${svg}<g font-size="12" fill="currentColor" fill-opacity=".72">${labels}</g>` +
      `<g clip-path="url(#${id})">${lines}</g>` +
      `<rect class="band" x="0" y="${box.top}" width="0" height="${box.bottom - box.top}" fill="currentColor" fill-opacity=".1"/>` +
      `<line class="rule" y1="${box.top}" y2="${box.bottom}" stroke="currentColor" stroke-opacity=".5" visibility="hidden"/></svg>`;
    if (this.cursor !== null) this.point(this.cursor);
  }
}
for (const figure of document.querySelectorAll("figure.chart")) new Chart(figure);
