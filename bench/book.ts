/** The measurements of a run as they come, and the works that were skipped. */
import { cpuBetween, cpuSeconds, type CpuSeconds } from './processes.ts';

export type Facts = Readonly<Record<string, number | string>>;

export interface Measurement {
  readonly work: string;
  readonly contender: string;
  readonly round: number;
  readonly value: number;
  /** `s` unless a work counts something else. */
  readonly unit: string;
  /** CPU seconds by role during the measurement. */
  readonly cpu?: CpuSeconds;
  readonly facts?: Facts;
}

export interface Skipped {
  readonly work: string;
  readonly contender: string;
  readonly why: string;
}

export class Book {
  readonly measurements: Measurement[] = [];
  readonly skipped: Skipped[] = [];
  readonly #works: ReadonlySet<string>;
  readonly #say: (line: string) => void;

  constructor(works: ReadonlySet<string>, say: (line: string) => void) {
    this.#works = works;
    this.#say = say;
  }

  /** Whether one of these works is measured in this run. */
  wants(...works: readonly string[]): boolean {
    return works.some((work) => this.#works.has(work));
  }

  /**
   * Times a contender and books it. A work that only prepares another one is done and not booked.
   * @param measured answers with seconds
   */
  async time(
    work: string,
    contender: string,
    round: number,
    measured: () => Promise<number>,
    facts?: () => Facts | Promise<Facts>,
  ): Promise<number> {
    const before = cpuSeconds();
    const value = await measured();
    const cpu = cpuBetween(before, cpuSeconds());
    const found = await facts?.();
    this.add({
      work,
      contender,
      round,
      value,
      unit: 's',
      cpu,
      ...(found === undefined ? {} : { facts: found }),
    });
    return value;
  }

  add(measurement: Measurement): void {
    const { work, contender, round, value, unit } = measurement;
    const isWanted = this.#works.has(work);
    const facts = Object.entries(measurement.facts ?? {}).map(
      ([name, fact]) => `, ${name} ${fact}`,
    );
    const result = `${value.toFixed(unit === 's' ? 3 : 1)} ${unit}${facts.join('')}`;
    const prefix = isWanted ? '' : '(on the way) ';
    this.#say(`${prefix}round ${round}  ${work}  ${contender}  ${result}`);
    if (isWanted) this.measurements.push(measurement);
  }

  skip(work: string, contender: string, why: string): void {
    if (
      !this.#works.has(work) ||
      this.skipped.some((one) => one.work === work && one.contender === contender)
    )
      return;
    this.skipped.push({ work, contender, why });
    this.#say(`skipped  ${work}  ${contender}: ${why}`);
  }

  values(work: string, contender: string): number[] {
    return this.measurements
      .filter((one) => one.work === work && one.contender === contender)
      .map((one) => one.value);
  }
}
