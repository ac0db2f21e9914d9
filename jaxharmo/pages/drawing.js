// What a viewer draws: two layers under a wipe, or all side by side, at one zoom and window.
const BLUE = [70, 130, 255], RED = [255, 60, 50];

function element(tag, parent, properties = {}) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  parent.append(made);
  return made;
}

class Stage {
  constructor(root) {
    this.root = root;
    this.view = JSON.parse(root.dataset.view);
    this.count = this.view.captions.length;
    this.index = this.count >> 1;
    this.left = 0;
    this.right = 1;
    this.wipe = 0.5;
    this.difference = 0;
    this.sideBySide = false;
    this.zoom = 1;
    this.centre = { x: 0.5, y: 0.5 }; // Of the panel, as shares of the slice.
    this.paintings = this.view.layers.map(() => ({ canvas: document.createElement("canvas") }));
  }


  redraw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(async () => {
      this.waiting = false;
      try {
        await this.draw();
      } catch (error) {
        this.fail(error);
      }
    });
  }

  fail(error) {
    console.error(error);
    this.root.classList.remove("ready");
    this.root.nextElementSibling.hidden = false;
  }

  async draw() {
    const index = this.index;
    const shown = await Promise.all(this.view.layers.map((layer) => slice(layer.slices[index])));
    if (index !== this.index) return;
    this.shown = shown;
    if (!this.root.classList.contains("ready")) {
      this.root.classList.add("ready");
      this.root.nextElementSibling.hidden = true;
    }
    this.layOut();
    this.showState();
    const pixels = this.panel.pixels, context = this.canvas.getContext("2d");
    context.setTransform(pixels, 0, 0, pixels, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const { width, height, columns } = this.panel;
    if (this.sideBySide) {
      shown.forEach((_, layer) =>
        this.drawLayer(context, layer, (layer % columns) * width,
          Math.floor(layer / columns) * height, 0, width));
    } else {
      const border = this.wipe * width;
      this.drawLayer(context, this.left, 0, 0, 0, border);
      this.drawLayer(context, this.right, 0, 0, border, width);
      context.fillStyle = "#ffd24a";
      context.fillRect(border - 1, 0, 2, height);
      context.beginPath();
      context.arc(border, height / 2, 9, 0, 2 * Math.PI);
      context.fill();
    }
  }

  layOut() {
    const full = this.stage.clientWidth, count = this.view.layers.length;
    const columns = !this.sideBySide ? 1 : full > 900 ? Math.min(count, 4) : full > 340 ? 2 : 1;
    const rows = this.sideBySide ? Math.ceil(count / columns) : 1;
    const [first] = this.shown, [tall, wide] = this.view.spacing;
    const across = first.width * wide, down = first.height * tall, width = full / columns;
    const height = Math.round(Math.min((width * down) / across, 0.72 * window.innerHeight));
    const fit = Math.min(width / across, height / down), pixels = window.devicePixelRatio || 1;
    this.panel = { width, height, columns, across, down, fit, pixels };
    const size = [Math.round(full * pixels), Math.round(rows * height * pixels)];
    if (this.canvas.width !== size[0] || this.canvas.height !== size[1]) {
      [this.canvas.width, this.canvas.height] = size;
      this.canvas.style.height = `${rows * height}px`;
    }
    this.placeTags(columns);
  }

  placeTags(columns) {
    this.stage.querySelectorAll(".tag").forEach((tag) => tag.remove());
    const { width, height } = this.panel, layers = this.view.layers;
    const tag = (name, style) => Object.assign(
      element("div", this.stage, { className: "tag", textContent: name }).style, style);
    if (this.sideBySide) {
      layers.forEach((layer, index) => tag(layer.name, {
        left: `${(index % columns) * width}px`, top: `${Math.floor(index / columns) * height}px`,
        maxWidth: `${width - 12}px` }));
    } else {
      tag(layers[this.left].name, { left: 0, top: 0, maxWidth: "calc(50% - 12px)" });
      tag(layers[this.right].name, { right: 0, top: 0, maxWidth: "calc(50% - 12px)" });
    }
  }

  showState() {
    const caption = this.view.captions[this.index];
    const level = (this.low + this.high) / 2, width = this.high - this.low;
    this.sliceRange.show(this.index, `${this.index + 1} of ${this.count}, ${caption}`);
    this.wipeRange.show(Math.round(100 * this.wipe), `${Math.round(100 * this.wipe)} %`);
    this.levelRange.show(level, `${signed(level)} HU`);
    this.widthRange.show(width, `${signed(width)} HU`);
    this.wipeRange.input.disabled = this.rightMenu.disabled = this.sideBySide;
    this.overlay.value = this.difference;
    Object.values(this.view.windows).forEach(([low, high], index) =>
      this.windowButtons[index].setAttribute("aria-pressed", low === this.low && high === this.high));
    this.sideButton.setAttribute("aria-pressed", this.sideBySide);
    this.stage.classList.toggle("zoomed", this.zoom > 1);
    this.canvas.setAttribute("aria-label", this.view.layers.map(({ name }) => name).join(", ")
      + `; slice ${this.index + 1} of ${this.count}; zoom ${this.zoom.toFixed(1)}`);
  }

  drawLayer(context, layer, left, top, from, to) {
    const { width, height, across, down, fit } = this.panel, scale = fit * this.zoom;
    context.save();
    context.beginPath();
    context.rect(left + from, top, to - from, height);
    context.clip();
    context.imageSmoothingEnabled = (scale * across) / this.shown[layer].width < 2;
    context.drawImage(this.painted(layer), left + width / 2 - this.centre.x * scale * across,
      top + height / 2 - this.centre.y * scale * down, scale * across, scale * down);
    context.restore();
  }

  // The whole slice at its own resolution, in greys of the window, under the overlay.
  painted(layer) {
    const painting = this.paintings[layer], { width, height, values } = this.shown[layer];
    const like = this.shown[this.left].values, reach = this.difference;
    const key = [this.index, this.low, this.high, reach, reach && this.left].join();
    if (painting.key === key) return painting.canvas;
    painting.key = key;
    [painting.canvas.width, painting.canvas.height] = [width, height];
    const context = painting.canvas.getContext("2d"), image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer), scale = 255 / (this.high - this.low);
    for (let i = 0; i < values.length; i++) {
      const grey = clamp((hu(values[i]) - this.low) * scale, 0, 255) | 0;
      pixels[i] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
      const change = reach && layer !== this.left ? (values[i] - like[i]) * store.step : 0;
      if (change) {
        const share = Math.min(Math.abs(change) / reach, 1), end = change < 0 ? BLUE : RED;
        const [red, green, blue] = end.map((channel) => grey + (channel - grey) * share);
        pixels[i] = 0xff000000 | (blue << 16) | (green << 8) | red;
      }
    }
    context.putImageData(image, 0, 0);
    return painting.canvas;
  }

  showValues(at) {
    if (!this.shown) return;
    const { width, height, fit, across, down } = this.panel, scale = fit * this.zoom;
    const first = this.shown[0];
    const column = Math.floor((this.centre.x + (at.x - width / 2) / (scale * across)) * first.width);
    const row = Math.floor((this.centre.y + (at.y - height / 2) / (scale * down)) * first.height);
    const inside = row >= 0 && row < first.height && column >= 0 && column < first.width;
    const texts = this.view.layers.map((layer, index) => {
      const each = this.shown[index];
      return `${layer.name} ${signed(hu(each.values[row * each.width + column]))}`;
    });
    this.readout.textContent = inside ? `row ${row}, column ${column}, HU: ${texts.join(" · ")}` : "";
  }
}
