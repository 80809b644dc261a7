// What a person sees and touches: the LED at GP2 and the slide switch at GP3 and GP4.

const LED_PIN = 2;
const SWITCH_PINS = { configuration: 3, collector: 4 };
/** Changes of the LED that are kept. */
const HISTORY_MAX = 4_096;
const HIGH = 1;

export class Led {
  isLit = false;
  /** [{at_nanos, isLit}], the oldest first. */
  history = [];
  onChange = () => {};
  #attached = null;

  attach(rp, world) {
    this.#attached = rp;
    this.#set(world, false);
    rp.gpio[LED_PIN].addListener((value) => {
      if (this.#attached === rp) this.#set(world, value === HIGH);
    });
    this.powerLost = () => this.#set(world, false);
  }

  #set(world, isLit) {
    if (isLit === this.isLit) return;
    this.isLit = isLit;
    this.history.push({ at_nanos: world.nanos, isLit });
    if (this.history.length > HISTORY_MAX) this.history.shift();
    this.onChange(isLit);
  }

  /** Flashes since this moment of the world. */
  flashesSince(nanos) {
    return this.history.filter(({ at_nanos, isLit }) => isLit && at_nanos >= nanos).length;
  }
}

/** Connects one of its pins to 3.3 V and leaves the other open; the program pulls both down. Between the positions: none. */
export class Switch {
  #rp = null;

  constructor(position = 'collector') {
    this.position = position;
  }

  attach(rp) {
    this.#rp = rp;
    this.#apply();
  }

  move(position) {
    if (position !== null && !(position in SWITCH_PINS)) {
      throw new Error(`the switch has the positions ${Object.keys(SWITCH_PINS).join(' and ')}, not ${position}`);
    }
    this.position = position;
    if (this.#rp) this.#apply();
  }

  #apply() {
    for (const [position, pin] of Object.entries(SWITCH_PINS)) {
      this.#rp.gpio[pin].setInputValue(position === this.position);
    }
  }
}
