// Panes that show an image, what a network says of it and what is known of it, moved and zoomed together.
//
// Labels come as tiles of class numbers (see trials/pyramid.py) and are coloured here, so that opacity, outline, mask
// and highlight follow the hand at once. Leaflet does the moving and zooming; NiceGUI brings it along.
import { leaflet as L } from "nicegui-leaflet";
import { loadResource } from "../../static/utils/resources.js";

const NONE = 65535;
const RIGHT = [38, 50, 56], WRONG = [255, 152, 0], UNDEFINED = [255, 255, 255];
const TITLES = {
  image: "Image", overlay: "Prediction over image", labels: "Prediction", sure: "How sure", truth: "Truth",
  errors: "Errors",
};
const NEEDS = {
  image: ["image"], overlay: ["image", "labels"], labels: ["labels"], sure: ["labels"], truth: ["truth"],
  errors: ["labels", "truth"],
};
const KEPT_TILES = 240;
const TRIES = 4, PAUSE = 500; // milliseconds, twice as long each time

const PaintedLayer = L.GridLayer.extend({
  createTile(coords, done) {
    const canvas = document.createElement("canvas");
    this.options.paint(canvas, coords).then(() => done(null, canvas), (problem) => done(problem, canvas));
    return canvas;
  },
});

export default {
  template: `
    <div class="label-viewer">
      <div class="viewer-panes" :class="{ alone: shown.length === 1 }">
        <figure v-for="pane in shown" :key="trial.id + pane">
          <figcaption>{{ titles[pane] }}</figcaption>
          <div class="viewer-frame" :style="{ aspectRatio: ratio }">
            <div class="viewer-plane" :data-pane="pane" role="application" :aria-label="titles[pane] + ' of ' + trial.title"></div>
            <span class="viewer-cross" v-show="cross[pane]" :style="crossStyle(pane)"></span>
          </div>
        </figure>
      </div>
      <div class="viewer-reading" role="status">
        <template v-if="reading">
          <span class="swatch" :style="{ background: reading.color }"></span>
          <b>{{ reading.name }}</b><span v-if="reading.sure">{{ reading.sure }}</span>
          <span v-if="reading.truth" :class="reading.right ? 'good' : 'bad'">{{ reading.truth }}</span>
          <span class="faint">x {{ reading.x }}, y {{ reading.y }}</span>
        </template>
        <span v-else class="faint">Point at the image to read a pixel. Drag to move; click and scroll, or hold Ctrl and
          scroll, to zoom. With the keyboard: arrows, + and −.</span>
      </div>
    </div>`,
  props: { trial: Object, panes: Array, settings: Object, legend: String, resourcePath: String },
  data() {
    return { reading: null, cross: {}, titles: TITLES };
  },
  computed: {
    shown() {
      return this.panes.filter((pane) => this.trial.truth || !NEEDS[pane].includes("truth"));
    },
    ratio() {
      return Math.min(3, Math.max(0.6, this.trial.width / this.trial.height));
    },
  },
  watch: {
    "trial.id"() {
      this.start();
    },
    shown() {
      this.arrange();
    },
  },
  created() {
    this.maps = new Map(); // pane → its map; not reactive
    this.live = new Map(); // canvas → its pane and place
    this.tiles = new Map(); // address → a tile, or the promise of one
    this.hidden = new Set();
    this.highlighted = -1;
    this.whole_zoom = 0;
    this.values = { opacity: 0.5, outline: 1, mask: 0, ...this.settings };
  },
  async mounted() {
    await this.$nextTick();
    await loadResource(window.path_prefix + `${this.resourcePath}/leaflet/leaflet.css`);
    this.watcher = new ResizeObserver(() => this.fit());
    this.theme = new MutationObserver(() => this.repaint());
    this.theme.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.start();
  },
  unmounted() {
    this.watcher?.disconnect();
    this.theme?.disconnect();
    for (const pane of [...this.maps.keys()]) this.close(pane);
  },
  methods: {
    // ---- what pages call
    set(values) {
      Object.assign(this.values, values);
      this.repaint();
    },
    highlight(index) {
      if (this.highlighted === index) return;
      this.highlighted = index;
      this.repaint();
    },
    toggle(index, row) {
      this.hidden.has(index) ? this.hidden.delete(index) : this.hidden.add(index);
      row?.setAttribute("aria-pressed", String(!this.hidden.has(index)));
      this.repaint();
    },
    whole() {
      this.moved = false;
      this.fit();
    },

    // ---- maps
    start() {
      for (const pane of [...this.maps.keys()]) this.close(pane);
      this.tiles.clear();
      this.reading = this.at = null;
      this.moved = false;
      this.view = null;
      this.hidden = new Set(this.trial.hidden || []);
      this.palette = this.trial.classes.map((entry) => entry.color);
      this.arrange();
    },
    async arrange() {
      for (const pane of [...this.maps.keys()]) if (!this.shown.includes(pane)) this.close(pane);
      await this.$nextTick();
      for (const pane of this.shown) if (!this.maps.has(pane)) this.open(pane);
      this.fit();
    },
    open(pane) {
      const element = this.$el.querySelector(`.viewer-plane[data-pane="${pane}"]`);
      if (!element) return;
      const { width, height, levels, tile } = this.trial;
      const bounds = L.latLngBounds([-height, 0], [0, width]);
      const map = L.map(element, {
        crs: L.CRS.Simple, zoomSnap: 0, zoomDelta: 0.5, wheelPxPerZoomLevel: 180, attributionControl: false,
        zoomControl: false, scrollWheelZoom: false, dragging: !L.Browser.mobile, zoomAnimation: false, fadeAnimation: false, inertia: false, maxZoom: 5,
        minZoom: -levels - 1, maxBounds: bounds.pad(0.5), boxZoom: false,
      });
      const layer = new PaintedLayer({
        tileSize: tile, bounds, noWrap: true, minZoom: -30, maxZoom: 30, minNativeZoom: 1 - levels, maxNativeZoom: 0,
        paint: (canvas, coords) => this.paintTile(pane, canvas, coords),
      });
      layer.on("tileunload", (event) => this.live.delete(event.tile));
      map.fitBounds(bounds, { animate: false });
      if (this.view) map.setView(this.view.center, this.view.zoom, { animate: false });
      layer.addTo(map);
      map.on("move zoom", () => this.follow(pane));
      map.on("dragstart keydown", () => (this.moved = true));
      // A page that is being scrolled goes on: the wheel zooms what was clicked, or with Ctrl.
      element.addEventListener("wheel", (event) => {
        const zooms = event.ctrlKey || event.metaKey || element.contains(document.activeElement);
        map.scrollWheelZoom[zooms ? "enable" : "disable"]();
        this.moved ||= zooms;
      }, { capture: true, passive: true });
      if (pane === this.shown[0]) {
        L.control.zoom({ position: "topright" }).addTo(map);
        element.querySelectorAll(".leaflet-control-zoom a").forEach((link) =>
          link.addEventListener("click", () => (this.moved = true), true));
      }
      map.on("mousemove", (event) => this.point(event.latlng, true));
      map.on("mouseout", () => this.leave());
      map.on("click", (event) => this.point(event.latlng, true));
      element.addEventListener("focus", () => this.keyed(map));
      map.on("moveend", () => this.keyed(map));
      this.maps.set(pane, { map, layer, element });
      this.watcher.observe(element);
      this.sharpen(element, map);
    },
    close(pane) {
      const { map, element } = this.maps.get(pane);
      this.watcher.unobserve(element);
      this.maps.delete(pane);
      map.remove();
      for (const [canvas, place] of this.live) if (place.pane === pane) this.live.delete(canvas);
    },
    fit() {
      const { width, height } = this.trial;
      for (const { map, element } of this.maps.values()) {
        map.invalidateSize({ animate: false, pan: false });
        if (!this.moved) {
          const inside = Math.min(element.clientWidth / width, element.clientHeight / height);
          if (inside > 0) {
            this.whole_zoom = Math.log2(inside);
            map.setView([-height / 2, width / 2], this.whole_zoom, { animate: false });
          }
        }
      }
    },
    follow(pane) {
      if (this.following) return;
      this.following = true;
      const { map, element } = this.maps.get(pane);
      this.view = { center: map.getCenter(), zoom: map.getZoom() };
      this.sharpen(element, map);
      for (const [other, found] of this.maps) {
        if (other === pane) continue;
        found.map.setView(this.view.center, this.view.zoom, { animate: false });
        this.sharpen(found.element, found.map);
      }
      this.following = false;
    },
    sharpen(element, map) {
      const zoom = map.getZoom();
      element.classList.toggle("sharp", zoom > 0.4);
      if (L.Browser.mobile) map.dragging[zoom > this.whole_zoom + 0.05 ? "enable" : "disable"]();
    },

    // ---- tiles
    level(coords) {
      return coords.z + this.trial.levels - 1;
    },
    tile(layer, level, column, row) {
      const address = `${this.trial.tiles}/${layer}/${level}/${column}/${row}`;
      let found = this.tiles.get(address);
      if (found === undefined) {
        found = fetched(address, layer === "image" ? 0 : this.trial.frame).then((tile) => {
          if (this.tiles.has(address)) this.tiles.set(address, tile);
          return tile;
        }, (problem) => {
          this.tiles.delete(address); // the next look asks again
          throw problem;
        });
        this.tiles.set(address, found);
        while (this.tiles.size > KEPT_TILES) this.tiles.delete(this.tiles.keys().next().value);
      }
      return found;
    },
    async paintTile(pane, canvas, coords) {
      const place = { pane, level: this.level(coords), column: coords.x, row: coords.y, parts: null };
      this.live.set(canvas, place);
      let parts = null;
      for (let tried = 0; parts === null; tried++) {
        try {
          parts = await Promise.all(
            NEEDS[pane].map((layer) => this.tile(layer, place.level, place.column, place.row)),
          );
        } catch (problem) {
          if (tried === TRIES) throw problem;
          await new Promise((done) => setTimeout(done, PAUSE * 2 ** tried));
          if (this.live.get(canvas) !== place) throw problem; // it is out of sight
        }
      }
      place.parts = Object.fromEntries(NEEDS[pane].map((layer, number) => [layer, parts[number]]));
      this.paint(canvas, place);
      if (this.at && this.live.get(canvas) === place) this.point(this.at); // it may be what was pointed at
    },
    repaint() {
      if (this.painting) return;
      this.painting = requestAnimationFrame(() => {
        this.painting = null;
        for (const [canvas, place] of this.live) if (place.parts) this.paint(canvas, place);
      });
    },
    paint(canvas, place) {
      const first = place.parts[NEEDS[place.pane][0]];
      const { tile } = this.trial;
      if (canvas.width !== tile) canvas.width = canvas.height = tile;
      const looks = {
        ...this.values, palette: this.palette, hidden: this.hidden, highlighted: this.highlighted,
        dull: document.body.classList.contains("body--dark") ? 24 : 236,
      };
      const painted = new ImageData(first.width, first.height);
      PAINTERS[place.pane](painted.data, place.parts, looks);
      canvas.getContext("2d").putImageData(painted, 0, 0);
    },

    // ---- reading pixels
    keyed(map) {
      if (document.activeElement === map.getContainer()) this.point(map.getCenter(), false);
    },
    point(latlng, pointed) {
      const { width, height, levels } = this.trial;
      const x = Math.floor(latlng.lng), y = Math.floor(-latlng.lat);
      if (x < 0 || y < 0 || x >= width || y >= height) return this.leave();
      const found = this.labelAt("labels", x, y);
      const known = this.trial.truth ? this.labelAt("truth", x, y) : null;
      if (!found) this.leave();
      this.at = latlng; // read again when a tile has come
      if (!found) return;
      const entry = this.trial.classes[found.index];
      const truth = known && (known.index === NONE ? "truth: undefined" : `truth: ${this.trial.classes[known.index].name}`);
      this.reading = {
        x, y, name: entry ? entry.name : "undefined", color: entry ? `rgb(${entry.color})` : "#fff",
        sure: entry ? `${Math.round((100 * found.sure) / 255)} %` : "", truth,
        right: !known || known.index === NONE || known.index === found.index,
      };
      this.mark(entry ? found.index : -1);
      const cross = {};
      for (const [pane, { map }] of this.maps) cross[pane] = map.latLngToContainerPoint(latlng);
      this.cross = cross;
    },
    leave() {
      this.at = null;
      this.reading = null;
      this.cross = {};
      this.mark(-1);
    },
    labelAt(layer, x, y) {
      // The finest level that is here: that of the view, or any other one.
      const { levels, tile, frame } = this.trial;
      const zoom = this.view ? this.view.zoom : this.maps.values().next().value?.map.getZoom() ?? 0;
      const wanted = Math.min(0, Math.max(1 - levels, Math.round(zoom))) + levels - 1;
      for (let level = wanted; level >= 0; level--) {
        const scale = 2 ** (levels - 1 - level);
        const px = Math.floor(x / scale), py = Math.floor(y / scale);
        const column = Math.floor(px / tile), row = Math.floor(py / tile);
        const found = this.tiles.get(`${this.trial.tiles}/${layer}/${level}/${column}/${row}`);
        if (found === undefined && level === wanted) this.tile(layer, level, column, row).catch(() => {});
        if (!found?.index) continue;
        const place = (py - row * tile + frame) * found.stride + (px - column * tile + frame);
        return { index: found.index[place], sure: found.sure[place] };
      }
      return null;
    },
    mark(index) {
      const legend = document.getElementById(this.legend);
      legend?.querySelectorAll("[data-class]").forEach((row) => {
        row.classList.toggle("under", Number(row.dataset.class) === index);
      });
    },
    crossStyle(pane) {
      const place = this.cross[pane];
      return place ? { transform: `translate(${place.x}px, ${place.y}px)` } : {};
    },
  },
};

