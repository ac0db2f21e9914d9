// The controls: menus, buttons, ranges, keys, mouse and touch.
const DIFFERENCES = [0, 20, 50, 150]; // HU at which the overlay is opaque; 0 is off.
const MOST_ZOOM = 16, GRIP = 22, WHEEL = 50;

class Viewer extends Stage {
  constructor(root) {
    super(root);
    this.pointers = new Map();
    this.turned = 0;
    this.build();
    this.setWindow("model" in this.view.windows ? "model" : "lung");
  }

  // Controls.

  build() {
    const first = element("div", this.root, { className: "bar" });
    this.leftMenu = this.menu(first, "Left", this.left, (value) => (this.left = value));
    this.rightMenu = this.menu(first, "Right", this.right, (value) => (this.right = value));
    const windows = element("div", first, { className: "group", role: "group",
      "aria-label": "Window" });
    this.windowButtons = Object.keys(this.view.windows).map((name, index) =>
      this.button(windows, name, `Window: ${name} (key ${index + 1})`, () =>
        this.setWindow(name)));
    const overlay = element("label", first, { textContent: "Difference" });
    this.overlay = element("select", overlay, { title: "Colour where right differs from left" });
    for (const range of DIFFERENCES)
      element("option", this.overlay, { value: range, textContent: range ? `±${range} HU` : "off" });
    this.overlay.addEventListener("change", () => this.setDifference(Number(this.overlay.value)));
    this.sideButton = this.button(first, "side by side", "All versions side by side (key s)", () =>
      this.toggleSide());
    const zoom = element("div", first, { className: "group", role: "group",
      "aria-label": "Zoom" });
    this.button(zoom, "−", "Zoom out (key −)", () => this.zoomBy(1 / 1.25));
    this.button(zoom, "+", "Zoom in (key +)", () => this.zoomBy(1.25));
    this.button(zoom, "fit", "Whole slice (key 0)", () => this.reset());

    this.stage = element("div", this.root, { className: "stage" });
    this.canvas = element("canvas", this.stage, { tabIndex: 0, role: "img" });
    this.readout = element("div", this.root, { className: "readout" });

    const second = element("div", this.root, { className: "bar" });
    this.sliceRange = this.range(second, "Slice", 0, this.count - 1, 1, (value) =>
      this.setSlice(value));
    this.wipeRange = this.range(second, "Wipe", 0, 100, 1, (value) => this.setWipe(value / 100));
    this.levelRange = this.range(second, "Level", -1200, 1200, 10, (value) =>
      this.setLevels(value, this.high - this.low));
    this.widthRange = this.range(second, "Width", 20, 4100, 10, (value) =>
      this.setLevels((this.low + this.high) / 2, value));
    const keys = element("p", this.root, { className: "keys" });
    keys.innerHTML = "Drag: wipe, or move when zoomed. Wheel: slices; with Ctrl, or a pinch: zoom. "
      + "Keys: <kbd>←</kbd> <kbd>→</kbd> wipe, <kbd>↑</kbd> <kbd>↓</kbd> slices, <kbd>+</kbd> "
      + "<kbd>−</kbd> <kbd>0</kbd> zoom, <kbd>Shift</kbd> and arrows move, <kbd>1</kbd>–<kbd>"
      + `${Object.keys(this.view.windows).length}</kbd> window, <kbd>d</kbd> difference, `
      + "<kbd>s</kbd> side by side.";
    this.listen();
  }

  menu(parent, name, chosen, choose) {
    const label = element("label", parent, { textContent: name });
    const menu = element("select", label);
    this.view.layers.forEach((layer, index) =>
      element("option", menu, { value: index, textContent: layer.name }));
    menu.value = chosen;
    menu.addEventListener("change", () => {
      choose(Number(menu.value));
      this.redraw();
    });
    return menu;
  }

  button(parent, text, title, act) {
    const made = element("button", parent, { type: "button", textContent: text, title });
    made.setAttribute("aria-label", title);
    made.addEventListener("click", act);
    return made;
  }

