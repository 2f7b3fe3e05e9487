/**
 * Books entries in sets while more are added: one commit for a hundred blobs, and never two commits
 * at once.
 */
export class Ledger<Entry> {
  readonly #book: (entries: readonly Entry[]) => Promise<void>;
  readonly #entriesMax: number;
  #entries: Entry[] = [];
  #booking: Promise<void> = Promise.resolve();

  constructor(entriesMax: number, book: (entries: readonly Entry[]) => Promise<void>) {
    this.#entriesMax = entriesMax;
    this.#book = book;
  }

  /**
   * Waits where a full set finds the one before it still being booked: the site does not run ahead
   * of the database.
   * @throws what booking an earlier set threw
   */
  async add(entry: Entry): Promise<void> {
    this.#entries.push(entry);
    if (this.#entries.length < this.#entriesMax) return;
    const before = this.#booking;
    this.#bookAfter(before);
    await before;
  }

  /** All that was added is booked. */
  async close(): Promise<void> {
    if (this.#entries.length > 0) this.#bookAfter(this.#booking);
    await this.#booking;
  }

  #bookAfter(before: Promise<void>): void {
    const entries = this.#entries;
    this.#entries = [];
    this.#booking = before.then(() => this.#book(entries));
    this.#booking.catch(() => undefined); // thrown by the next add, or by close
  }
}
