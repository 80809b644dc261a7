// What was asked of the server last, asked again now and then. What is shown stays until there is something newer.
export class Loaded<T> {
  value: T | null = $state.raw(null);
  /** Why it could not be read; the server's words, or nothing when it does not answer. */
  failure: string | null = $state(null);
  #ask: () => Promise<T>;
  #last = 0;

  constructor(ask: () => Promise<T>) {
    this.#ask = ask;
  }

  async load() {
    const own = ++this.#last;
    try {
      const value = await this.#ask();
      // An answer that was overtaken is older than what is shown.
      if (own !== this.#last) return;
      this.value = value;
      this.failure = null;
    } catch (error) {
      if (own === this.#last) this.failure = (error as Error).message;
    }
  }

  /** Asks now, and again while the page is seen; the end of it. */
  keep(everyMs: number): () => void {
    void this.load();
    const timer = setInterval(() => {
      if (!document.hidden) void this.load();
    }, everyMs);
    return () => clearInterval(timer);
  }
}
