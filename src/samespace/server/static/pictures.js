// Small pictures for a canvas: loaded some at a time, those that are wanted now, and the latest kept.

const AT_ONCE = 8;
const KEPT = 3000;

export class Pictures {
  // onLoad() is called whenever some more are there.
  constructor(onLoad) {
    Object.assign(this, { onLoad, loaded: new Map(), loading: new Set(), queue: [], turn: 0 });
  }

  clear() {
    this.loaded.clear();
    this.loading = new Set();
    this.queue = [];
    this.turn++; // keys are of other pictures now
  }

  get(key) {
    return this.loaded.get(key);
  }

  // wanted: [[key, id]], the first first; what was wanted before and is not any more is not loaded.
  want(wanted) {
    this.queue = wanted.filter(([key]) => !this.loaded.has(key) && !this.loading.has(key));
    this.next();
  }

  next() {
    while (this.loading.size < AT_ONCE && this.queue.length) {
      const [key, id] = this.queue.shift();
      this.loading.add(key);
      const picture = Object.assign(new Image(), { src: `/pictures/${id}/small` });
      const { turn } = this;
      const done = (shown) => {
        if (turn !== this.turn) return;
        this.loading.delete(key);
        this.loaded.set(key, shown);
        if (this.loaded.size > KEPT) this.loaded.delete(this.loaded.keys().next().value);
        this.next();
        this.onLoad();
      };
      picture.decode().then(
        () => done(picture),
        () => done(null),
      );
    }
  }
}