async function fetched(address, frame) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
  const picture = await createImageBitmap(await answer.blob(), { premultiplyAlpha: "none", colorSpaceConversion: "none" });
  const { width, height } = picture;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  if (!frame) return { width, height, data };
  const index = new Uint16Array(width * height), sure = new Uint8Array(width * height);
  for (let i = 0, j = 0; i < index.length; i++, j += 4) {
    index[i] = data[j] | (data[j + 1] << 8);
    sure[i] = data[j + 2];
  }
  return { width: width - 2 * frame, height: height - 2 * frame, stride: width, frame, index, sure, edges: null };
}

// Pixels (by rows and columns, so a square) from each pixel to the nearest one of another class, up to the frame.
function edgesOf(tile) {
  if (tile.edges) return tile.edges;
  const { stride, index, frame } = tile;
  const rows = index.length / stride, far = frame + 1;
  const along = new Uint8Array(index.length).fill(far), edges = new Uint8Array(index.length).fill(far);
  for (let y = 0; y < rows; y++) {
    for (let x = 0, i = y * stride; x < stride; x++, i++) {
      const border = (x + 1 < stride && index[i] !== index[i + 1]) || (y + 1 < rows && index[i] !== index[i + stride]);
      along[i] = border ? 0 : x ? Math.min(far, along[i - 1] + 1) : far;
    }
    for (let x = stride - 2, i = y * stride + x; x >= 0; x--, i--) along[i] = Math.min(along[i], along[i + 1] + 1);
  }
  // The nearest in a square: the smallest reach r for which a row within r of this one has a border within r.
  for (let y = 0; y < rows; y++) {
    for (let x = 0, i = y * stride; x < stride; x++, i++) {
      let least = along[i];
      for (let r = 1; r < least; r++) {
        const above = y >= r ? along[i - r * stride] : far, below = y + r < rows ? along[i + r * stride] : far;
        least = Math.min(least, Math.max(r, Math.min(above, below)));
      }
      edges[i] = least;
    }
  }
  return (tile.edges = edges);
}