  range(parent, name, min, max, step, act) {
    const label = element("label", parent, { className: "wide", textContent: name });
    const input = element("input", label, { type: "range", min, max, step });
    const output = element("output", label);
    input.addEventListener("input", () => act(Number(input.value)));
    return { input, show: (value, text) => {
      input.value = value;
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    } };
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => this.reset());
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerleave", () => (this.readout.textContent = ""));
    for (const end of ["pointerup", "pointercancel"])
      canvas.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    new ResizeObserver(() => this.redraw()).observe(this.stage);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey, names = Object.keys(this.view.windows);
    const acts = {
      ArrowLeft: () => (far ? this.pan(40, 0) : this.setWipe(this.wipe - 0.02)),
      ArrowRight: () => (far ? this.pan(-40, 0) : this.setWipe(this.wipe + 0.02)),
      ArrowUp: () => (far ? this.pan(0, 40) : this.setSlice(this.index + 1)),
      ArrowDown: () => (far ? this.pan(0, -40) : this.setSlice(this.index - 1)),
      PageUp: () => this.setSlice(this.index + 5),
      PageDown: () => this.setSlice(this.index - 5),
      Home: () => this.setSlice(0),
      End: () => this.setSlice(this.count - 1),
      "+": () => this.zoomBy(1.25),
      "=": () => this.zoomBy(1.25),
      "-": () => this.zoomBy(1 / 1.25),
      0: () => this.reset(),
      d: () => this.setDifference(
        DIFFERENCES[(DIFFERENCES.indexOf(this.difference) + 1) % DIFFERENCES.length]),
      s: () => this.toggleSide(),
    };
    names.forEach((name, index) => (acts[index + 1] = () => this.setWindow(name)));
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  wheel(event) {
    if (event.ctrlKey) {
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 200), this.inPanel(this.place(event)));
      return;
    }
    const up = event.deltaY < 0;
    // At either end the page scrolls on.
    if (this.index === (up ? this.count - 1 : 0)) return;
    event.preventDefault();
    this.turned = Math.sign(this.turned) === Math.sign(event.deltaY) ? this.turned : 0;
    this.turned += event.deltaMode ? WHEEL * Math.sign(event.deltaY) : event.deltaY;
    const steps = Math.trunc(this.turned / WHEEL);
    this.turned -= steps * WHEEL;
    if (steps) this.setSlice(this.index - Math.sign(steps));
  }

  press(event) {
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.place(event);
    this.pointers.set(event.pointerId, at);
    const near = Math.abs(at.x - this.wipe * this.panel.width) < GRIP;
    this.wiping = !this.sideBySide && (this.zoom === 1 || near);
    if (this.wiping && this.pointers.size === 1) this.setWipe(at.x / this.panel.width);
  }

  move(event) {
    const at = this.place(event), before = this.pointers.get(event.pointerId);
    this.showValues(this.inPanel(at));
    if (!before) return;
    if (this.pointers.size === 2) {
      const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId)
        .map(([, place]) => place);
      const apart = (one) => Math.hypot(one.x - other.x, one.y - other.y);
      const middle = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 };
      this.zoomBy(apart(at) / (apart(before) || 1), this.inPanel(middle));
      this.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
    } else if (this.wiping) {
      this.setWipe(at.x / this.panel.width);
    } else {
      this.pan(at.x - before.x, at.y - before.y);
    }
    this.pointers.set(event.pointerId, at);
  }

  // State.

  setSlice(index) {
    this.index = clamp(index, 0, this.count - 1);
    this.redraw();
  }

  setWipe(share) {
    this.wipe = clamp(share, 0, 1);
    this.redraw();
  }

  setWindow(name) {
    [this.low, this.high] = this.view.windows[name];
    this.redraw();
  }

  setLevels(level, width) {
    this.low = level - width / 2;
    this.high = level + width / 2;
    this.redraw();
  }

  setDifference(range) {
    this.difference = range;
    this.redraw();
  }

  toggleSide() {
    this.sideBySide = !this.sideBySide;
    this.redraw();
  }

  reset() {
    this.zoom = 1;
    this.centre = { x: 0.5, y: 0.5 };
    this.redraw();
  }

  // `at`: the point of the panel, in CSS pixels, that stays where it is.
  zoomBy(factor, at = { x: this.panel.width / 2, y: this.panel.height / 2 }) {
    const zoom = clamp(this.zoom * factor, 1, MOST_ZOOM);
    const apart = (1 / this.zoom - 1 / zoom) / this.panel.fit;
    this.centre.x += ((at.x - this.panel.width / 2) * apart) / this.panel.across;
    this.centre.y += ((at.y - this.panel.height / 2) * apart) / this.panel.down;
    this.zoom = zoom < 1.01 ? 1 : zoom;
    this.pan(0, 0);
  }

  pan(x, y) {
    const { fit, across, down } = this.panel, reach = 0.5 / this.zoom;
    const kept = (value) => clamp(value, reach, 1 - reach);
    this.centre.x = kept(this.centre.x - x / (fit * this.zoom * across));
    this.centre.y = kept(this.centre.y - y / (fit * this.zoom * down));
    this.redraw();
  }

  // CSS pixels, on the canvas and in the panel there.
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  inPanel({ x, y }) {
    return { x: x % this.panel.width, y: y % this.panel.height };
  }
}

if (typeof DecompressionStream === "undefined") return;
// Slices are unpacked when their viewer comes near; a closed section costs nothing.
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    new Viewer(target.previousElementSibling);
  }
}, { rootMargin: "300px" });
document.querySelectorAll(".viewer").forEach((root) => near.observe(root.nextElementSibling));
