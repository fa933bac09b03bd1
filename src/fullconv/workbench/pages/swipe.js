// Two pictures of one image, one over the other, with a line between them that the hand or the arrow keys move: left of
// it the first is seen, right of it the second. Opacity and outlines follow the style of stacks.
export default {
  template: `
    <div class="swipe stack" :style="{ aspectRatio: ratio }" ref="frame"
         @pointerdown="begin" @pointermove="move" @pointerup="end" @pointercancel="end">
      <span v-for="(side, place) in sides" :key="place" class="swipe-side" :class="side.css" :style="cut(place)">
        <img v-for="layer in side.layers" :key="layer.kind" :class="layer.kind" :src="layer.src" alt=""
             decoding="async" draggable="false">
      </span>
      <input class="swipe-range" type="range" min="0" max="100" step="1" v-model.number="at" :aria-label="label"
             :aria-valuetext="at + ' % ' + sides[0].name">
      <span class="swipe-line" :style="{ left: at + '%' }" aria-hidden="true"><span>‹ ›</span></span>
      <span class="swipe-name" aria-hidden="true">{{ sides[0].name }}</span>
      <span class="swipe-name swipe-second" aria-hidden="true">{{ sides[1].name }}</span>
    </div>`,
  props: { sides: Array, ratio: Number },
  data() {
    return { at: 50, held: false };
  },
  computed: {
    label() {
      return `Line between ${this.sides[0].name} on the left and ${this.sides[1].name} on the right`;
    },
  },
  methods: {
    cut(place) {
      return { clipPath: place ? `inset(0 0 0 ${this.at}%)` : `inset(0 ${100 - this.at}% 0 0)` };
    },
    begin(event) {
      if (event.button) return;
      this.held = true;
      this.$refs.frame.setPointerCapture(event.pointerId);
      this.$refs.frame.querySelector(".swipe-range").focus({ preventScroll: true });
      this.move(event);
      event.preventDefault();
    },
    move(event) {
      if (!this.held) return;
      const box = this.$refs.frame.getBoundingClientRect();
      this.at = Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width)));
    },
    end() {
      this.held = false;
    },
  },
};