function eachPixel(out, tile, color) {
  const { width, height, stride, frame } = tile;
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0, i = (y + frame) * stride + frame; x < width; x++, i++, o += 4) {
      color(i, o);
      out[o + 3] = 255;
    }
  }
}

function put(out, o, color) {
  out[o] = color[0];
  out[o + 1] = color[1];
  out[o + 2] = color[2];
}

function fade(out, o, towards, share) {
  for (let channel = o; channel < o + 3; channel++) out[channel] += (towards - out[channel]) * share;
}

function paintClasses(out, tile, looks) {
  const { palette, hidden, highlighted, dull } = looks;
  eachPixel(out, tile, (i, o) => {
    const index = tile.index[i], color = palette[index];
    put(out, o, color || UNDEFINED);
    if (highlighted >= 0 ? index !== highlighted : color && hidden.has(index)) fade(out, o, dull, 0.85);
  });
}

const PAINTERS = {
  image(out, { image }) {
    out.set(image.data);
  },
  overlay(out, { image, labels }, { opacity, outline, mask, palette, hidden, highlighted, dull }) {
    const edges = outline > 0 ? edgesOf(labels) : null;
    out.set(image.data);
    eachPixel(out, labels, (i, o) => {
      const index = labels.index[i], color = palette[index];
      if (highlighted >= 0 && index !== highlighted) return fade(out, o, dull, 0.75);
      if (!color) return;
      if (hidden.has(index) && highlighted !== index) return fade(out, o, 0, mask);
      if (edges && edges[i] < outline) return put(out, o, color);
      for (let channel = 0; channel < 3; channel++) out[o + channel] += (color[channel] - out[o + channel]) * opacity;
    });
  },
  labels(out, { labels }, looks) {
    paintClasses(out, labels, looks);
  },
  truth(out, { truth }, looks) {
    paintClasses(out, truth, looks);
  },
  sure(out, { labels }, { highlighted, dull }) {
    eachPixel(out, labels, (i, o) => {
      put(out, o, [labels.sure[i], labels.sure[i], labels.sure[i]]);
      if (highlighted >= 0 && labels.index[i] !== highlighted) fade(out, o, dull, 0.75);
    });
  },
  errors(out, { labels, truth }, { highlighted, dull }) {
    eachPixel(out, labels, (i, o) => {
      const said = labels.index[i], known = truth.index[i];
      put(out, o, known === NONE ? UNDEFINED : said === known ? RIGHT : WRONG);
      if (highlighted >= 0 && said !== highlighted && known !== highlighted) fade(out, o, dull, 0.75);
    });
  },
};
